"""Nipype interfaces of the cross-validation.

No step trusts Nipype's cache, which does not see that a file is damaged: each keeps its result
itself, with checksums and all that it depends on (`tmsprep.learning.kept`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from tmsprep.failures import record_error
from tmsprep.files import file_sha256
from tmsprep.learning.crossval import run_test, run_training, write_tables
from tmsprep.learning.examples import Example, Record
from tmsprep.learning.kept import check_unchanged, intact_records, kept, prepare_record
from tmsprep.learning.plan import Plan, Test, Training
from tmsprep.learning.train import identity_of
from tmsprep.methods import get_method
from tmsprep.methods.learner import Learner
from tmsprep.tables import write_json

_RECORDS = 'JSON texts, see `tmsprep.learning.examples.Record`'


class LearnerInputSpec(BaseInterfaceInputSpec):
    """Inputs of every step of a cross-validation."""

    method = traits.Str(mandatory=True, desc='name of the method')
    # Hashed by its representation, so that a changed list of targets is noticed.
    protocol = traits.Any(mandatory=True, desc='a `Protocol`')
    options = traits.Str('{}', usedefault=True, desc='JSON: options the step depends on')
    version = traits.Str(desc='of tmsprep, so that results of other code are not taken')


class NetworkInputSpec(LearnerInputSpec):
    """Inputs of a step that runs a network."""

    folder = traits.Str(mandatory=True, desc='directory in which the result is kept')
    records = traits.List(traits.Str, mandatory=True, desc=_RECORDS)
    threads = traits.Int(1, usedefault=True, nohash=True, desc='of Torch')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='compute on CUDA')


class _Step(SimpleInterface):
    """Interface that calls a learner."""

    always_run = True

    def learner(self) -> Learner:
        """Return the learner of the method."""
        given = self.inputs
        learner = get_method(given.method).learner(given.protocol, json.loads(given.options))
        if learner is None:
            raise ValueError(f'{given.method} does not learn')
        return learner

    def device(self) -> str:
        """Return the device, after setting the number of threads."""
        torch.set_num_threads(self.inputs.threads)
        return 'cuda' if self.inputs.use_gpu else 'cpu'

    def read_records(self, texts: list[str]) -> list[Record]:
        """Read records."""
        return [Record.from_json(text) for text in texts]


class PrepareInputSpec(LearnerInputSpec):
    """Inputs of `Prepare`."""

    image = traits.Any(mandatory=True, desc='an `ImageRef`')
    layout = traits.Any(mandatory=True, desc='a `Layout`')
    example = traits.Str(mandatory=True, desc='JSON, see `tmsprep.learning.examples.Example`')
    folder = traits.Str(mandatory=True, desc='directory of all that is prepared')


class PrepareOutputSpec(TraitedSpec):
    """Output of `Prepare`."""

    # A text and no file: a training then depends on the content of its own records alone.
    record = traits.Str(desc='JSON, see `tmsprep.learning.examples.Record`')


class Prepare(_Step):
    """Prepare one example; a failure is recorded, and the others are used."""

    input_spec = PrepareInputSpec
    output_spec = PrepareOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        example = Example.from_dict(json.loads(given.example))
        record, failure = prepare_record(self.learner(), example, Path(given.folder))
        record_error(given.layout, given.image, 'prepare', failure)
        self._results['record'] = record.to_json()
        return runtime


class TrainInputSpec(NetworkInputSpec):
    """Inputs of `Train`, which is given nothing of any other participant."""

    training = traits.Str(mandatory=True, desc='JSON, see `tmsprep.learning.plan.Training`')
    validation = traits.List(traits.Str, [], usedefault=True, desc=_RECORDS)


class TrainOutputSpec(TraitedSpec):
    """Outputs of `Train`."""

    network = File(exists=True, desc='see `tmsprep.learning.crossval.run_training`')
    summary = File(exists=True, desc='JSON: the training and its log')


class Train(_Step):
    """Train one network; resumes from its checkpoint after a kill."""

    input_spec = TrainInputSpec
    output_spec = TrainOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        given, learner = self.inputs, self.learner()
        training = Training.from_dict(json.loads(given.training))
        records, validation = map(self.read_records, (given.records, given.validation))

        def make(folder: Path) -> None:
            device = self.device()
            seen, others = (intact_records(learner, group) for group in (records, validation))
            run_training(learner, training, seen, others, folder, device)

        identity = [asdict(training), identity_of(learner, training, records, validation)]
        folder = kept(Path(given.folder) / training.name, identity, make)
        network, summary = folder / 'network.pt', folder / 'training.json'
        self._results.update(network=str(network), summary=str(summary))
        return runtime


class TestInputSpec(NetworkInputSpec):
    """Inputs of `TestNetworks`."""

    __test__ = False

    test = traits.Str(mandatory=True, desc='JSON, see `tmsprep.learning.plan.Test`')
    networks = traits.List(File(exists=True), mandatory=True, desc='of `Train`')


class TestOutputSpec(TraitedSpec):
    """Output of `TestNetworks`."""

    __test__ = False

    rows = File(exists=True, desc='JSON: name of a table to its rows')


class TestNetworks(_Step):
    """Test networks in participants that they were not trained on."""

    __test__ = False

    input_spec = TestInputSpec
    output_spec = TestOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        given, learner = self.inputs, self.learner()
        test, records = Test.from_dict(json.loads(given.test)), self.read_records(given.records)
        networks = [Path(path) for path in given.networks]

        def make(folder: Path) -> None:
            device = self.device()
            rows = run_test(learner, test, networks, intact_records(learner, records), device)
            # Images are read once more where results are compared with their intensities.
            check_unchanged(learner, records)
            write_json(folder / 'rows.json', rows)

        content = {
            'version': given.version,
            'protocol': repr(given.protocol),
            'options': given.options,
            'test': given.test,
            'networks': [file_sha256(path) for path in networks],
            'records': [
                [record.fingerprint, record.error, record.example.as_dict()] for record in records
            ],
        }
        folder = kept(Path(given.folder) / test.name, content, make)
        self._results['rows'] = str(folder / 'rows.json')
        return runtime


class GatherInputSpec(LearnerInputSpec):
    """Inputs of `Gather`."""

    layout = traits.Any(mandatory=True, desc='a `Layout`')
    plan = traits.Str(mandatory=True, desc='JSON, see `tmsprep.learning.plan.Plan`')
    tests = traits.List(File(exists=True), mandatory=True, desc='of `TestNetworks`')
    trainings = traits.List(File(exists=True), mandatory=True, desc='of `Train`')
    records = traits.List(traits.Str, mandatory=True, desc=_RECORDS)
    settings = traits.Str(mandatory=True, desc='JSON: how it was done, for the sidecars')


class GatherOutputSpec(TraitedSpec):
    """Output of `Gather`."""

    tables = traits.List(File(exists=True), desc='all tables')


class Gather(_Step):
    """Write the tables of a finished cross-validation."""

    input_spec = GatherInputSpec
    output_spec = GatherOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        tables = write_tables(
            self.learner(),
            Plan.from_json(given.plan),
            [json.loads(Path(path).read_text(encoding='utf-8')) for path in given.tests],
            [json.loads(Path(path).read_text(encoding='utf-8')) for path in given.trainings],
            self.read_records(given.records),
            given.layout,
            json.loads(given.settings),
        )
        self._results['tables'] = [str(path) for path in tables]
        return runtime
