"""Nipype wrappers of localising and segmenting the locus coeruleus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from tmsprep.atomic import write_text
from tmsprep.outcome import Outcome, describe_error

if TYPE_CHECKING:
    import nibabel as nib
    import numpy as np

    from tmsprep.methods.duennwald2021.weights import CoeruleusModel


class CoeruleusInputSpec(BaseInterfaceInputSpec):
    """What both wrappers need."""

    conformed = File(exists=True, mandatory=True, desc='isotropic, see `Conform`')
    weights = File(exists=True, mandatory=True, desc='safetensors file, see `save_coeruleus`')
    weights_sha256 = traits.Str(mandatory=True, desc='so that new weights are noticed')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='compute on CUDA')


class LocateCoeruleusOutputSpec(TraitedSpec):
    """Outputs of `LocateCoeruleus`."""

    outcome = File(exists=True, desc='JSON, see `tmsprep.outcome`')
    heatmaps = traits.Dict(desc='label of a target to its heatmap; empty if it failed')


class LocateCoeruleus(SimpleInterface):
    """Find both points and their heatmaps; a failure is an outcome, not a crash."""

    input_spec = CoeruleusInputSpec
    output_spec = LocateCoeruleusOutputSpec

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        heatmaps: dict[str, str] = {}
        try:
            outcome, heatmaps = self._locate(folder)
        except Exception as error:
            outcome = Outcome.failed('coreunet', error)
        self._results['outcome'] = str(outcome.write(folder / 'outcome.json'))
        self._results['heatmaps'] = heatmaps
        return runtime

    def _locate(self, folder: Path) -> tuple[Outcome, dict[str, str]]:
        import numpy as np

        from tmsprep.evaluation.errors import dispersion
        from tmsprep.imaging.input_grid import save_heatmap
        from tmsprep.methods.duennwald2021.locate import locate_volume
        from tmsprep.methods.duennwald2021.status import heatmap_spread
        from tmsprep.points import PointSet

        model, volume, intensities = _prepared(self.inputs)
        found = locate_volume(model, intensities, 'cuda' if self.inputs.use_gpu else 'cpu')
        members = found.points @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        # A side that nobody in the training had a point of was never learnt.
        learnt = model.card.get('targets', ' '.join(model.labels)).split()
        known = np.array([label in learnt for label in model.labels])
        points = np.where(known[:, None], members.mean(axis=0), np.nan)
        columns = {
            'heatmap_spread_mm': [heatmap_spread(h, model.voxel_mm) for h in found.heatmaps]
        }
        if len(members) > 1:
            columns['dispersion_mm'] = dispersion(members).tolist()
        details = {**_details(self.inputs, model), 'EnsembleSize': len(members)}
        outcome = Outcome('coreunet', PointSet(model.labels, points), columns, details)
        paths = {
            label: str(save_heatmap(folder / f'{label}.nii.gz', heatmap, volume.affine))
            for label, heatmap in zip(model.labels, found.heatmaps, strict=True)
        }
        return outcome, paths


class SegmentCoeruleusInputSpec(CoeruleusInputSpec):
    """Inputs of `SegmentCoeruleus`."""

    properties = File(exists=True, mandatory=True, desc='of the image, see `Conform`')
    outcome = File(exists=True, mandatory=True, desc='of `LocateCoeruleus`')
    methods = traits.List(traits.Str, mandatory=True, desc="any of 'npp', 'pp' and 'lpp'")


class SegmentCoeruleusOutputSpec(TraitedSpec):
    """Outputs of `SegmentCoeruleus`."""

    segmentations = File(exists=True, desc='JSON: method to rows, error and details')
    labels = traits.Dict(desc='method to labels on the isotropic grid; empty if it failed')


class SegmentCoeruleus(SimpleInterface):
    """Label and measure both sides; a failure is said in the output, and is no crash."""

    input_spec = SegmentCoeruleusInputSpec
    output_spec = SegmentCoeruleusOutputSpec

    def _run_interface(self, runtime):
        from tmsprep.methods.duennwald2021.measures import missing_measures

        folder = Path(runtime.cwd)
        labels: dict[str, str] = {}
        try:
            found, labels = self._segment(folder)
        except Exception as error:
            nothing = {'rows': missing_measures('failed'), 'details': {}}
            failed = {**nothing, 'error': describe_error(error)}
            found = dict.fromkeys(self.inputs.methods, failed)
        self._results['labels'] = labels
        path = write_text(folder / 'segmentations.json', json.dumps(found, indent=1))
        self._results['segmentations'] = str(path)
        return runtime

    def _segment(self, folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        import nibabel as nib
        import numpy as np
        import torch

        from tmsprep.methods.duennwald2021.crossval import segmentations
        from tmsprep.methods.duennwald2021.derivatives import targets_of
        from tmsprep.methods.duennwald2021.measures import measure_segmentation, missing_measures
        from tmsprep.methods.duennwald2021.volumes import Volume
        from tmsprep.protocols import load_protocol

        outcome = Outcome.read(self.inputs.outcome)
        methods = list(self.inputs.methods)
        if outcome.points is None and 'lpp' in methods:
            raise ValueError(
                'there is no point to put the patch of lpp at, as the localisation failed '
                f'({outcome.error["message"]}); cure that first'
            )
        model, volume, intensities = _prepared(self.inputs)
        details = _details(self.inputs, model)
        if not model.segmenters:
            rows = missing_measures('no_network')
            return {key: {'rows': rows, 'error': None, 'details': details} for key in methods}, {}
        properties = json.loads(Path(self.inputs.properties).read_text(encoding='utf-8'))
        points, statuses = targets_of(
            outcome,
            load_protocol(self.inputs.protocol),
            tuple(properties['shape']),
            np.array(properties['affine']),
        )
        voxels = points.transformed(np.linalg.inv(volume.affine)).coordinates
        person = Volume('', torch.from_numpy(intensities), volume.affine, torch.empty(0, 3))
        raw, found, paths = volume.get_fdata(dtype=np.float32), {}, {}
        for method, labels, _ in segmentations(model, person, voxels, methods):
            paths[method] = str(folder / f'{method}.nii.gz')
            nib.save(nib.Nifti1Image(labels, volume.affine), paths[method])
            rows = measure_segmentation(labels, raw, volume.affine, points.coordinates, statuses)
            found[method] = {'rows': rows, 'error': None, 'details': details}
        return found, paths


def _prepared(inputs: Any) -> tuple[CoeruleusModel, nib.Nifti1Image, np.ndarray]:
    """Read the networks and the conformed image, and normalise its intensities."""
    import nibabel as nib
    import numpy as np
    import torch

    from tmsprep.imaging.normalise import normalise, percentile_window
    from tmsprep.methods.duennwald2021.weights import load_coeruleus
    from tmsprep.protocols import load_protocol

    # One thread, whatever the machine: sums in another order differ in the last digits.
    torch.set_num_threads(1)
    model, protocol = load_coeruleus(inputs.weights), load_protocol(inputs.protocol)
    wanted, there = ((of.labels, of.voxel_mm) for of in (protocol, model))
    if wanted != there:
        raise ValueError(
            f'{inputs.weights}: trained for {there}, but protocol {protocol.name} has {wanted} '
            '(targets, edge of a voxel in mm); give weights of this protocol'
        )
    for network in (*model.localizers, *model.segmenters):
        network.to('cuda' if inputs.use_gpu else 'cpu')
    volume = nib.load(inputs.conformed)
    # As in training: the window is that of the isotropic volume.
    data = volume.get_fdata(dtype=np.float32)
    return model, volume, normalise(data, percentile_window(data))


def _details(inputs: Any, model: CoeruleusModel) -> Mapping[str, Any]:
    """Describe the weights for a sidecar."""
    return {
        'Weights': {
            'Name': model.card.get('name', Path(inputs.weights).stem),
            'SHA256': inputs.weights_sha256,
            'TrainingData': model.card.get('data', 'not stated'),
        },
        'VoxelSize': model.voxel_mm,
    }
