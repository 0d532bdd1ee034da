"""Intensities that no head has: padding, hot voxels, air that is not dark; mended at first.

Percentiles, averages and networks would take them for a part of the head. All limits are relative
to the contrast of the image, so gain and offset do not matter. What is called usual below was
seen in 150 T1w images of five scanners, whole, defaced and skull-stripped, and in two templates;
none of them is changed by this module.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from tmsprep.imaging.findings import slice_order
from tmsprep.imaging.noise import suppress_noise

__all__ = ['Mended', 'MendedImage', 'mend', 'mend_image']

#: Smallest share of voxels with exactly one value at the end of the histogram that can be padding.
#: Usual: 0.0002 % at the bright end.
_MIN_PADDING = 0.001

#: Smallest gap between padding and all other intensities, as a share of their range. Usual at the
#: dark end, where the background of a skull-stripped brain is 0: up to 0.13. The points of the
#: network move by under 3 mm if the background is lower by 0.6 of the range than the brain.
_PADDING_GAP = 0.5

#: Share of the voxels that may lie beyond padding or outside the range of a head: hot voxels.
_TAIL = 0.0005

#: An image with fewer different intensities is drawn, not measured: a level of it is no padding.
_MIN_LEVELS = 32

#: Smallest share of the faces of the field of view with exactly one value that is a background
#: although it is brighter than air: the zeros of an image of zero mean, or a white frame. Usual:
#: none.
_MIN_FACES = 0.1

#: Smallest share of all voxels with that value.
_MIN_BACKGROUND = 0.01

#: Distance of such a background from both ends of the histogram, as a share of its range.
_MARGIN = 0.1

#: Smallest share of voxels that are darker, and brighter, than such a background.
_AROUND_BACKGROUND = 0.05

#: Share of voxels at the dark end without which a bright background is that of an image of
#: inverted contrast: air. In whole heads it fills over 0.3, in skull-stripped images over 0.5.
_OWN_AIR = 0.2

#: A voxel that exceeds air by this many times the head's brightest tissue is hot. Usual: up to
#: 6.7. A cube of 6 x 6 x 6 voxels that is just below the limit moves points by less than 1 mm.
_HOT = 10.0

#: A voxel below air by this share of the head's brightest tissue is no measurement. Usual: 0.02.
_COLD = 0.5

#: Air at 0, as measured by the 5th percentile in units of the head's brightest tissue above it.
#: Usual: 0 to 0.023; an image without air in its field of view may have more.
_ZERO_AIR = (-0.05, 0.5)

#: Voxels that are looked at to find percentiles.
_SAMPLE = 2**20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Mended:
    """Intensities as a head has them.

    Parameters
    ----------
    data : numpy.ndarray
        float32; the input itself if nothing was replaced.
    findings : tuple of str
        What was replaced, in words; empty for a usual image.
    """

    data: np.ndarray
    findings: tuple[str, ...] = ()


class MendedImage(NamedTuple):
    """An image with the intensities of a head.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        The input itself if nothing was replaced.
    findings : tuple of str
        What was replaced, in words, here and by `read_image`; and the doubts.
    doubts : tuple of str
        Findings by which no point in the image can be relied on; see `slice_order`.
    """

    image: nib.Nifti1Image
    findings: tuple[str, ...]
    doubts: tuple[str, ...]


def mend_image(
    image: nib.Nifti1Image, name: Path | str, *, whole_head: bool = True
) -> MendedImage:
    """Apply `mend` to an image, and log what was replaced as warnings.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        As from `read_image`.
    name : Path or str
        Name of the image in the log.
    whole_head : bool
        As for `mend`.
    """
    read = tuple(image.extra.get('findings', ()))
    size_mm = nib.affines.voxel_sizes(image.affine)
    mended = mend(np.asanyarray(image.dataobj), tuple(size_mm.tolist()), whole_head=whole_head)
    # Only now: padding or hot voxels would stand out like slices that are missing.
    doubts = tuple(filter(None, [slice_order(mended.data)]))
    for finding in (*mended.findings, *doubts):
        logger.warning('%s: %s.', name, finding)
    if mended.findings:
        image = nib.Nifti1Image(mended.data, image.affine, image.header)
    return MendedImage(image, (*read, *mended.findings, *doubts), doubts)


def mend(
    data: np.ndarray,
    size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    whole_head: bool = True,
) -> Mended:
    """Replace padding by air, and voxels that are far too bright or dark by plausible values.

    In an image of a whole head air also becomes 0 if it is far from it, as what lies outside the
    field of view is 0, and noise that is as bright as tissue becomes air (see `suppress_noise`).

    Parameters
    ----------
    data : numpy.ndarray
        Shape (n, m, k), float32, finite.
    size_mm : tuple of float
        Voxel sizes, mm.
    whole_head : bool
        False for a slab that is measured: its 0 may be that of the signal although no air is in
        view, and its faces may be tissue.

    Examples
    --------
    A part of a head, of intensities up to 100, with one slice of padding:

    >>> data = np.tile(np.linspace(0, 100, 50, dtype=np.float32), (10, 10, 1))
    >>> data[0] = -32768
    >>> mend(data, whole_head=False).findings
    ('10.0 % of the voxels are padding at -32768; treated as air',)
    >>> float(mend(data, whole_head=False).data.min())
    0.0
    """
    findings: list[str] = []
    steps: list[Callable[[np.ndarray], tuple[np.ndarray, list[str]]]] = [_fill_padding, _winsorise]
    if whole_head:
        steps += [partial(suppress_noise, size_mm=size_mm), _zero_air]
    for step in steps:
        data, found = step(data)
        findings += found
    return Mended(data, tuple(findings))


def _fill_padding(data: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Give padding, and a background brighter than air, the lowest usual value."""
    values = _sample(data)
    padding: list[float] = []
    while (value := _separate_end(values)) is not None:
        padding.append(value)
        values = values[values != value]
    while (value := _bright_background(data, values)) is not None:
        padding.append(value)
        values = values[values != value]
    if not padding:
        return data, []
    findings, filled, air = [], data.copy(), np.quantile(values, _TAIL)
    for value in padding:
        inside = data == np.float32(value)
        filled[inside] = air
        share = 100 * inside.mean()
        findings.append(f'{share:.1f} % of the voxels are padding at {value:g}; treated as air')
    return filled, findings


def _separate_end(values: np.ndarray) -> float | None:
    """Find one value that many voxels share at the bright or dark end, apart from all others."""
    for share in (1 - _TAIL, _TAIL):
        end = np.quantile(values, share, method='nearest')
        if np.mean(values == end) < _MIN_PADDING:
            continue
        rest = values[values < end] if share > 0.5 else values[values > end]
        if _is_measured(rest):
            low, high = _range(rest)
            if max(end - high, low - end) > _PADDING_GAP * (high - low):
                return float(end)
    return None


def _bright_background(data: np.ndarray, values: np.ndarray) -> float | None:
    """Find one value that fills much of the faces of the view, but is brighter than air."""
    faces = np.concatenate([np.ravel(data.take(i, axis)) for axis in range(3) for i in (0, -1)])
    levels, counts = np.unique(faces, return_counts=True)
    for value in levels[counts >= _MIN_FACES * faces.size]:
        rest = values[values != value]
        if len(rest) > (1 - _MIN_BACKGROUND) * len(values) or not _is_measured(rest):
            continue
        low, high = _range(rest)
        margin = _MARGIN * (high - low)
        is_darker = np.mean(rest < value - margin) >= _AROUND_BACKGROUND
        is_grey = np.mean(rest > value + margin) >= _AROUND_BACKGROUND
        is_frame = np.mean(rest < low + margin) >= _OWN_AIR
        if is_darker and (is_grey or is_frame):
            return float(value)
    return None


def _winsorise(data: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Bring voxels far beyond the intensities of the head back to their ends."""
    contrast = _air_and_tissue(_sample(data))
    if contrast is None:
        return data, []
    air, tissue = contrast
    findings = []
    lowest, highest = float(data.min()), float(data.max())
    hot, cold = air + _HOT * (tissue - air), air - _COLD * (tissue - air)
    if highest > hot:
        findings.append(
            f'voxels over {_HOT:g} times as bright as the head: {np.count_nonzero(data > hot)}, '
            f'up to {highest:g}; set to its brightest tissue, {tissue:g}'
        )
        data = np.where(data > hot, np.float32(tissue), data)
    if lowest < cold:
        findings.append(
            f'voxels far darker than air: {np.count_nonzero(data < cold)}, down to {lowest:g}; '
            f'set to air, {air:g}'
        )
        data = np.where(data < cold, np.float32(air), data)
    return data, findings


def _zero_air(data: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Shift all intensities so that the darkest air is 0, unless air is about 0."""
    values = _sample(data)
    contrast = _air_and_tissue(values)
    if contrast is None:
        return data, []
    air, tissue = contrast
    if _ZERO_AIR[0] <= air / (tissue - air) <= _ZERO_AIR[1]:
        return data, []
    darkest = np.quantile(values, _TAIL, method='nearest')
    shifted = np.maximum(data - np.float32(darkest), np.float32(0))
    return shifted, [f'air is at {air:g}, not 0; {darkest:g} is subtracted from all intensities']


def _air_and_tissue(values: np.ndarray) -> tuple[float, float] | None:
    """Return the intensity of air, and of the brightest tissue of the head; None if unknown."""
    air = float(np.quantile(values, 0.05))
    head = values[values > air]
    return (air, float(np.quantile(head, 0.95))) if _is_measured(head) else None


def _sample(data: np.ndarray) -> np.ndarray:
    """Take every so-many-th voxel; a step that divides an axis would see but a part of it."""
    step = data.size // _SAMPLE + 1
    while any(math.gcd(step, n) > 1 for n in data.shape):
        step += 1
    # Doubles, as the difference of two huge numbers may be beyond single precision.
    return np.ravel(data, order='K')[::step].astype(np.float64)


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the histogram, hot voxels aside."""
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def _is_measured(values: np.ndarray) -> bool:
    """Tell whether there are many different intensities."""
    return len(np.unique(values[: 100 * _MIN_LEVELS])) >= _MIN_LEVELS or (
        len(np.unique(values)) >= _MIN_LEVELS
    )
