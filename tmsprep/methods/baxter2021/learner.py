"""Training and cross-validation of the multi-resolution network."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tmsprep.bids.names import ImageRef
from tmsprep.evaluation.conformal import calibrate
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.read import load_nifti
from tmsprep.imaging.volume import to_volume_mm, to_world_mm
from tmsprep.learning.card import WARNING, Card, markdown_table
from tmsprep.learning.examples import Example, Record
from tmsprep.learning.loop import Task, Trained
from tmsprep.learning.plan import Plan, Training
from tmsprep.methods.baxter2021.crossval_tables import (
    COLUMNS,
    SUMMARY_COLUMNS,
    ensemble_table,
    status_of,
    summarise,
    summary_table,
)
from tmsprep.methods.baxter2021.masks import extract_mask, find_mask
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.options import WEIGHTS_KIND
from tmsprep.methods.baxter2021.prepared import PreparedImage, conformed_affine, load_prepared
from tmsprep.methods.baxter2021.radius import limits_of, longest_mm, signs_of
from tmsprep.methods.baxter2021.recipes import Recipe, recipe_named
from tmsprep.methods.baxter2021.settings import NetworkSettings, check_localizer
from tmsprep.methods.baxter2021.task import Images, MultiResolutionTask, bfloat16_is_fast
from tmsprep.methods.baxter2021.validation import (
    dispersions_of,
    doubtful,
    errors_of,
    make_localizer,
    predict_images,
)
from tmsprep.methods.baxter2021.weights import Localizer, load_localizer, save_localizer
from tmsprep.methods.learner import Learner, Rows, Table
from tmsprep.methods.resources import ResourceError
from tmsprep.networks.archive import Archive, WeightsError, open_archive
from tmsprep.options import NamedPath
from tmsprep.points import PointSet

logger = logging.getLogger(__name__)

#: Number of each variant that seeds are drawn from.
_VARIANTS = {'separate': 0, 'shared': 1, 'none': 2}

#: Mean error in the training set, mm, from which on a network is of no use.
_USELESS_MM = 10.0

_NOT_MEASURED = (
    'Not measured: there were too few participants for a validation set. `tmsprep BIDS OUT '
    'crossval` measures it. Without it, no error radius is given.'
)
_MEASURED = (
    'Distance from the reference in the validation set, in mm. It is from the same data set; '
    'images of another scanner or another kind of patient can be worse.'
)


class MultiResolutionLearner(Learner):
    """Ensembles of networks for use; residual layers compared in a cross-validation."""

    train_options = ('recipe', 'steps')
    half_precision = False

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with the number of steps of the options."""
        return recipe_named(self.options['recipe'], steps=self.options.get('steps'))

    @cached_property
    def _given(self) -> Archive | None:
        """Weights to start from, read once; refused if they do not fit."""
        path, labels = self.options.get('weights'), self.protocol.labels
        if path is None:
            return None
        try:
            archive = open_archive(Path(path), WEIGHTS_KIND)
            content = check_localizer(archive)
        except WeightsError as error:
            raise ResourceError(str(error)) from error
        if content.labels != labels:
            raise ResourceError(
                f'--weights are for the targets {", ".join(content.labels)}, but protocol '
                f'{self.protocol.name} has {", ".join(labels)}: they must be the same, in order'
            )
        given, wanted = content.settings[0].residual, self.options['residual'][0]
        if given != wanted:
            raise ResourceError(
                f'--weights have {given} residual layers: give --residual {given} to start from '
                'them'
            )
        return archive

    @cached_property
    def start(self) -> Localizer | None:
        """Weights to start from."""
        return None if self._given is None else load_localizer(self._given)

    def check(self) -> None:
        """See `Learner.check`."""
        _ = self._given

    def complete(
        self,
        examples: Sequence[Example],
        images: Mapping[str, ImageRef],
        derivatives: Sequence[NamedPath],
        folder: Path,
    ) -> list[Example]:
        """Add brain masks: from the derivatives, else by brain extraction.

        Without one, an image is trained on without views of the brain alone and cut views; the log
        says so.
        """
        weights = Path(str(files('tmsprep.data'))) / 'brain_extraction.safetensors'
        completed = []
        for example in examples:
            mask = find_mask(images[example.name], derivatives)
            if mask is None:
                try:
                    mask = extract_mask(example.image, weights, folder)
                except Exception as error:
                    logger.warning(
                        '%s: no brain mask, so no stripped and cut views of it are trained on '
                        '(%s). Give one through --derivatives.',
                        example.image,
                        error,
                    )
            completed.append(replace(example, mask=mask))
        return completed

    def prepare(self, example: Example, cache: Path) -> dict[str, Any]:
        """See `Learner.prepare`.

        The facts hold the affine of the conformed volume, and the longest edge of the voxels.
        """
        load_prepared([example], cache)
        return {
            'affine': conformed_affine(example.name, cache).tolist(),
            'voxel_mm': longest_mm(load_nifti(example.image).affine),
        }

    def load(self, records: Sequence[Record]) -> list[PreparedImage]:
        """Memory-map prepared images."""
        return [load_prepared([r.example], r.cache)[0] for r in records]

    def identity(self) -> dict[str, Any]:
        """See `Learner.identity`."""
        return {
            'recipe': asdict(self.recipe),
            'start': '' if self._given is None else self._given.sha256,
        }

    def trainings(self, training: Sequence[Record], seed: int) -> list[Training]:
        """One training per member of the ensemble."""
        residual = self.options['residual'][0]
        return [
            Training(f'member{i}', 'member', residual, i, seed=seed + i - 1)
            for i in range(1, self.options['members'] + 1)
        ]

    def plan(self, participants: Sequence[str], examples: Sequence[Example]) -> Plan:
        """See `Learner.plan`; the variants are kinds of residual layers."""
        variants = {name: _VARIANTS[name] for name in self.options['residual']}
        return self.plan_variants(participants, variants)

    def settings_of(self, training: Training) -> NetworkSettings:
        """Shape of the network of a training."""
        if self.start is not None:
            return self._start_of(training).settings
        return self.recipe.network_settings(len(self.protocol.labels), training.variant)

    def _start_of(self, training: Training) -> Any:
        assert self.start is not None
        return self.start.members[(training.repetition - 1) % len(self.start.members)]

    def network(self, training: Training) -> nn.Module:
        """See `Learner.network`."""
        return MultiResolutionNet(self.settings_of(training))

    def task(
        self,
        training: Training,
        records: Sequence[Record],
        validation: Sequence[Record],
        *,
        device: str = 'cpu',
        reduced: bool = False,
    ) -> Task:
        """See `Learner.task`."""
        return MultiResolutionTask(
            Images(self.load(records), self.load(validation)),
            self.settings_of(training),
            self.recipe,
            self.protocol,
            training.seed,
            half_precision=reduced and bfloat16_is_fast(device),
            start=None if self.start is None else self._start_of(training),
            device=device,
        )

    def meaning(self, network: str) -> tuple[str, str]:
        """See `Learner.meaning`."""
        return 'loss of Baxter et al. 2021, equation 2', 'mean error (mm)'

    def assemble(self, networks: Mapping[str, nn.Module], records: Sequence[Record]) -> Localizer:
        """Join networks into an ensemble that looks at images as the recipe says."""
        card = {'targets': json.dumps(self.known_targets(records))}
        members: Any = list(networks.values())
        return make_localizer(members, self.load(records), self.recipe, self.protocol, card)

    def finish(
        self,
        model: Localizer,
        trained: Mapping[str, Trained],
        training: Sequence[Record],
        validation: Sequence[Record],
        device: str,
    ) -> tuple[Localizer, Card]:
        """Calibrate the error radius on the validation set, and warn of what was not learned."""
        errors = None
        if validation:
            images = self.load(validation)
            predictions = predict_images(model, images, device)
            errors = errors_of(predictions, images)
            scatter = dispersions_of(predictions) if len(model.members) > 1 else None
            people = [record.example.participant for record in validation]
            limits = limits_of(_signs(validation, scatter))
            radius = calibrate(errors, scatter, model.labels, people, limits=limits)
            model = replace(model, calibration=radius.as_dict())
        images = self.load(training)
        found = errors_of(predict_images(model, images, device), images)
        warning = _useless(found)
        if not warning:
            names = [record.name for record in (*training, *validation)]
            _warn(found if errors is None else np.concatenate([found, errors]), names)
        mean = float(np.nanmean(found))
        card = self._card(model, errors, mean, training, validation, device)
        return model, replace(card, entries={**card.entries, **warning})

    def _card(
        self,
        model: Localizer,
        errors: np.ndarray | None,
        training_mm: float,
        training: Sequence[Record],
        validation: Sequence[Record],
        device: str,
    ) -> Card:
        seeds = [t.seed for t in self.trainings(training, self.options['random_seed'])]
        entries = {
            'members': str(len(model.members)),
            'seeds': ' '.join(map(str, seeds)),
            'recipe': f'{self.recipe.name}, {self.recipe.steps} steps',
            'residual': model.members[0].settings.residual,
            'training_mm': f'{training_mm:.2f}',
        }
        if self.start is not None:
            given = self.start.card
            name = given.get('name', Path(self.options['weights']).name)
            entries['started_from'] = f'{name}, licence: {given.get("licence", "not stated")}'
        if errors is not None:
            summary = {key: round(value, 3) for key, value in summarise(errors).items()}
            entries['validation_mm'] = json.dumps(summary)
        how = {'recipe': asdict(self.recipe), 'network': model.members[0].settings.as_dict()}
        fast = bfloat16_is_fast(device)
        return Card(
            entries,
            [
                (
                    'Network',
                    'multi-resolution network (Baxter et al. 2021) as built by tmsprep',
                ),
                ('Precision', 'bfloat16 convolutions' if fast else 'float32'),
            ],
            {
                'Training set': ['Points per target:', '', *self._counts(training, validation)],
                'Error': self._error_lines(errors),
                'Recipe': ['```json', json.dumps(how, indent=1, default=dict), '```'],
            },
        )

    def _counts(self, training: Sequence[Record], validation: Sequence[Record]) -> list[str]:
        """Table of the number of points of each target."""
        groups = training, validation
        rows = [
            [label, *(str(sum(label in self.known_targets([r]) for r in g)) for g in groups)]
            for label in self.protocol.labels
        ]
        rows.append(['images', *(str(len(group)) for group in groups)])
        return markdown_table(('target', 'training set', 'validation set'), rows)

    def _error_lines(self, errors: np.ndarray | None) -> list[str]:
        if errors is None:
            return [_NOT_MEASURED]
        rows = []
        labels, columns = [*self.protocol.labels, 'all'], [*errors.T, errors]
        for label, values in zip(labels, columns, strict=True):
            found = summarise(values)
            shown = (_mm(found[key]) for key in ('mean', 'sd', 'median', 'p95', 'max'))
            rows.append((label, str(found['n']), *shown))
        head = ('target', 'points', 'mean', 'sd', 'median', '95th percentile', 'max')
        return [_MEASURED, '', *markdown_table(head, rows)]

    def save(self, path: Path, model: Localizer, card: Mapping[str, str]) -> Path:
        """See `Learner.save`."""
        return save_localizer(path, replace(model, card=card))

    def predict(self, model: Localizer, record: Record, device: str = 'cpu') -> PointSet:
        """Localise as the participant level does.

        A target that no image of the training set has is missing.
        """
        found = predict_images(model, self.load([record]), device)[0].mean(axis=0)
        world = to_world_mm(found, np.array(record.facts['affine']))
        known = [label in json.loads(model.card['targets']) for label in model.labels]
        return PointSet(model.labels, np.where(np.array(known)[:, None], world, np.nan))

    def statuses(self, found: PointSet, reference: PointSet, record: Record) -> list[str]:
        """See `Learner.statuses`; a point outside of the conformed volume is no use."""
        outside = np.zeros(len(found), bool)
        if record.facts:
            place = to_volume_mm(found.coordinates, np.array(record.facts['affine']))
            outside = found.found & ((place < 0) | (place > CONFORMED_SIZE)).any(axis=1)
        return [
            status_of(*judged)
            for judged in zip(found.found, outside, reference.found, strict=True)
        ]

    def tables(
        self, rows: Rows, trainings: Sequence[Mapping[str, Any]], plan: Plan
    ) -> list[Table]:
        """Predictions, ensembles of the repetitions, and a summary."""
        (predictions,) = super().tables(rows, trainings, plan)
        assert predictions.rows is not None
        ensemble = ensemble_table(predictions.rows)
        summary = summary_table(predictions.rows, ensemble, self.protocol)
        of_repetitions = 'Mean of the repetitions for each image, variant and target'
        over_participants = 'Errors and dispersion over participants, per variant and target'
        return [
            replace(predictions, columns=COLUMNS),
            Table('ensemble', of_repetitions, COLUMNS, ensemble),
            Table('summary', over_participants, SUMMARY_COLUMNS, summary),
        ]

    def entries(self, plan: Plan) -> dict[str, Any]:
        """See `Learner.entries`."""
        return {'Recipe': asdict(self.recipe), 'Variants': list(self.options['residual'])}


def _signs(records: Sequence[Record], scatter: np.ndarray | None) -> list[dict[str, float]]:
    """Signs of prepared images, see `radius`; those of the gyri and the head are not known."""
    spread = [{}] * len(records) if scatter is None else [{'dispersion_mm': d} for d in scatter]
    voxels = [record.facts.get('voxel_mm') for record in records]
    return [signs_of(*of) for of in zip(spread, voxels, strict=True)]


def _useless(errors: np.ndarray) -> dict[str, str]:
    """Return the warning of the card if networks are of no use, by their training set's errors."""
    mean = float(np.nanmean(errors))
    if mean <= _USELESS_MM:
        return {}
    return {
        WARNING: f'the mean error in the training set itself is {mean:.0f} mm: do not use the '
        'networks. Train with more --steps'
    }


def _warn(errors: np.ndarray, names: Sequence[str]) -> None:
    """Warn of points that may belong to other images; errors of shape (images, targets), mm."""
    for name, median in doubtful(errors, names).items():
        logger.warning(
            '%s: the points given are %.0f mm (median) from where the network localises them, '
            'which is right elsewhere: they may belong to another image. Look at them, and train '
            'again',
            name,
            median,
        )


def _mm(value: float) -> str:
    return f'{value:.2f}' if np.isfinite(value) else 'n/a'
