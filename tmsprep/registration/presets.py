"""How long and how finely to register."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One kind of transform and how it is optimised.

    Parameters
    ----------
    metric : str
        An ITK metric with places for the fixed and the moving image. Regular sampling and the
        global correlation GC give the same bits again with several threads; in the linear
        stages, mutual information does not.
    iterations, shrink, sigmas : str
        Per level, coarse to fine, in the notation of ``antsRegistration``.
    """

    metric: str
    iterations: str
    shrink: str
    sigmas: str


@dataclass(frozen=True)
class Preset:
    """A registration's grid and stages.

    Parameters
    ----------
    spacing_mm : int
        Voxel size of both brains.
    linear : Stage
        For the rigid and for the affine transform.
    deformable : Stage
        For SyN.
    gradient_step : float
        Of SyN, in voxels.
    flow_variance : float
        Of the Gaussian that smooths each update field, in squared voxels.
    """

    spacing_mm: int
    linear: Stage
    deformable: Stage
    gradient_step: float = 0.2
    flow_variance: float = 3.0


_CORRELATION = 'GC[{},{},1,1,Regular,0.25]'

PRESETS = {
    # All of it our choice: the lightest of those tried that placed the targets best. More
    # iterations changed nothing, cross-correlation took twice as long and was no better.
    'default': Preset(
        spacing_mm=2,
        linear=Stage(_CORRELATION, '300x100', '4x2', '2x1vox'),
        deformable=Stage('MI[{},{},1,32]', '40x20x0', '4x2x1', '2x1x0vox'),
        flow_variance=6.0,
    ),
    # ANTsPy's antsRegistrationSyNRepro[s]: the full registration, its linear stages with GC.
    'paper': Preset(
        spacing_mm=1,
        linear=Stage(_CORRELATION, '1000x500x250x100', '8x4x2x1', '3x2x1x0vox'),
        deformable=Stage('CC[{},{},1,2]', '100x70x50x20', '8x4x2x1', '3x2x1x0vox'),
    ),
    # For tests of the plumbing: its points are not to be used.
    'sloppy': Preset(
        spacing_mm=4,
        linear=Stage(_CORRELATION, '100', '2', '1vox'),
        deformable=Stage('MI[{},{},1,32]', '40x20', '2x1', '1x0vox'),
    ),
}
