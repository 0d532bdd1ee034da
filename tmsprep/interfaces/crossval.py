"""Nipype wrappers of the cross-validation."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.atomic import write_text
from tmsprep.bids import ImageRef
from tmsprep.failures import record_error
from tmsprep.interfaces.crossval_inputs import PrepareInputSpec, TrainInputSpec
from tmsprep.protocols import load_protocol

if TYPE_CHECKING:
    from tmsprep.points import PointSet


class PreparePersonInputSpec(PrepareInputSpec):
    """Inputs of `PreparePerson`."""

    mask = traits.Str(desc='brain mask or parcellation')
    points = traits.Str(mandatory=True, desc='JSON: label to [x, y, z] in mm RAS+, or null')


class PreparePersonOutputSpec(TraitedSpec):
    """Output of `PreparePerson`."""

    record = File(exists=True, desc='JSON, see `tmsprep.methods.baxter2021.prepared`')


class PreparePerson(SimpleInterface):
    """Conform one image and keep its pyramid; a failure is recorded, the others go on."""

    input_spec = PreparePersonInputSpec
    output_spec = PreparePersonOutputSpec

    def _run_interface(self, runtime):
        from tmsprep.methods.baxter2021.cohort import Annotated
        from tmsprep.methods.baxter2021.prepared import (
            Prepared,
            prepare,
            rows_to_points,
            write_cohort,
        )

        given, folder = self.inputs, Path(runtime.cwd)
        points = rows_to_points(json.loads(given.points))
        mask = Path(given.mask) if isdefined(given.mask) else None
        person = Annotated(given.stem, Path(given.in_file), points, mask)
        failure = None
        try:
            record = prepare(person, folder / 'cache', given.fingerprint)
        except Exception as error:
            message = str(error) or type(error).__name__
            failure = {'message': message, 'traceback': traceback.format_exc()}
            record = Prepared(given.stem, given.in_file, given.fingerprint, points, error=message)
        image = ImageRef.from_path(Path(given.bids_dir), Path(given.in_file))
        record_error(Path(given.out_dir), image, 'prepare', failure, folder)
        self._results['record'] = str(write_cohort(folder / 'person.json', [record]))
        return runtime


class JoinCohortInputSpec(BaseInterfaceInputSpec):
    """Inputs of `JoinCohort`."""

    records = traits.List(File(exists=True), mandatory=True, desc='of `PreparePerson`')


class JoinCohortOutputSpec(TraitedSpec):
    """Outputs of `JoinCohort`."""

    cohort = File(exists=True, desc='JSON with everyone')
    sha256 = traits.Str(desc='of its content')


class JoinCohort(SimpleInterface):
    """Write everyone into one file, which all trainings share."""

    input_spec = JoinCohortInputSpec
    output_spec = JoinCohortOutputSpec

    def _run_interface(self, runtime):
        from tmsprep.files import file_sha256
        from tmsprep.methods.baxter2021.prepared import read_cohort, write_cohort

        people = [person for path in self.inputs.records for person in read_cohort(path)]
        path = write_cohort(Path(runtime.cwd) / 'cohort.json', people)
        self._results.update(cohort=str(path), sha256=file_sha256(path))
        return runtime


class TrainFoldInputSpec(TrainInputSpec):
    """Inputs of `TrainFold`."""

    cohort = File(exists=True, mandatory=True, nohash=True, desc='JSON with everyone')
    cohort_sha256 = traits.Str(mandatory=True, desc='its content, images and points included')
    variant = traits.Str(mandatory=True, desc='residual layers')
    repetition = traits.Int(mandatory=True)
    left_out = traits.List(traits.Str, mandatory=True, desc='participants to predict')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    targets = traits.Str(mandatory=True, desc='JSON, so that a changed protocol file is noticed')


class TrainFoldOutputSpec(TraitedSpec):
    """Output of `TrainFold`."""

    predictions = File(exists=True, desc='JSON: the job, and the points of each left-out image')


class TrainFold(SimpleInterface):
    """Train without some people and localise in them; goes on from its checkpoint when killed."""

    input_spec = TrainFoldInputSpec
    output_spec = TrainFoldOutputSpec
    # Nipype keeps the folder of a node that was killed, if its inputs are still the same.
    _can_resume = True

    def _run_interface(self, runtime):
        import torch

        from tmsprep.learning.folds import Job
        from tmsprep.methods.baxter2021.crossval import recipe_from_json, run_job
        from tmsprep.methods.baxter2021.prepared import points_to_rows, read_cohort

        torch.set_num_threads(self.inputs.threads)
        given = self.inputs
        job = Job(given.variant, given.repetition, given.fold, tuple(given.left_out), given.seed)
        checkpoint = Path(runtime.cwd) / 'checkpoint.pt'
        found = run_job(
            read_cohort(given.cohort),
            job,
            recipe_from_json(given.recipe),
            load_protocol(given.protocol),
            checkpoint=checkpoint,
            device='cuda' if given.use_gpu else 'cpu',
        )
        images = {name: points_to_rows(points) for name, points in found.items()}
        path = Path(runtime.cwd) / 'predictions.json'
        write_text(path, json.dumps({'job': asdict(job), 'images': images}, indent=1))
        checkpoint.unlink(missing_ok=True)
        self._results['predictions'] = str(path)
        return runtime


class GatherFoldsInputSpec(BaseInterfaceInputSpec):
    """Inputs of `GatherFolds`."""

    cohort = File(exists=True, mandatory=True, desc='JSON with everyone')
    predictions = traits.List(File(exists=True), mandatory=True, desc='of `TrainFold`')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    settings = traits.Str(mandatory=True, desc='JSON: how it was done, for the sidecars')


class GatherFoldsOutputSpec(TraitedSpec):
    """Output of `GatherFolds`."""

    tables = traits.List(File(exists=True), desc='predictions, ensemble, summary')


class GatherFolds(SimpleInterface):
    """Write the tables of a finished cross-validation."""

    input_spec = GatherFoldsInputSpec
    output_spec = GatherFoldsOutputSpec
    # The outputs may have been deleted since: writing is cheap, so it is never skipped.
    always_run = True

    def _run_interface(self, runtime):
        from tmsprep.methods.baxter2021.crossval_outputs import write_outputs
        from tmsprep.methods.baxter2021.prepared import read_cohort

        tables = write_outputs(
            Path(self.inputs.out_dir),
            read_cohort(self.inputs.cohort),
            [_read_predictions(path) for path in self.inputs.predictions],
            load_protocol(self.inputs.protocol),
            json.loads(self.inputs.settings),
        )
        self._results['tables'] = [str(path) for path in tables]
        return runtime


def _read_predictions(path: str) -> tuple:
    """Job and points of each image, as `TrainFold` wrote them."""
    from tmsprep.learning.folds import Job
    from tmsprep.methods.baxter2021.prepared import rows_to_points

    content = json.loads(Path(path).read_text(encoding='utf-8'))
    job = Job(**{**content['job'], 'left_out': tuple(content['job']['left_out'])})
    return job, {name: rows_to_points(rows) for name, rows in content['images'].items()}


def points_as_json(points: PointSet) -> str:
    """Write points as `PreparePerson` takes them."""
    from tmsprep.methods.baxter2021.prepared import points_to_rows

    return json.dumps(points_to_rows(points))


def recipe_as_json(name: str, steps: int | None) -> str:
    """Write a recipe as `TrainFold` takes it, with another number of steps if one is given."""
    from tmsprep.methods.baxter2021.crossval import recipe_to_json
    from tmsprep.methods.baxter2021.recipes import recipe_named

    return recipe_to_json(recipe_named(name, **({} if steps is None else {'steps': steps})))
