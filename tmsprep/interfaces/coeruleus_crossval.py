"""Nipype wrappers of the cross-validation of the locus coeruleus."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from tmsprep.interfaces.crossval_inputs import (
    PrepareInputSpec,
    TorchInputSpec,
    TrainInputSpec,
)

if TYPE_CHECKING:
    from tmsprep.methods.duennwald2021.volumes import LabelledVolume

RECORDS = 'JSON texts, see `tmsprep.methods.duennwald2021.records`'


class PrepareVolumeInputSpec(PrepareInputSpec):
    """Inputs of `PrepareVolume`."""

    mask = traits.Str(desc="rater's mask")
    points = traits.Str(desc='without a mask; JSON: label to [x, y, z] in mm RAS+, or null')
    voxel_mm = traits.Float(mandatory=True, desc='edge of the isotropic voxels')


class PrepareVolumeOutputSpec(TraitedSpec):
    """Output of `PrepareVolume`."""

    # A text and no file: who trains then depends on the content, and on nobody else's.
    record = traits.Str(desc='JSON, see `tmsprep.methods.duennwald2021.records`')


class PrepareVolume(SimpleInterface):
    """Conform one image and its mask; a failure is recorded, the others go on."""

    input_spec = PrepareVolumeInputSpec
    output_spec = PrepareVolumeOutputSpec

    def _run_interface(self, runtime):
        from tmsprep.methods.baxter2021.prepared import rows_to_points
        from tmsprep.methods.duennwald2021.records import record_of
        from tmsprep.methods.duennwald2021.volumes import LabelledVolume, load_volumes

        given, folder = self.inputs, Path(runtime.cwd)
        points = rows_to_points(json.loads(given.points)) if isdefined(given.points) else None
        mask = Path(given.mask) if isdefined(given.mask) else None
        person = LabelledVolume(given.stem, Path(given.in_file), points, mask)
        failure, error = None, ''
        try:
            load_volumes([person], folder / 'cache', given.voxel_mm)
        except Exception as problem:
            error = str(problem) or type(problem).__name__
            failure = {'message': error, 'traceback': traceback.format_exc()}
        image = ImageRef.from_path(Path(given.bids_dir), Path(given.in_file))
        record_error(Path(given.out_dir), image, 'prepare', failure, folder)
        record = record_of(person, given.fingerprint, folder / 'cache', given.voxel_mm, error)
        self._results['record'] = record.as_json()
        return runtime


class TrainCoeruleusInputSpec(TrainInputSpec):
    """Inputs of `TrainCoeruleus`; it is given nothing of anybody else."""

    training = traits.List(traits.Str, mandatory=True, desc=f'whom to train on: {RECORDS}')
    validation = traits.List(traits.Str, mandatory=True, desc=f'who choose the epoch: {RECORDS}')
    network = traits.Enum('localizer', 'segmenter', mandatory=True)
    augmentation = traits.Enum('with', 'without', mandatory=True)


class TrainCoeruleusOutputSpec(TraitedSpec):
    """Outputs of `TrainCoeruleus`."""

    weights = File(exists=True, desc='one network, see `save_coeruleus`')
    summary = File(exists=True, desc='JSON: the epoch that was kept, and the log')


class TrainCoeruleus(SimpleInterface):
    """Train one network of a fold; goes on from its checkpoint when killed."""

    input_spec = TrainCoeruleusInputSpec
    output_spec = TrainCoeruleusOutputSpec
    # Nipype keeps the folder of a node that was killed, if its inputs are still the same.
    _can_resume = True

    def _run_interface(self, runtime):
        import torch

        from tmsprep.methods.duennwald2021.crossval import FoldTraining, train_network
        from tmsprep.methods.duennwald2021.fit import model_of
        from tmsprep.methods.duennwald2021.records import read_records, recipe_from_json, usable
        from tmsprep.methods.duennwald2021.weights import save_coeruleus

        torch.set_num_threads(self.inputs.threads)
        given, folder, start = self.inputs, Path(runtime.cwd), time.perf_counter()
        training, validation = (
            usable(read_records(g)) for g in (given.training, given.validation)
        )
        checkpoint = folder / 'checkpoint.pt'
        done = train_network(
            training,
            validation,
            FoldTraining(given.network, given.augmentation == 'with', given.seed),
            recipe_from_json(given.recipe),
            checkpoint=checkpoint,
            device='cuda' if given.use_gpu else 'cpu',
        )
        model = model_of([done.network], training, {'fold': str(given.fold)})
        self._results['weights'] = str(save_coeruleus(folder / 'network.safetensors', model))
        summary = {
            'network': given.network,
            'augmentation': given.augmentation,
            'fold': given.fold,
            'epochs': len(done.log),
            'best_epoch': done.best_epoch,
            **{key: done.log[done.best_epoch - 1][key] for key in ('loss', 'validation')},
            'training_images': len(training),
            'validation_images': len(validation),
            'seconds': time.perf_counter() - start,
            'log': done.log,
        }
        path = write_text(folder / 'summary.json', json.dumps(summary, indent=1))
        checkpoint.unlink(missing_ok=True)
        self._results['summary'] = str(path)
        return runtime


class EvaluateFoldInputSpec(TorchInputSpec):
    """Inputs of `EvaluateFold`."""

    people = traits.List(traits.Str, mandatory=True, desc=f'whom to test: {RECORDS}')
    augmentation = traits.List(traits.Str, mandatory=True, desc='of each localizer')
    localizers = traits.List(File(exists=True), mandatory=True, desc='of `TrainCoeruleus`')
    segmenter = File(exists=True, desc='of `TrainCoeruleus`')
    methods = traits.List(traits.Str, mandatory=True, desc='any of npp, pp, lpp')


class EvaluateFoldOutputSpec(TraitedSpec):
    """Output of `EvaluateFold`."""

    rows = File(exists=True, desc='JSON: rows of points and of segmentations')


class EvaluateFold(SimpleInterface):
    """Localise and segment in people whom the networks of a fold were not trained on."""

    input_spec = EvaluateFoldInputSpec
    output_spec = EvaluateFoldOutputSpec

    def _run_interface(self, runtime):
        import torch

        from tmsprep.methods.duennwald2021.crossval import evaluate_fold
        from tmsprep.methods.duennwald2021.records import read_records
        from tmsprep.methods.duennwald2021.weights import load_coeruleus

        torch.set_num_threads(self.inputs.threads)
        given = self.inputs
        models = map(load_coeruleus, given.localizers)
        points, segments = evaluate_fold(
            read_records(given.people),
            given.fold,
            dict(zip(given.augmentation, models, strict=True)),
            load_coeruleus(given.segmenter) if isdefined(given.segmenter) else None,
            list(given.methods),
            'cuda' if given.use_gpu else 'cpu',
        )
        text = json.dumps({'points': points, 'segments': segments}, indent=1)
        self._results['rows'] = str(write_text(Path(runtime.cwd) / 'rows.json', text))
        return runtime


class GatherCoeruleusInputSpec(BaseInterfaceInputSpec):
    """Inputs of `GatherCoeruleus`."""

    rows = traits.List(File(exists=True), mandatory=True, desc='of `EvaluateFold`')
    summaries = traits.List(File(exists=True), mandatory=True, desc='of `TrainCoeruleus`')
    records = traits.List(traits.Str, mandatory=True, desc=f'everyone: {RECORDS}')
    roles = traits.Str(mandatory=True, desc='JSON: participant to fold or held out')
    optimistic = traits.Bool(mandatory=True, desc='nobody was held out')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    settings = traits.Str(mandatory=True, desc='JSON: how it was done, for the sidecars')


class GatherCoeruleusOutputSpec(TraitedSpec):
    """Outputs of `GatherCoeruleus`."""

    tables = traits.List(File(exists=True), desc='points, segmentation, folds, trainings')


class GatherCoeruleus(SimpleInterface):
    """Write the tables of a finished cross-validation."""

    input_spec = GatherCoeruleusInputSpec
    output_spec = GatherCoeruleusOutputSpec
    # The outputs may have been deleted since: writing is cheap, so it is never skipped.
    always_run = True

    def _run_interface(self, runtime):
        from tmsprep.methods.duennwald2021.crossval_outputs import write_coeruleus_outputs
        from tmsprep.methods.duennwald2021.records import read_records

        given = self.inputs
        results = [_read(path) for path in given.rows]
        roles = json.loads(given.roles)
        tables: dict[str, list[dict[str, Any]]] = {
            'crossval_points': [row for found in results for row in found['points']],
            'crossval_folds': [{'participant': p, 'role': role} for p, role in roles.items()],
            'crossval_trainings': [_read(path) for path in given.summaries],
        }
        segments = [row for found in results for row in found['segments']]
        if segments:
            tables['crossval_segmentation'] = segments
        people = read_records(given.records)
        counts = {
            'Participants': len(roles),
            'Images': len(people),
            'ImagesLeftOut': {p.name: p.error for p in people if p.error},
        }
        settings = {**json.loads(given.settings), **counts}
        written = write_coeruleus_outputs(
            Path(given.out_dir), tables, settings, optimistic=given.optimistic
        )
        self._results['tables'] = [str(path) for path in written]
        return runtime


def _read(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding='utf-8'))


def prepare_inputs(person: LabelledVolume) -> dict[str, str]:
    """Files and points of a person, as `PrepareVolume` takes them."""
    from tmsprep.methods.baxter2021.prepared import points_to_rows

    inputs = {'stem': person.name, 'in_file': str(person.image)}
    if person.mask is not None:
        inputs['mask'] = str(person.mask)
    if person.points is not None:
        inputs['points'] = json.dumps(points_to_rows(person.points))
    return inputs


def coeruleus_recipe_as_json(name: str, epochs: int | None) -> str:
    """Write a recipe as `TrainCoeruleus` takes it."""
    from tmsprep.methods.duennwald2021.recipes import coeruleus_recipe
    from tmsprep.methods.duennwald2021.records import recipe_to_json

    return recipe_to_json(coeruleus_recipe(name, epochs))
