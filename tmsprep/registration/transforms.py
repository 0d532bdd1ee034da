"""Points and images moved by saved transforms.

ITK stores a transform in the direction that resampling needs: from a position in the fixed image
to the same position in the moving one. With the atlas fixed and the subject moving,

- ``from-T1w_to-<atlas>`` resamples the T1w onto the atlas's grid, and moves *points* from the
  atlas to the T1w. This is the file that carries targets into the subject.
- ``from-<atlas>_to-T1w`` resamples the atlas onto the T1w's grid, and moves points from the T1w
  to the atlas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import ants
import nibabel as nib
import numpy as np
import pandas as pd
from ants.internal import get_lib_fn, process_arguments

from tmsprep.points import PointSet
from tmsprep.registration.frames import flip_points, from_ants, to_ants


def move_points(points: PointSet, transform: Path) -> PointSet:
    """Move points from the world of a transform's fixed image to that of its moving image.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the fixed image's world; missing points stay missing.
    transform : Path
        Composite ``.h5`` or linear ``.mat``. Atlas points go through ``from-T1w_to-<atlas>``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read as a transform.
    """
    moved = np.full((len(points), 3), np.nan)
    if points.found.any():
        moved[points.found] = move_coordinates(points.coordinates[points.found], transform)
    return PointSet(points.labels, moved)


def move_coordinates(coordinates: np.ndarray, transform: Path) -> np.ndarray:
    """Move points as `move_points` does: shape (n, 3), mm, RAS+, none missing."""
    lps = pd.DataFrame(flip_points(coordinates), columns=['x', 'y', 'z'])
    with _readable(transform) as name:
        moved = ants.apply_transforms_to_points(3, lps, [name], whichtoinvert=[False])
    return flip_points(moved[['x', 'y', 'z']].to_numpy())


def compose(transforms: Sequence[str], destination: str) -> None:
    """Write one composite ``.h5`` in place of several transforms.

    Parameters
    ----------
    transforms : sequence of str
        In the order in which points go through them: ``.h5``, ``.mat``, ``.txt``, or displacement
        fields as `tmsprep.registration.fields.displacement_field` makes them.
    destination : str
        File name that ends in ``.h5``.

    Raises
    ------
    RuntimeError
        If ANTs cannot read one of them.
    """
    with TemporaryDirectory() as folder:
        # ANTs wants a grid, of which composing makes no use.
        grid = Path(folder) / 'grid.nii'
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), grid)
        arguments = ['-d', '3', '-r', str(grid), '-o', f'CompositeTransform[{destination}]']
        for transform in transforms:
            arguments += ['-t', transform]
        failed = get_lib_fn('antsApplyTransforms')(process_arguments(arguments))
    if failed or not Path(destination).is_file():
        raise RuntimeError('they cannot be joined')


def warp_image(
    image: nib.spatialimages.SpatialImage,
    transform: Path,
    like: nib.spatialimages.SpatialImage,
    interpolation: str = 'linear',
) -> nib.Nifti1Image:
    """Resample an image of a transform's moving side onto a grid of its fixed side.

    Parameters
    ----------
    image : nibabel spatial image
        Image in the moving world: the T1w for ``from-T1w_to-<atlas>``.
    transform : Path
        Composite ``.h5`` or linear ``.mat``.
    like : nibabel spatial image
        Grid of the result.
    interpolation : str
        'linear' or 'nearestNeighbor'.
    """
    with _readable(transform) as name:
        moved = ants.apply_transforms(
            to_ants(like), to_ants(image), [name], interpolator=interpolation
        )
    return from_ants(moved)


@contextmanager
def _readable(transform: Path) -> Iterator[str]:
    """Name the file if it cannot be read.

    ANTs' programs end the whole process on a truncated file; reading it first raises instead.
    """
    if not Path(transform).is_file():
        raise FileNotFoundError(f'no transform {transform}')
    try:
        ants.read_transform(str(transform))
        yield str(transform)
    except RuntimeError as error:
        raise ValueError(
            f'{transform} is not a complete ITK transform; remove it and register again'
        ) from error
