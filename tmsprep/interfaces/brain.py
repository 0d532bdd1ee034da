"""Nipype wrapper of brain extraction."""

from __future__ import annotations

import json
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.atomic import write_text
from tmsprep.outcome import describe_error


class ExtractBrainInputSpec(BaseInterfaceInputSpec):
    """Inputs of `ExtractBrain`."""

    conformed = File(exists=True, mandatory=True, desc='conformed T1w')
    weights = File(exists=True, mandatory=True, desc='safetensors file of a BrainUNet')
    given_mask = File(exists=True, desc='mask to use instead, any grid in the same world')
    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')


class ExtractBrainOutputSpec(TraitedSpec):
    """Outputs of `ExtractBrain`; the mask is missing if there is an error."""

    mask = File(desc='uint8, on the conformed grid')
    error = File(exists=True, desc='JSON: what went wrong, or null')


class ExtractBrain(SimpleInterface):
    """Find the brain, or take the mask that the user gave."""

    input_spec = ExtractBrainInputSpec
    output_spec = ExtractBrainOutputSpec

    def _run_interface(self, runtime):
        import nibabel as nib

        error = None
        try:
            mask = Path(runtime.cwd) / 'mask.nii.gz'
            nib.save(self._mask(), mask)
            self._results['mask'] = str(mask)
        except Exception as raised:
            error = describe_error(raised)
        record = write_text(Path(runtime.cwd) / 'error.json', json.dumps(error))
        self._results['error'] = str(record)
        return runtime

    def _mask(self):
        import nibabel as nib
        import torch

        from tmsprep.imaging.conform import resample_mask
        from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
        from tmsprep.registration.brain import brain_mask, is_skull_stripped

        conformed = nib.load(self.inputs.conformed)
        if isdefined(self.inputs.given_mask):
            return resample_mask(nib.load(self.inputs.given_mask), conformed)
        if is_skull_stripped(conformed):
            # The network would strip it once more and lose the outer cortex.
            return brain_mask(conformed)
        torch.set_num_threads(1)
        return extract_brain(conformed, load_brain_unet(self.inputs.weights))
