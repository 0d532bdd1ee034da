"""The interface of methods that are trained and cross-validated."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef
from tmsprep.files import code_version
from tmsprep.learning.annotations import Annotations, collect_annotated
from tmsprep.learning.card import Card
from tmsprep.learning.examples import Example, Record
from tmsprep.learning.plan import Plan, Test, Training, make_partition, seed_of
from tmsprep.options import NamedPath
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column

if TYPE_CHECKING:
    from torch import nn

    from tmsprep.learning.loop import Task, Trained

#: Status of a point of a cross-validation, with its meaning.
STATUSES = {
    'ok': 'localised, and there is a reference',
    'no_reference': 'localised, but without a reference there is no error',
    'failed': 'not localised: the image could not be used, no participant of the training set has '
    'the target, or the training diverged',
}

#: Columns of the table of predictions beyond the common ones.
PREDICTION_COLUMNS: dict[str, Column] = {
    'participant_id': column('The participant, who is not in the training set'),
    'variant': column('Variant that is compared'),
    'status': column('What is known about the point', **STATUSES),
}

#: Rows of each table.
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Table:
    """One table of a cross-validation.

    Parameters
    ----------
    name : str
        Last part of its file name, as `tmsprep.bids.names.Layout.level` takes it.
    description : str
        What the table holds.
    columns : mapping
        Descriptions of the columns, in the order of the table.
    rows : pandas.DataFrame or None
        None if there is no such table; that of an earlier run is deleted then.
    """

    name: str
    description: str
    columns: Mapping[str, Column]
    rows: pd.DataFrame | None


class Learner(ABC):
    """How a method is trained and cross-validated for one protocol.

    `network`, `task`, `save` and `predict` must be written. A learner must be cheap to import and
    to create: torch is imported inside the functions that need it.

    Parameters
    ----------
    protocol : Protocol
        The targets.
    options : mapping
        Option name to value; in a step of a cross-validation only those of `train_options` and,
        in a test, `test_options`, as JSON keeps them.

    Attributes
    ----------
    train_options, test_options : tuple of str
        Options that a training, or only a test, of a cross-validation depends on.
    least_participants : int
        Smallest number of participants that can be trained on.
    least_validation : int
        Smallest number of participants in the validation set.
    half_precision : bool
        Whether networks are rounded to half precision, as weights files hold them, before they
        are tested in a cross-validation.
    """

    train_options: ClassVar[tuple[str, ...]] = ()
    test_options: ClassVar[tuple[str, ...]] = ()
    least_participants: ClassVar[int] = 2
    least_validation: ClassVar[int] = 0
    half_precision: ClassVar[bool] = True

    def __init__(self, protocol: Protocol, options: Mapping[str, Any]) -> None:
        self.protocol, self.options = protocol, options

    @property
    def version(self) -> str:
        """Checkpoints and steps of a cross-validation are reused while it stays the same.

        As `Method.version`.
        """
        return code_version(type(self))

    def check(self) -> None:
        """Refuse files among the options that cannot be used, before anything is run.

        Raises
        ------
        tmsprep.methods.resources.ResourceError
            With the file and the cure.
        """
        # By default no option names a file.
        return

    def collect(
        self,
        images: Mapping[str, Sequence[ImageRef]],
        folder: Path,
        threshold_mm: float,
        merged: Path | None = None,
    ) -> Annotations:
        """Find and check the annotations of images; files of points unless overridden.

        Parameters
        ----------
        images : mapping
            Participant's label to the images of the run.
        folder : Path
            Directory of the raters.
        threshold_mm : float
            Largest distance between raters who agree.
        merged : Path, optional
            Directory for masks that are made of several files; without it nothing is written.

        Raises
        ------
        BidsError
            If there are no annotations.
        """
        return collect_annotated(images, folder, self.protocol, threshold_mm)

    def describe(self, example: Example) -> str:
        """Describe the annotation of an example in a few words."""
        points = example.points
        if points is None:
            return str(example.mask)
        return f'{int(points.found.sum())} of {len(points)} points'

    def complete(
        self,
        examples: Sequence[Example],
        images: Mapping[str, ImageRef],
        derivatives: Sequence[NamedPath],
        folder: Path,
    ) -> list[Example]:
        """Add to examples what else the method needs.

        Parameters
        ----------
        examples : sequence of Example
            Annotated images.
        images : mapping
            Name of an example to its image.
        derivatives : sequence of NamedPath
            Directories of earlier derivatives.
        folder : Path
            Directory for what is made; it is kept between runs.
        """
        return list(examples)

    def prepare(self, example: Example, cache: Path) -> dict[str, Any]:
        """Compute in advance what training needs of one example.

        Parameters
        ----------
        example : Example
            The image and its annotation.
        cache : Path
            Directory for the results, of this example and its files alone.

        Returns
        -------
        dict
            `Record.facts`.

        Raises
        ------
        Exception
            Any, if the example cannot be used; the message names the file.
        """
        return {}

    def known_targets(self, records: Sequence[Record]) -> list[str]:
        """List the targets of the protocol that at least one record has."""
        known = {
            label
            for record in records
            if record.example.points is not None
            for label, there in zip(
                record.example.points.labels, record.example.points.found, strict=True
            )
            if there
        }
        return [label for label in self.protocol.labels if label in known]

    def identity(self) -> dict[str, Any]:
        """Return what the options say of a training, JSON-ready.

        A checkpoint of a training with another identity, other images or points is refused.
        """
        return {name: self.options.get(name) for name in self.train_options}

    def trainings(self, training: Sequence[Record], seed: int) -> list[Training]:
        """List the trainings that weights for use are made of.

        Parameters
        ----------
        training : sequence of Record
            Training set.
        seed : int
            Seed of the run.
        """
        return [Training('network', seed=seed)]

    def plan(self, participants: Sequence[str], examples: Sequence[Example]) -> Plan:
        """Plan a cross-validation: every participant is held out once per repetition.

        Parameters
        ----------
        participants : sequence of str
            Such as 'sub-01', each once.
        examples : sequence of Example
            Their images.

        Raises
        ------
        ValueError
            If the participants cannot be divided as the options want.
        """
        return self.plan_variants(participants, {'network': 0})

    def plan_variants(self, participants: Sequence[str], variants: Mapping[str, int]) -> Plan:
        """Plan a cross-validation that compares variants of a network.

        All variants and repetitions have the same folds, so that they can be compared participant
        by participant.

        Parameters
        ----------
        participants : sequence of str
            Such as 'sub-01', each once.
        variants : mapping
            Variant to the number that its seeds are drawn from.
        """
        seed, repetitions = self.options['random_seed'], self.options['repetitions']
        partition = make_partition(participants, folds=self.options['folds'], random_seed=seed)
        trainings, tests = [], []
        for variant, number in variants.items():
            for repetition in range(1, repetitions + 1):
                for fold in partition.folds:
                    tested = partition.part(fold)
                    name = f'{variant}_rep{repetition}_fold{fold:02d}'
                    train = tuple(p for p in participants if p not in tested)
                    drawn = seed_of(seed, 1, repetition, number, fold)
                    trainings.append(
                        Training(name, '', variant, repetition, fold, train, (), drawn)
                    )
                    tests.append(Test(f'test_{name}', (name,), tested, fold))
        return Plan(tuple(trainings), tuple(tests))

    @abstractmethod
    def network(self, training: Training) -> nn.Module:
        """Return the network of a training with any weights."""

    @abstractmethod
    def task(
        self,
        training: Training,
        records: Sequence[Record],
        validation: Sequence[Record],
        *,
        device: str = 'cpu',
        reduced: bool = False,
    ) -> Task:
        """Return what a training learns.

        Parameters
        ----------
        training : Training
            Network, variant and seed.
        records : sequence of Record
            Training set.
        validation : sequence of Record
            Validation set, perhaps empty.
        device : str
            'cpu' or 'cuda'.
        reduced : bool
            Whether it may compute in reduced precision where the machine is fast in it.

        Raises
        ------
        ValueError
            If there is nothing to train on.
        """

    def meaning(self, network: str) -> tuple[str, str]:
        """Return what the loss of a network, and its measure in the validation set, are."""
        return 'loss', 'loss'

    def assemble(self, networks: Mapping[str, nn.Module], records: Sequence[Record]) -> Any:
        """Join networks into a model that `predict` takes; the only network unless overridden.

        Parameters
        ----------
        networks : mapping
            Name of the training to its network.
        records : sequence of Record
            Training set.
        """
        return next(iter(networks.values()))

    def finish(
        self,
        model: Any,
        trained: Mapping[str, Trained],
        training: Sequence[Record],
        validation: Sequence[Record],
        device: str,
    ) -> tuple[Any, Card]:
        """Measure a model that was trained for use, and describe it.

        Parameters
        ----------
        model : Any
            What `assemble` returned.
        trained : mapping
            Name of the training to its result.
        training, validation : sequence of Record
            Training set and validation set.
        device : str
            'cpu' or 'cuda'.

        Returns
        -------
        tuple
            The model, perhaps with what was measured, and what the model card says of it; its
            entry `WARNING` if the model must not be used.
        """
        return model, Card()

    @abstractmethod
    def save(self, path: Path, model: Any, card: Mapping[str, str]) -> Path:
        """Write a model as a weights file, with the entries of its card."""

    @abstractmethod
    def predict(self, model: Any, record: Record, device: str = 'cpu') -> PointSet:
        """Localise all targets in one image; mm, RAS+, in its scanner frame, NaN where missing."""

    def test(
        self,
        test: Test,
        models: Sequence[tuple[Training, Any]],
        records: Sequence[Record],
        device: str = 'cpu',
    ) -> Rows:
        """Test networks in images that they were not trained on.

        Parameters
        ----------
        test : Test
            Of the plan.
        models : sequence of tuple
            Each training of the test, and what `assemble` returned for its network; None if the
            training diverged.
        records : sequence of Record
            Test set; those with an error have rows without a point.
        device : str
            'cpu' or 'cuda'.

        Returns
        -------
        dict
            Name to rows, JSON-ready; one row per training, image and target unless overridden.
        """
        rows = []
        for training, model in models:
            for record in records:
                points = None
                if model is not None and not record.error:
                    points = self.predict(model, record, device)
                rows += self.point_rows(training, record, points)
        return {'predictions': rows}

    def point_rows(
        self, training: Training, record: Record, points: PointSet | None
    ) -> list[dict[str, Any]]:
        """Compare the points of one image with its reference, one row per target."""
        labels = self.protocol.labels
        found = PointSet.from_mapping({}, labels) if points is None else points.reindex(labels)
        given = record.example.points
        reference = PointSet.from_mapping({}, labels) if given is None else given.reindex(labels)
        errors, statuses = found.distance(reference), self.statuses(found, reference, record)
        return [
            {
                'participant_id': record.participant,
                'image': record.name,
                'variant': training.variant,
                'repetition': training.repetition,
                'fold': training.fold,
                'label': label,
                **dict(zip('xyz', found.coordinates[i].tolist(), strict=True)),
                **{
                    f'reference_{a}': float(reference.coordinates[i][k])
                    for k, a in enumerate('xyz')
                },
                'error_mm': float(errors[i]),
                'status': statuses[i],
            }
            for i, label in enumerate(labels)
        ]

    def statuses(self, found: PointSet, reference: PointSet, record: Record) -> list[str]:
        """Judge the points of one image; keys of `STATUSES`, one per target."""
        where = np.where(found.found, np.where(reference.found, 'ok', 'no_reference'), 'failed')
        return where.tolist()

    def tables(
        self,
        rows: Rows,
        trainings: Sequence[Mapping[str, Any]],
        plan: Plan,
    ) -> list[Table]:
        """Make the tables of a finished cross-validation.

        Parameters
        ----------
        rows : dict
            What `test` returned, joined in the order of the plan.
        trainings : sequence of mapping
            Of each training of the plan, see `tmsprep.learning.train.summary`; and 'error',
            'training_images' and 'validation_images'.
        plan : Plan
            All trainings and tests.
        """
        table = pd.DataFrame(rows['predictions'])
        description = 'Points predicted in participants who are not in the training set'
        return [Table('predictions', description, PREDICTION_COLUMNS, table)]

    def entries(self, plan: Plan) -> dict[str, Any]:
        """Return how the cross-validation was done, for the sidecars; JSON-ready."""
        return {'Options': self.identity()}

    def memory_gb(self, images: Sequence[Path]) -> float:
        """Peak memory of a training or a test with some images, GB of 10^9 bytes."""
        return 2.0


def as_json(options: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return some options as a text that is the same for the same values."""
    chosen = {name: options[name] for name in names if name in options}
    return json.dumps(chosen, sort_keys=True, default=str)
