"""Nipype wrapper of conform and percentile normalisation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.atomic import write_text


class ConformInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Conform`."""

    in_file = traits.Str(mandatory=True, desc='T1w image; checked by the reader, not by Nipype')
    lower = traits.Float(5.0, usedefault=True, desc='percentile that becomes 0')
    upper = traits.Float(95.0, usedefault=True, desc='percentile that becomes 1')
    voxel_mm = traits.Float(desc='edge of cubic voxels on a grid of its own, not the common one')
    fingerprint = traits.Str(desc='size and time of the image, so that a new one is noticed')
    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')


class ConformOutputSpec(TraitedSpec):
    """Outputs of `Conform`."""

    conformed = File(exists=True, desc='RAI or, with voxel_mm, RAS+; intensities as they were')
    properties = File(exists=True, desc='JSON: shape, affine, SHA-256, intensity window, findings')


class Conform(SimpleInterface):
    """Read a T1w, conform it (see `imaging.conform`, `imaging.isotropic`), find its window."""

    input_spec = ConformInputSpec
    output_spec = ConformOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        import nibabel as nib
        import numpy as np

        from tmsprep.files import file_sha256
        from tmsprep.imaging.conform import conform
        from tmsprep.imaging.intensities import mend_image
        from tmsprep.imaging.isotropic import conform_isotropic
        from tmsprep.imaging.read import read_image
        from tmsprep.imaging.volume import percentile_window

        path = Path(self.inputs.in_file)
        voxel_mm = self.inputs.voxel_mm
        on_own_grid = isdefined(voxel_mm)
        image, findings = mend_image(read_image(path), path, whole_head=not on_own_grid)
        window = percentile_window(
            np.asanyarray(image.dataobj), self.inputs.lower, self.inputs.upper
        )
        conformed = Path(runtime.cwd) / 'conformed.nii'
        result = conform_isotropic(image, voxel_mm) if on_own_grid else conform(image)
        nib.save(result, conformed)
        properties = {
            'path': str(path),
            'shape': list(image.shape),
            'affine': image.affine.tolist(),
            'sha256': file_sha256(path),
            'window': list(window),
            'findings': list(findings),
        }
        self._results['conformed'] = str(conformed)
        self._results['properties'] = str(
            write_text(Path(runtime.cwd) / 'properties.json', json.dumps(properties, indent=1))
        )
        return runtime
