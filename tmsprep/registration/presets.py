"""Settings of the registration: grids, metrics and iterations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Settings of the optimisation of one kind of transform.

    Parameters
    ----------
    metric : str
        An ITK metric with placeholders for the fixed and the moving image. Regular sampling and
        the global correlation GC are reproducible with several threads; in the linear stages,
        mutual information is not.
    iterations, shrink, sigmas : str
        Per level, coarse to fine, in the notation of ``antsRegistration``.
    """

    metric: str
    iterations: str
    shrink: str
    sigmas: str


@dataclass(frozen=True)
class Preset:
    """Grid and stages of a registration.

    Parameters
    ----------
    spacing_mm : int
        Voxel size of both brains.
    linear : Stage
        Stage of the rigid and of the affine transform.
    deformable : Stage
        Stage of SyN.
    gradient_step : float
        Step of SyN, in voxels.
    flow_variance : float
        Variance of the Gaussian that smooths each update field, in squared voxels.
    """

    spacing_mm: int
    linear: Stage
    deformable: Stage
    gradient_step: float = 0.2
    flow_variance: float = 3.0


_CORRELATION = 'GC[{},{},1,1,Regular,0.25]'

PRESETS = {
    # The fastest of those tried that located the targets best. More iterations changed nothing,
    # cross-correlation took twice as long and was no better.
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
    # For tests of the workflow: its points are not accurate.
    'sloppy': Preset(
        spacing_mm=4,
        linear=Stage(_CORRELATION, '100', '2', '1vox'),
        deformable=Stage('MI[{},{},1,32]', '40x20', '2x1', '1x0vox'),
    ),
}
