"""The head for the viewer of a report: few grey levels, cropped, small enough for a page."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.atomic import atomic_path
from tmsprep.reports.planes import Volume
from tmsprep.text import parse_json

#: Format of the file, which `tmsprep/data/viewer.js` reads.
FORMAT = 'tmsprep-head-1'

#: Grey levels. The noise of a T1w is 2 to 3 % of its white; more levels store noise: with 64 the
#: file is a tenth larger.
LEVELS = 48

#: Share of the window that becomes black: noise of the air takes a third of the file otherwise.
BLACK = 0.06

#: Space kept around points, mm.
MARGIN_MM = 15.0

#: Space added to the box of the head at its left, right, back, front and top, mm. It leaves out
#: half a per cent of the voxels at each end; with this, nothing of 25 training participants of IXI
#: was cut above the neck, the nose included, which reached 16 mm further.
WIDER_MM = np.array([[-8.0, -8, 0], [8, 16, 8]])

#: Most voxels. A head of 170 x 220 x 200 mm has 7.5 million of 1 mm, some 1.4 MB compressed.
MOST_VOXELS = 9_500_000

#: Largest voxels that are used without need, mm.
VOXEL_MM = 1.0

#: Largest header that is read, bytes; one has some 300.
_MOST_HEADER = 4096


@dataclass(frozen=True, eq=False)
class HeadVolume:
    """Grey levels on a grid along the world axes.

    Parameters
    ----------
    levels : numpy.ndarray
        Shape (x, y, z), uint8, 0 (black) to `LEVELS` - 1 (white); axes to the right, the front
        and the top.
    first : numpy.ndarray
        Shape (3,), mm, RAS+, scanner frame of the image: centre of the first voxel.
    spacing : float
        Edge of a voxel, mm.
    """

    levels: np.ndarray
    first: np.ndarray
    spacing: float


def head_volume(volume: Volume, points: np.ndarray) -> HeadVolume:
    """Crop an image to the head and all points, and reduce it to few grey levels.

    Where the voxels lie along the world axes, as those of the grid that methods share do, they are
    copied; otherwise they are interpolated linearly.

    Parameters
    ----------
    volume : Volume
        The image.
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+; rows of NaN are missing.
    """
    known = points[np.isfinite(points).all(axis=1)]
    box = volume.box + WIDER_MM
    if len(known):
        box[0] = np.minimum(box[0], known.min(axis=0) - MARGIN_MM)
        box[1] = np.maximum(box[1], known.max(axis=0) + MARGIN_MM)
    sizes = np.linalg.norm(volume.affine[:3, :3], axis=0)
    finest = (float(np.prod(box[1] - box[0])) / MOST_VOXELS) ** (1 / 3)
    spacing = max(finest, min(VOXEL_MM, float(sizes.min())))
    copied = _copied(volume, box, spacing)
    if copied is None:
        copied = volume.resample(box, spacing), box[0] + spacing / 2
    grey, first = copied
    low, high = volume.window
    black = low + BLACK * (high - low)
    scaled = grey * np.float32((LEVELS - 1) / (high - black))
    scaled -= np.float32(black * (LEVELS - 1) / (high - black) - 0.5)
    np.clip(scaled, 0, LEVELS - 1, out=scaled)
    return HeadVolume(scaled.astype(np.uint8), first, spacing)


def _copied(
    volume: Volume, box: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Cut out the voxels whose centres lie in a box, with the first centre; None if oblique."""
    steps = np.diag(volume.affine)[:3]
    if not np.allclose(volume.affine[:3, :3], np.diag(np.sign(steps) * spacing), atol=1e-6):
        return None
    origin = volume.affine[:3, 3]
    ends = np.sort((box - origin) / steps, axis=0)
    low = np.clip(np.ceil(ends[0] - 1e-6), 0, volume.data.shape).astype(int)
    high = np.clip(np.floor(ends[1] + 1e-6) + 1, low + 1, volume.data.shape).astype(int)
    part = volume.data[tuple(slice(*pair) for pair in zip(low, high, strict=True))]
    falling = steps < 0
    part = part[tuple(slice(None, None, -1 if falls else 1) for falls in falling)]
    return part, origin + steps * np.where(falling, high - 1, low)


def write_head(path: Path, head: HeadVolume, **entries: Any) -> Path:
    """Write the head for the viewer: a line of JSON and the voxels, compressed by gzip.

    Each voxel is stored as the difference, modulo 256, from what the three voxels before it along
    x, y and z predict, a third of their sum rounded down; those outside are 0. x runs fastest.
    This takes a fifth less space than the levels themselves, and half the time.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all. The same head gives the same bytes.
    head : HeadVolume
        The head.
    **entries : Any
        Further entries of the header, such as the checksum of the image.
    """
    header = {
        'format': FORMAT,
        'shape': list(head.levels.shape),
        'first': [round(float(value), 6) for value in head.first],
        'spacing': round(head.spacing, 6),
        'greys': LEVELS,
        **entries,
    }
    packer = zlib.compressobj(6, zlib.DEFLATED, 31, 9, zlib.Z_RLE)
    with atomic_path(path) as partial, partial.open('wb') as stream:
        stream.write(packer.compress(json.dumps(header).encode() + b'\n'))
        stream.write(packer.compress(_residuals(head.levels)))
        stream.write(packer.flush())
    return path


def _residuals(levels: np.ndarray) -> bytes:
    """Difference of each voxel from its prediction, x fastest."""
    ordered = np.ascontiguousarray(levels.transpose(2, 1, 0))
    # The sum of three levels fits into eight bits.
    sums = np.zeros_like(ordered)
    sums[:, :, 1:] += ordered[:, :, :-1]
    sums[:, 1:] += ordered[:, :-1]
    sums[1:] += ordered[:-1]
    sums //= 3
    return np.subtract(ordered, sums, out=sums).tobytes()


def read_head(path: Path) -> tuple[Mapping[str, Any], bytes]:
    """Read the header of a file of `write_head`, and the whole file, for a page.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is larger than any head that is written, or of another kind.
    """
    most = 2 * MOST_VOXELS
    with Path(path).open('rb') as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError('it is too large for a head')
    try:
        begin = zlib.decompressobj(31).decompress(content, _MOST_HEADER)
        header = parse_json(begin.partition(b'\n')[0].decode())
    except (zlib.error, ValueError) as error:
        raise ValueError(f'it is damaged ({error})') from error
    if not _is_header(header):
        raise ValueError(f'it is no file of the kind {FORMAT}')
    return header, content


def _is_header(header: object) -> bool:
    """Tell whether the entries that a viewer computes with are what they should be."""
    if not isinstance(header, dict) or header.get('format') != FORMAT:
        return False
    shape, first = _three(header.get('shape')), _three(header.get('first'))
    spacing = _three([header.get('spacing')] * 3)
    return (
        bool(shape and first and spacing)
        and all(n >= 1 and n == int(n) for n in shape)
        and math.prod(shape) <= 2 * MOST_VOXELS
        and spacing[0] > 0
        and header.get('greys') == LEVELS
    )


def _three(values: object) -> list[float]:
    """Return a list of three finite numbers; empty if it is something else."""
    if not isinstance(values, list) or len(values) != 3:
        return []
    good = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return good if len(good) == 3 and all(math.isfinite(v) for v in good) else []
