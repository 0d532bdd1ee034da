"""Inputs that the cross-validations of all protocols share."""

from __future__ import annotations

from nipype.interfaces.base import BaseInterfaceInputSpec, traits


class CachedInputSpec(BaseInterfaceInputSpec):
    """Input of whatever Nipype may answer from its cache."""

    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')


class PrepareInputSpec(CachedInputSpec):
    """Inputs of preparing one image."""

    stem = traits.Str(mandatory=True, desc='name of the image without suffix')
    bids_dir = traits.Str(mandatory=True, desc='the data set')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    in_file = traits.Str(mandatory=True, desc='image; checked by the reader, not by Nipype')
    fingerprint = traits.Str(mandatory=True, desc='of image and mask, so that new ones are seen')


class TorchInputSpec(CachedInputSpec):
    """Inputs of whatever computes with Torch in a fold."""

    fold = traits.Int(mandatory=True)
    threads = traits.Int(1, usedefault=True, nohash=True, desc='of Torch')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='compute on CUDA')


class TrainInputSpec(TorchInputSpec):
    """Inputs of a training."""

    seed = traits.Int(mandatory=True, desc='of this training')
    recipe = traits.Str(mandatory=True, desc='JSON of all that the recipe says')
