"""Nipype wrapper of conform and percentile normalisation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.atomic import write_text
from tmsprep.imaging.conform import conform, voxels_in_grid
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.nifti_file import require_memory
from tmsprep.imaging.read import read_source
from tmsprep.imaging.volume import percentile_window

#: What a voxel of the isotropic grid takes at most, from here to the last step: intensities, their
#: copies and what networks make of them (measured: 20 bytes for points alone).
BYTES_PER_VOXEL = 40


class ConformInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Conform`."""

    in_file = traits.Str(mandatory=True, desc='T1w image; checked by the reader, not by Nipype')
    lower = traits.Float(5.0, usedefault=True, desc='percentile that becomes 0')
    upper = traits.Float(95.0, usedefault=True, desc='percentile that becomes 1')
    voxel_mm = traits.Float(desc='edge of cubic voxels on a grid of its own, not the common one')


class ConformOutputSpec(TraitedSpec):
    """Outputs of `Conform`."""

    conformed = File(exists=True, desc='RAI or, with voxel_mm, RAS+; intensities as they were')
    properties = File(exists=True, desc='JSON: grid, forms, SHA-256, intensity window, findings')


class Conform(SimpleInterface):
    """Read a T1w, conform it (see `imaging.conform`, `imaging.isotropic`), find its window."""

    input_spec = ConformInputSpec
    output_spec = ConformOutputSpec
    # The image or the files of an earlier run may have changed since; no step of an image trusts
    # Nipype's cache.
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        path = Path(self.inputs.in_file)
        voxel_mm = self.inputs.voxel_mm
        on_own_grid = isdefined(voxel_mm)
        source, sha256 = read_source(path)
        image, findings, doubts = mend_image(source, path, whole_head=not on_own_grid)
        conformed = Path(runtime.cwd) / 'conformed.nii'
        if on_own_grid:
            voxels = abs(np.linalg.det(image.affine[:3, :3])) * np.prod(image.shape) / voxel_mm**3
            require_memory(BYTES_PER_VOXEL * voxels, path, f'its grid of {voxel_mm:g} mm')
            result = conform_isotropic(image, voxel_mm)
            seen = np.asanyarray(image.dataobj)
        else:
            result = conform(image)
            seen = voxels_in_grid(image, result)
        window = percentile_window(seen, self.inputs.lower, self.inputs.upper)
        nib.save(result, conformed)
        properties = {
            'path': str(path),
            'shape': list(image.shape),
            'affine': image.affine.tolist(),
            'forms': source.extra['forms'].entries(),
            'sha256': sha256,
            'window': list(window),
            'findings': list(findings),
            'doubts': list(doubts),
        }
        self._results['conformed'] = str(conformed)
        self._results['properties'] = str(
            write_text(Path(runtime.cwd) / 'properties.json', json.dumps(properties, indent=1))
        )
        return runtime
