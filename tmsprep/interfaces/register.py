"""Nipype wrapper of the atlas registration."""

from __future__ import annotations

import json
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

from tmsprep.outcome import Outcome

if TYPE_CHECKING:
    from tmsprep.registration.atlas import Atlas
    from tmsprep.registration.syn import RegistrationResult

FIGURE_SPACING_MM = 2
"""Grid of the atlas images that are only drawn."""


class RegisterAtlasInputSpec(BaseInterfaceInputSpec):
    """Inputs of `RegisterAtlas`."""

    conformed = File(exists=True, mandatory=True, desc='conformed T1w')
    mask = File(exists=True, desc='brain mask on the conformed grid')
    brain_error = File(exists=True, desc='JSON: why there is no mask, or null')
    approximate = File(exists=True, desc='outcome of the CNN, where the search may start')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    atlas = traits.Str(desc='annotated T1w to use instead of the default atlas')
    atlas_targets = traits.Str(desc='its points')
    brain_weights = traits.Str(mandatory=True, desc='to find the brain in a whole-head atlas')
    given_transforms = traits.List(traits.Str, desc='from-T1w and to-T1w of an earlier run')
    preset = traits.Str('default', usedefault=True)
    random_seed = traits.Int(1, usedefault=True)
    # Not called num_threads: Nipype would set that to the node's n_procs.
    itk_threads = traits.Int(1, usedefault=True, desc='moves points by up to a millimetre')
    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')


class RegisterAtlasOutputSpec(TraitedSpec):
    """Outputs of `RegisterAtlas`; only `outcome` is there after a failure."""

    outcome = File(exists=True, desc='JSON, see `tmsprep.outcome`')
    transforms = traits.Dict(desc='"<from>_to_<to>" to composite transform')
    before = File(desc='atlas on a grid over the T1w, after the linear part')
    after = File(desc='atlas on a grid over the T1w, after SyN')


class RegisterAtlas(SimpleInterface):
    """Carry the atlas's targets into the T1w; a failure is an outcome, not a crash."""

    input_spec = RegisterAtlasInputSpec
    output_spec = RegisterAtlasOutputSpec

    def _run_interface(self, runtime):
        try:
            outcome = self._register(Path(runtime.cwd))
        except Exception as error:
            outcome = Outcome.failed('syn', error)
        self._results['outcome'] = str(outcome.write(Path(runtime.cwd) / 'outcome.json'))
        return runtime

    def _register(self, folder: Path) -> Outcome:
        import nibabel as nib

        from tmsprep.registration.syn import register

        atlas = self._atlas(folder)
        if isdefined(self.inputs.given_transforms):
            return self._reuse(atlas)
        brain_error = json.loads(Path(self.inputs.brain_error).read_text(encoding='utf-8'))
        if brain_error is not None:
            return Outcome('syn', error=brain_error)
        conformed = nib.load(self.inputs.conformed)
        approximate = None
        if isdefined(self.inputs.approximate):
            approximate = Outcome.read(self.inputs.approximate).points
        result = register(
            conformed,
            atlas,
            work_dir=folder / 'transforms',
            mask=nib.load(self.inputs.mask),
            initial_points=approximate,
            preset=self.inputs.preset,
            random_seed=self.inputs.random_seed,
            n_threads=self.inputs.itk_threads,
        )
        self._keep(atlas, result, conformed, folder)
        return Outcome('syn', result.points, details=self._details(atlas, result))

    def _atlas(self, folder: Path) -> Atlas:
        from tmsprep.formats import read_points
        from tmsprep.protocols import load_protocol
        from tmsprep.registration.atlas import default_atlas, user_atlas

        protocol = load_protocol(self.inputs.protocol)
        if not isdefined(self.inputs.atlas):
            return default_atlas(protocol)
        points = read_points(Path(self.inputs.atlas_targets)).reindex(protocol.labels)
        return user_atlas(Path(self.inputs.atlas), points, self._atlas_mask(folder))

    def _atlas_mask(self, folder: Path) -> Path | None:
        """Find the brain in a user's atlas; None if it is skull-stripped already."""
        import nibabel as nib
        import torch

        from tmsprep.imaging.conform import conform
        from tmsprep.imaging.read import read_image
        from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
        from tmsprep.registration.brain import is_skull_stripped

        conformed = conform(read_image(Path(self.inputs.atlas)))
        if is_skull_stripped(conformed):
            return None
        torch.set_num_threads(1)
        path = folder / 'atlas_mask.nii.gz'
        nib.save(extract_brain(conformed, load_brain_unet(self.inputs.brain_weights)), path)
        return path

    def _reuse(self, atlas: Atlas) -> Outcome:
        from tmsprep.registration.transforms import move_points

        to_atlas, from_atlas = (Path(path) for path in self.inputs.given_transforms)
        self._results['transforms'] = _named(atlas.name, to_atlas, from_atlas)
        points = move_points(atlas.points, to_atlas)
        details = {'Atlas': {'Name': atlas.name}, 'ReusedTransform': to_atlas.name}
        return Outcome('syn', points, details=details)

    def _keep(
        self, atlas: Atlas, result: RegistrationResult, conformed: object, folder: Path
    ) -> None:
        """Hand on the transforms, and the atlas in the T1w's space for the figures."""
        import nibabel as nib
        import numpy as np

        from tmsprep.registration.frames import read_linear, write_linear
        from tmsprep.registration.transforms import warp_image

        self._results['transforms'] = _named(atlas.name, result.to_atlas, result.from_atlas)
        step = FIGURE_SPACING_MM
        grid = conformed.slicer[::step, ::step, ::step]
        inverse = write_linear(
            np.linalg.inv(read_linear(result.linear)), folder / 'transforms' / 'inverse.mat'
        )
        for name, transform in (('before', inverse), ('after', result.from_atlas)):
            path = folder / f'{name}.nii.gz'
            nib.save(warp_image(atlas.image, transform, grid), path)
            self._results[name] = str(path)

    def _details(self, atlas: Atlas, result: RegistrationResult) -> dict[str, object]:
        linear = result.linear_report
        return {
            'Atlas': {'Name': atlas.name},
            'SynPreset': self.inputs.preset,
            'Registration': {
                'Start': result.start,
                'AffineScale': list(linear.scales),
                'Shear': linear.shear,
                'Overlap': result.overlap,
                'Similarity': result.similarity,
                'JacobianRange': list(result.jacobian),
                'Threads': self.inputs.itk_threads,
            },
        }


def _named(atlas: str, to_atlas: Path, from_atlas: Path) -> dict[str, str]:
    return {f'T1w_to_{atlas}': str(to_atlas), f'{atlas}_to_T1w': str(from_atlas)}
