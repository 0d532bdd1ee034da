"""Nipype wrappers that write into the output folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.atomic import atomic_path
from tmsprep.bids.names import ImageRef, derivative_path
from tmsprep.derivatives import write_json, write_targets
from tmsprep.failures import record_error
from tmsprep.outcome import Outcome
from tmsprep.protocols import load_protocol


class WriteDerivativesInputSpec(BaseInterfaceInputSpec):
    """Inputs of `WriteDerivatives`."""

    bids_dir = traits.Str(mandatory=True, desc='data set')
    in_file = traits.Str(mandatory=True, desc='T1w image')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    properties = File(exists=True, mandatory=True, desc='of the T1w, see `Conform`')
    cnn = File(exists=True, desc='outcome of the CNN')
    syn = File(exists=True, desc='outcome of the registration')
    mask = File(exists=True, desc='brain mask')
    transforms = traits.Dict(desc='suffix-less names of transforms to their files')
    random_seed = traits.Int(mandatory=True)
    run_id = traits.Str(nohash=True, desc='of this run')


class WriteDerivativesOutputSpec(TraitedSpec):
    """Outputs of `WriteDerivatives`."""

    tables = traits.Dict(desc='method to table of targets')


class WriteDerivatives(SimpleInterface):
    """Write tables, sidecars, brain mask and transforms of one T1w, and what went wrong."""

    input_spec = WriteDerivativesInputSpec
    output_spec = WriteDerivativesOutputSpec
    # The outputs may have been deleted since: writing is cheap, so it is never skipped.
    always_run = True

    def _run_interface(self, runtime):
        out_dir = Path(self.inputs.out_dir)
        image = ImageRef.from_path(Path(self.inputs.bids_dir), Path(self.inputs.in_file))
        properties = json.loads(Path(self.inputs.properties).read_text(encoding='utf-8'))
        outcomes = {
            method: Outcome.read(getattr(self.inputs, method))
            for method in ('cnn', 'syn')
            if isdefined(getattr(self.inputs, method))
        }
        if isdefined(self.inputs.mask):
            self._write_mask(out_dir, image)
        self._copy_transforms(out_dir, image)
        written = write_targets(
            out_dir,
            image,
            outcomes,
            load_protocol(self.inputs.protocol),
            properties,
            self.inputs.random_seed,
        )
        self._results['tables'] = {
            method: str(path) for method, path in zip(outcomes, written[1::2], strict=True)
        }
        for method, outcome in outcomes.items():
            source = Path(getattr(self.inputs, method)).parent
            record_error(out_dir, image, method, outcome.error, source)
        return runtime

    def _write_mask(self, out_dir: Path, image: ImageRef) -> None:
        path = derivative_path(out_dir, image, desc='brain', suffix='mask', extension='.nii.gz')
        sidecar = {
            'Type': 'Brain',
            'Sources': [image.uri],
            'SpatialReference': 'orig',
            'Description': 'Brain mask on the conformed grid (1 mm), in the frame of the T1w',
        }
        write_json(path.with_name(path.name.replace('.nii.gz', '.json')), sidecar)
        _copy(Path(self.inputs.mask), path)

    def _copy_transforms(self, out_dir: Path, image: ImageRef) -> None:
        transforms = self.inputs.transforms if isdefined(self.inputs.transforms) else {}
        for name, source in transforms.items():
            start, end = name.split('_to_')
            path = derivative_path(
                out_dir,
                image,
                suffix='xfm',
                extension=Path(source).suffix,
                **{'from': start, 'to': end, 'mode': 'image'},
            )
            sidecar = {'Sources': [image.uri], 'Description': TRANSFORM_DESCRIPTION}
            write_json(path.with_suffix('.json'), sidecar)
            _copy(Path(source), path)


TRANSFORM_DESCRIPTION = (
    'Composite transform of ITK (LPS, mm). It resamples images from the first space to the '
    'second; points move the other way, from the second space to the first'
)


def _copy(source: Path, destination: Path) -> None:
    with atomic_path(destination) as partial:
        shutil.copyfile(source, partial)
