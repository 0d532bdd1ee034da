"""Rigid, then affine, then symmetric diffeomorphic registration of a subject to the atlas."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
from ants.internal import get_pointer_string

from tmsprep.evaluation.masks import dice
from tmsprep.points import PointSet
from tmsprep.registration.atlas import Atlas
from tmsprep.registration.brain import Brain, brain_mask, cut_brain
from tmsprep.registration.frames import read_linear, to_ants, write_linear
from tmsprep.registration.plausibility import (
    LinearReport,
    check_jacobian,
    check_linear,
    check_overlap,
    jacobian_range,
)
from tmsprep.registration.presets import PRESETS, Preset, Stage
from tmsprep.registration.stages import LOG, printed_to
from tmsprep.registration.starts import SEARCH_SPACING_MM, Start, best_start, fit_similarity
from tmsprep.registration.transforms import move_points, warp_image


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """Transforms, moved points and measures of a registration.

    Parameters
    ----------
    to_atlas : Path
        Composite ``.h5``, ``from-T1w_to-<atlas>``: resamples the T1w onto the atlas's grid and
        moves points from the atlas to the T1w.
    from_atlas : Path
        Composite ``.h5``, ``from-<atlas>_to-T1w``: the inverse.
    linear : Path
        ``.mat``: the rigid and affine part of `to_atlas` alone.
    points : PointSet
        The atlas's points in the T1w's world, mm, RAS+.
    start : str
        Name of the starting transform.
    linear_report : LinearReport
        Scales and shear of the linear part.
    linear_overlap, overlap : float
        Dice of the brain masks on the atlas's grid, after the linear part and after the warp.
    similarity : float
        Correlation of the two brains inside the atlas's mask, -1 to 1.
    jacobian : tuple of float
        1st and 99th percentile of the Jacobian determinant.
    """

    to_atlas: Path
    from_atlas: Path
    linear: Path
    points: PointSet
    start: str
    linear_report: LinearReport
    linear_overlap: float
    overlap: float
    similarity: float
    jacobian: tuple[float, float]


def register(
    image: nib.spatialimages.SpatialImage,
    atlas: Atlas,
    *,
    work_dir: Path,
    mask: nib.spatialimages.SpatialImage | None = None,
    initial_points: PointSet | None = None,
    preset: str = 'default',
    random_seed: int = 1,
    n_threads: int = 1,
) -> RegistrationResult:
    """Register a T1w to the atlas and move the atlas's points into it.

    The same input, seed and number of threads give the same transform to the last bit (the files
    differ in their times). With another number of threads the sums run in another order, the
    optimiser stops elsewhere, and points move by up to a millimetre.

    Parameters
    ----------
    image : nibabel spatial image
        Conformed T1w, voxels of 1 mm.
    atlas : Atlas
        The fixed image and its points.
    work_dir : Path
        Folder for the transforms, created if necessary.
    mask : nibabel spatial image or None
        Brain mask on the image's grid; None for an image that is already skull-stripped.
    initial_points : PointSet or None
        Approximate targets in the T1w (the CNN's), for one more starting transform.
    preset : str
        A key of `tmsprep.registration.presets.PRESETS`.
    random_seed : int
        Seed of the metric's sampling, at least 1: ANTs takes 0 as the time of day.
    n_threads : int
        Number of threads. ITK reads it once per process, at the first call.

    Raises
    ------
    ValueError
        For an unknown preset, a seed below 1, or a mask that `brain_mask` refuses.
    ImplausibleRegistration
        If linear part, warp or overlap are impossible for a human brain.
    RuntimeError
        If ANTs fails.
    """
    if preset not in PRESETS:
        raise ValueError(f'no SyN preset {preset!r}: give one of {", ".join(PRESETS)}')
    if random_seed < 1:
        raise ValueError(f'the seed must be 1 or more, not {random_seed}')
    # Read by ITK when it makes its first thread pool.
    os.environ['ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'] = str(n_threads)
    work_dir.mkdir(parents=True, exist_ok=True)
    settings = PRESETS[preset]
    inside = brain_mask(image, mask)
    fixed, moving = (
        atlas.brain(settings.spacing_mm),
        cut_brain(image, inside, settings.spacing_mm),
    )
    start = find_start(atlas, cut_brain(image, inside, SEARCH_SPACING_MM), initial_points)
    initial = write_linear(start.matrix, work_dir / 'start.mat')
    linear = _register_linear(fixed, moving, initial, settings, random_seed)
    report = check_linear(read_linear(linear))
    linear_overlap = check_overlap(compare(fixed, moving, linear)[0])
    to_atlas, from_atlas = _register_syn(fixed, moving, linear, settings, random_seed)
    overlap, similarity = compare(fixed, moving, to_atlas)
    return RegistrationResult(
        to_atlas=to_atlas,
        from_atlas=from_atlas,
        linear=linear,
        points=move_points(atlas.points, to_atlas),
        start=start.name,
        linear_report=report,
        linear_overlap=linear_overlap,
        overlap=overlap,
        similarity=similarity,
        jacobian=check_jacobian(jacobian_range(to_atlas, fixed.mask)),
    )


def find_start(atlas: Atlas, subject: Brain, initial_points: PointSet | None) -> Start:
    """Choose the starting transform; `subject` is on a grid of `SEARCH_SPACING_MM`."""
    guess = fit_similarity(atlas.points, initial_points) if initial_points is not None else None
    return best_start(atlas.brain(SEARCH_SPACING_MM), subject, guess)


def compare(fixed: Brain, moving: Brain, transform: Path) -> tuple[float, float]:
    """Dice of the masks, and correlation of the images inside the fixed mask, after a warp."""
    inside = np.asarray(fixed.mask.dataobj) > 0.5
    covered = np.asarray(warp_image(moving.mask, transform, fixed.mask).dataobj) > 0.5
    overlap = dice(inside, covered)
    warped = np.asarray(warp_image(moving.image, transform, fixed.image).dataobj)
    similarity = np.corrcoef(warped[inside], np.asarray(fixed.image.dataobj)[inside])[0, 1]
    return overlap, float(similarity)


def _register_linear(
    fixed: Brain, moving: Brain, initial: Path, settings: Preset, random_seed: int
) -> Path:
    prefix = initial.parent / 'linear_'
    stages = [('Rigid[0.1]', settings.linear), ('Affine[0.1]', settings.linear)]
    _run(fixed, moving, initial, stages, prefix, random_seed, composite=False)
    return Path(f'{prefix}0GenericAffine.mat')


def _register_syn(
    fixed: Brain, moving: Brain, linear: Path, settings: Preset, random_seed: int
) -> tuple[Path, Path]:
    prefix = linear.parent / 'syn_'
    transform = f'SyN[{settings.gradient_step},{settings.flow_variance},0]'
    stages = [(transform, settings.deformable)]
    _run(fixed, moving, linear, stages, prefix, random_seed, composite=True)
    forward, inverse = (Path(f'{prefix}{name}.h5') for name in ('Composite', 'InverseComposite'))
    return forward, inverse


def _run(
    fixed: Brain,
    moving: Brain,
    initial: Path,
    stages: list[tuple[str, Stage]],
    prefix: Path,
    random_seed: int,
    *,
    composite: bool,
) -> None:
    """Call ``antsRegistration`` itself: `ants.registration` would ignore a seed."""
    images = (to_ants(fixed.image), to_ants(moving.image))
    pointers = [get_pointer_string(image) for image in images]
    arguments = ['--dimensionality', '3', '--float', '1', '--random-seed', str(random_seed)]
    arguments += ['--verbose', '1']
    arguments += ['--write-composite-transform', str(int(composite)), '--output', str(prefix)]
    arguments += ['--initial-moving-transform', str(initial)]
    for transform, stage in stages:
        arguments += ['--transform', transform, '--metric', stage.metric.format(*pointers)]
        arguments += ['--convergence', f'[{stage.iterations},1e-6,10]']
        arguments += ['--shrink-factors', stage.shrink, '--smoothing-sigmas', stage.sigmas]
    with printed_to(prefix.parent / LOG):
        ants.registration(arguments, None)
