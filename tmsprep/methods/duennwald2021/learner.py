"""Training and cross-validation of CoRe-Unet and of the segmentation."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from tmsprep.bids.names import ImageRef
from tmsprep.learning.annotations import Annotations
from tmsprep.learning.card import WARNING, Card
from tmsprep.learning.examples import Example, Record
from tmsprep.learning.loop import Task, Trained
from tmsprep.learning.plan import Plan, Test, Training, make_partition, seed_of
from tmsprep.methods.duennwald2021.comparison import FOLDS, POINTS, SEGMENTATION, TRAININGS
from tmsprep.methods.duennwald2021.crossval import (
    blind_error,
    evaluate_fold,
    failed_rows,
    load,
    localise,
    validation_measures,
)
from tmsprep.methods.duennwald2021.masks import collect_coeruleus
from tmsprep.methods.duennwald2021.memory import training_gb
from tmsprep.methods.duennwald2021.networks import (
    CoeruleusModel,
    CoReUNet,
    PatchUNet,
    save_coeruleus,
)
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe, recipe_named
from tmsprep.methods.duennwald2021.tasks import LocalizerTask, SegmenterTask
from tmsprep.methods.duennwald2021.volumes import load_volumes
from tmsprep.methods.learner import Learner, Rows, Table
from tmsprep.points import PointSet

logger = logging.getLogger(__name__)

#: Kinds of networks; their positions are part of the seeds.
NETWORKS = ('localizer', 'segmenter')

#: Largest error in the validation set, as a share of that of a guess that looks at no image.
_USEFUL = 0.5

_USELESS = (
    'the mean error in the validation set, which chose the epoch, is {:.1f} mm, over half of the '
    '{:.1f} mm of a guess that looks at no image: do not use the networks. Train with more '
    '--epochs, or on more participants'
)
_OPTIMISTIC = (
    'No participant was held out: the test set also chose the best epoch, so that the results are '
    'optimistic. --held-out N avoids it.'
)
_HELD_OUT = 'The test set was held out of all trainings and of the choice of the epochs.'
_MEASURED = (
    'In the validation set, which chose the epochs, so that it is optimistic; '
    '`tmsprep BIDS OUT crossval --protocol {} --held-out N` measures it in a held-out set.'
)
_DESCRIPTION = (
    'networks of Duennwald et al. 2021, as built by tmsprep: a CoRe-Unet that localises, and, '
    'where masks were given, a 3D U-Net that labels both sides in a patch'
)


class CoeruleusLearner(Learner):
    """A localizer, and a segmenter if there are masks."""

    train_options = ('recipe', 'epochs')
    test_options = ('augmentation', 'segmentation')
    least_validation = 1

    @cached_property
    def recipe(self) -> CoeruleusRecipe:
        """The recipe, with the number of epochs of the options."""
        return recipe_named(self.options['recipe'], self.options.get('epochs'))

    @property
    def augmentations(self) -> list[str]:
        """Kinds of localizers; the first one, with augmentation, guides 'lpp' as in the paper."""
        return sorted(self.options['augmentation'])

    def collect(
        self,
        images: Mapping[str, Sequence[ImageRef]],
        folder: Path,
        threshold_mm: float,
        merged: Path | None = None,
    ) -> Annotations:
        """Find masks, or points where there is no mask."""
        return collect_coeruleus(images, folder, self.protocol, merged, threshold_mm)

    def describe(self, example: Example) -> str:
        """See `Learner.describe`."""
        return str(example.mask or 'points')

    def prepare(self, example: Example, cache: Path) -> dict[str, Any]:
        """See `Learner.prepare`."""
        load_volumes([example], cache, self.protocol)
        return {}

    def _load(self, records: Sequence[Record]) -> list[Any]:
        return load(records, self.protocol)

    def known_targets(self, records: Sequence[Record]) -> list[str]:
        """List the targets with a point, or a side of a mask."""
        labels = self.protocol.labels
        known = np.zeros(len(labels), bool)
        for record in records:
            (volume,) = self._load([record])
            known |= volume.points.isfinite().all(dim=1).numpy()
        return [label for label, there in zip(labels, known, strict=True) if there]

    def identity(self) -> dict[str, Any]:
        """See `Learner.identity`."""
        return {'recipe': asdict(self.recipe)}

    def trainings(self, training: Sequence[Record], seed: int) -> list[Training]:
        """See `Learner.trainings`."""
        networks = [Training('localizer', 'localizer', self.augmentations[0], seed=seed)]
        if any(record.example.mask for record in training):
            networks.append(Training('segmenter', 'segmenter', 'with', seed=seed))
        return networks

    def plan(self, participants: Sequence[str], examples: Sequence[Example]) -> Plan:
        """Plan folds of one localizer per kind of augmentation, and one segmenter.

        Each fold validates on its part; the test set is held out of all folds, or that part again
        (Duennwald et al. 2021, section 2.3).
        """
        seed, held_out = self.options['random_seed'], self.options['held_out']
        if self.options['repetitions'] > 1:
            raise ValueError(
                '--repetitions: the networks of this protocol are trained once per fold; leave '
                'the option out'
            )
        if not held_out:
            logger.warning(
                'no participant is held out: each fold is tested on the validation set that '
                'chose its best epoch, so the results are optimistic; --held-out N avoids that'
            )
        partition = make_partition(
            participants, folds=self.options['folds'], held_out=held_out, random_seed=seed
        )
        networks = [('localizer', kind) for kind in self.augmentations]
        networks += [('segmenter', 'with')] if any(e.mask for e in examples) else []
        trainings, tests = [], []
        for fold in partition.folds:
            of_fold = [
                Training(
                    f'{network}{f"_{kind}" if network == "localizer" else ""}_fold{fold:02d}',
                    network,
                    kind,
                    fold=fold,
                    train=partition.others(fold),
                    validate=partition.part(fold),
                    # The same with and without augmentation: both start from the same weights
                    # and have the same order of images.
                    seed=seed_of(seed, 3, NETWORKS.index(network), fold),
                )
                for network, kind in networks
            ]
            trainings += of_fold
            names = tuple(training.name for training in of_fold)
            tests.append(Test(f'test_fold{fold:02d}', names, partition.tested(fold), fold))
        return Plan(tuple(trainings), tuple(tests))

    def network(self, training: Training) -> nn.Module:
        """See `Learner.network`."""
        if training.network == 'localizer':
            return CoReUNet(self.recipe.network_settings())
        return PatchUNet(self.recipe.patch_settings())

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
        volumes, others = self._load(records), self._load(validation)
        if training.network == 'localizer':
            augment = training.variant == 'with'
            return LocalizerTask(
                volumes, others, self.recipe, augment=augment, seed=training.seed, device=device
            )
        return SegmenterTask(volumes, others, self.recipe, seed=training.seed, device=device)

    def meaning(self, network: str) -> tuple[str, str]:
        """See `Learner.meaning`."""
        if network == 'localizer':
            return 'mean distance (mm)', 'mean distance (mm)'
        return 'cross-entropy and Dice loss', 'cross-entropy and Dice loss'

    def assemble(
        self, networks: Mapping[str, nn.Module], records: Sequence[Record]
    ) -> CoeruleusModel:
        """Combine networks, with the targets of the training set on the card."""
        return CoeruleusModel(
            self.protocol.labels,
            tuple(n for n in networks.values() if isinstance(n, CoReUNet)),
            tuple(n for n in networks.values() if isinstance(n, PatchUNet)),
            {'targets': ' '.join(self.known_targets(records))},
            self.protocol.voxel_mm,
        )

    def finish(
        self,
        model: CoeruleusModel,
        trained: Mapping[str, Trained],
        training: Sequence[Record],
        validation: Sequence[Record],
        device: str,
    ) -> tuple[CoeruleusModel, Card]:
        """Measure the networks in the validation set."""
        error_mm, dice = validation_measures(model, validation, self.protocol, device)
        blind_mm = blind_error(self._load(training), self._load(validation))
        best = (f'{name}: {t.best} of {len(t.log)}' for name, t in trained.items())
        entries = {
            'recipe': self.recipe.name,
            'best_epoch': ', '.join(best),
            'augmentation': self.augmentations[0],
            'seeds': str(self.options['random_seed']),
            'validation_mm': _number(error_mm),
            'blind_mm': _number(blind_mm),
            'validation_dice_lpp': _number(dice),
        }
        if error_mm > _USEFUL * blind_mm:
            entries[WARNING] = _USELESS.format(error_mm, blind_mm)
        recipe = json.dumps(asdict(self.recipe), indent=1, sort_keys=True)
        sections = {
            'Error': [
                _MEASURED.format(self.protocol.name),
                '',
                f'- mean distance from the reference: {_number(error_mm)} mm',
                f'- that of the mean place of the training set: {_number(blind_mm)} mm',
                f'- mean Dice of one patch at the points: {_number(dice)}',
            ],
            'Recipe': ['```json', recipe, '```'],
        }
        return model, Card(entries, [('Network', _DESCRIPTION)], sections)

    def save(self, path: Path, model: CoeruleusModel, card: Mapping[str, str]) -> Path:
        """See `Learner.save`."""
        return save_coeruleus(path, replace(model, card={**model.card, **card}))

    def predict(self, model: CoeruleusModel, record: Record, device: str = 'cpu') -> PointSet:
        """See `Learner.predict`."""
        (volume,) = self._load([record])
        found = PointSet(model.labels, localise(model, volume, device))
        return found.transformed(volume.affine)

    def test(
        self,
        test: Test,
        models: Sequence[tuple[Training, Any]],
        records: Sequence[Record],
        device: str = 'cpu',
    ) -> Rows:
        """Localise with each localizer, and segment in each way."""
        localizers = {t.variant: m for t, m in models if t.network == 'localizer'}
        segmenters = [model for t, model in models if t.network == 'segmenter']
        methods = list(self.options['segmentation'])
        if any(model is None for _, model in models):
            ways = methods if segmenters else ()
            failed = [failed_rows(r, self.protocol, localizers, ways) for r in records]
            points, segments = ([row for rows in failed for row in rows[k]] for k in (0, 1))
        else:
            segmenter = segmenters[0] if segmenters else None
            points, segments = evaluate_fold(
                records, self.protocol, localizers, segmenter, methods, device
            )
        return {
            'points': [{**row, 'fold': test.fold} for row in points],
            'segmentation': [{**row, 'fold': test.fold} for row in segments],
        }

    def tables(
        self, rows: Rows, trainings: Sequence[Mapping[str, Any]], plan: Plan
    ) -> list[Table]:
        """Points, segmentations, folds and trainings."""
        folds = [{'participant': p, 'role': role} for p, role in _roles(plan).items()]
        renamed = {'variant': 'augmentation', 'count': 'epochs', 'kept': 'best_epoch'}
        trained = pd.DataFrame(trainings).rename(columns=renamed)
        points, segments = (
            pd.DataFrame(rows[name], columns=list(columns))
            for name, columns in (('points', POINTS), ('segmentation', SEGMENTATION))
        )
        return [
            Table('points', 'Points localised in the test sets', POINTS, points),
            Table(
                'segmentation',
                'Segmentations of the test sets',
                SEGMENTATION,
                segments if len(segments) else None,
            ),
            Table(
                'folds',
                'Participants that validate each fold, and held-out participants',
                FOLDS,
                pd.DataFrame(folds, columns=list(FOLDS)),
            ),
            Table(
                'trainings',
                'All trainings, and the epochs that were kept',
                TRAININGS,
                trained.reindex(columns=list(TRAININGS)),
            ),
        ]

    def entries(self, plan: Plan) -> dict[str, Any]:
        """See `Learner.entries`."""
        optimistic = not self.options['held_out']
        return {
            'Recipe': json.loads(json.dumps(asdict(self.recipe), sort_keys=True)),
            'VoxelSize': self.protocol.voxel_mm,
            'HeldOut': self.options['held_out'],
            'Augmentations': self.augmentations,
            'Methods': list(self.options['segmentation']),
            'LocalizerOfLpp': f'the one {self.augmentations[0]} augmentation',
            'Grid': "isotropic voxels of VoxelSize; the rater's mask is resampled, a voxel "
            'having the label that at least half of it has',
            'ReferenceRegion': "ball in the pons, placed by the localizer's points for the "
            "segmentation and by the rater's points for the mask",
            'Generalisation': _OPTIMISTIC if optimistic else _HELD_OUT,
        }

    def memory_gb(self, images: Sequence[Path]) -> float:
        """See `Learner.memory_gb`."""
        return training_gb(images, self.protocol.voxel_mm, self.recipe)


def _roles(plan: Plan) -> dict[str, str]:
    """Participant to the fold that it validates, or 'held out'."""
    validating = {p: str(t.fold) for t in plan.trainings for p in t.validate}
    tested = dict.fromkeys(p for test in plan.tests for p in test.participants)
    held_out = {p: 'held out' for p in tested if p not in validating}
    return held_out | validating


def _number(value: float) -> str:
    return f'{value:.2f}' if np.isfinite(value) else 'n/a'
