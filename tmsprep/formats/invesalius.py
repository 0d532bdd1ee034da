"""Targets in the marker files of InVesalius (``.mkss``).

Columns are those of invesalius/data/markers/marker.py, the frame is that of
invesalius/data/imagedata_utils.py (convert_invesalius_to_world).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from tmsprep.atomic import write_text
from tmsprep.formats.markers import Marker
from tmsprep.formats.parsing import (
    PointsFileError,
    check_writable,
    read_lines,
    rounded,
    three_numbers,
)

#: First line of a file, with the version of the format: 4 is read by every release since 2024.
_MAGIC = '##INVESALIUS3_MARKER_FILE_4'

#: Type of a marker that is a place without orientation.
_LANDMARK = 1

#: Columns between the place and its place in the world, with the text of a landmark: no
#: orientation, no cortex, no response. '{}' is filled in.
_COLUMNS = {
    **dict.fromkeys(('alpha', 'beta', 'gamma'), 'None'),
    **{'r': '{r}', 'g': '{g}', 'b': '{b}', 'size': '2', 'label': '"{label}"'},
    **dict.fromkeys(('x_seed', 'y_seed', 'z_seed'), '0.0'),
    **{'is_target': 'False', 'is_point_of_interest': 'False', 'session_id': '1'},
    **dict.fromkeys((f'{axis}_cortex' for axis in 'xyz'), 'None'),
    **dict.fromkeys((f'{angle}_cortex' for angle in ('alpha', 'beta', 'gamma')), 'None'),
    **{'marker_type': str(_LANDMARK), 'z_rotation': '0.0', 'z_offset': '0.0'},
    **{'mep_value': 'None', 'brain_target_list': '[]'},
}
_WORLD = ('x_world', 'y_world', 'z_world', 'alpha_world', 'beta_world', 'gamma_world')


def to_invesalius(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the matrix, shape (4, 4), from mm, RAS+, to the coordinates of InVesalius in mm.

    InVesalius turns an image to the axes nearest to RAS+, multiplies voxel indices with the voxel
    sizes, and counts y from the front.

    Parameters
    ----------
    affine : numpy.ndarray
        Shape (4, 4), voxel indices of the image to mm, RAS+.
    shape : sequence of int
        Numbers of voxels along the three axes.

    Examples
    --------
    >>> matrix = to_invesalius(np.diag([1, 2, 1, 1]), (10, 10, 10))
    >>> (matrix @ [3, 4, 5, 1]).tolist()
    [3.0, 14.0, 5.0, 1.0]
    """
    turn = nib.io_orientation(affine)
    canonical = affine @ nib.orientations.inv_ornt_aff(turn, tuple(shape))
    ny = shape[int(np.flatnonzero(turn[:, 0] == 1)[0])]
    spacing = voxel_sizes(canonical)
    to_mm = np.diag([spacing[0], -spacing[1], spacing[2], 1.0])
    to_mm[1, 3] = spacing[1] * (ny - 1)
    return to_mm @ np.linalg.inv(canonical)


def write_mkss(
    path: Path, markers: Sequence[Marker], affine: np.ndarray, shape: Sequence[int]
) -> Path:
    """Write targets as landmarks without orientation; missing points are left out.

    Parameters
    ----------
    path : Path
        Ends in ``.mkss``; whole or not at all.
    markers : sequence of Marker
        mm, RAS+.
    affine, shape : numpy.ndarray, sequence of int
        Of the image, see `to_invesalius`.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    found = [marker for marker in markers if marker.found]
    check_writable([marker.title for marker in found], path, separators='"')
    matrix = to_invesalius(affine, shape)
    header = ['marker_id', 'x', 'y', 'z', *_COLUMNS, *_WORLD]
    lines = [_MAGIC, '\t'.join(f'"{name}"' for name in header)]
    for number, marker in enumerate(found):
        place = [repr(float(n)) for n in rounded(apply_affine(matrix, marker.target))]
        world = [repr(float(n)) for n in rounded(marker.target)]
        colour = {'r': 1.0, 'g': 0.5, 'b': 0.0} if marker.warning else {'r': 0, 'g': 1, 'b': 0}
        middle = [text.format(label=marker.title, **colour) for text in _COLUMNS.values()]
        lines.append('\t'.join([str(number), *place, *middle, *world, 'N/A', 'N/A', 'N/A']))
    return write_text(path, '\n'.join(lines) + '\n')


def read_mkss(path: Path, affine: np.ndarray, shape: Sequence[int]) -> list[Marker]:
    """Read the places of markers by InVesalius's own coordinates, mm, RAS+.

    Raises
    ------
    PointsFileError
        If the file is not of that form.
    """
    first, *lines = read_lines(path)
    rows = csv.DictReader([line for line in lines if line.strip()], delimiter='\t')
    if not first.startswith('##INVESALIUS3_MARKER_FILE_'):
        raise PointsFileError(f'{path}: not a file of markers of InVesalius')
    back = np.linalg.inv(to_invesalius(affine, shape))
    try:
        return [
            Marker(row['label'], apply_affine(back, three_numbers(row[axis] for axis in 'xyz')))
            for row in rows
        ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise PointsFileError(
            f'{path}: not a file of markers of InVesalius ({str(error)[:80]})'
        ) from error
