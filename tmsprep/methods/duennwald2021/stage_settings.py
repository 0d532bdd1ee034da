"""What a weights file of the two stages says of its networks, checked; without Torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.methods.baxter2021.settings import (
    LocalizerContent,
    check_calibration,
    check_localizer,
)
from tmsprep.methods.duennwald2021.settings import CoeruleusContent, check_coeruleus
from tmsprep.networks.archive import Archive, WeightsError
from tmsprep.networks.settings import check_labels, check_positive, check_texts, check_whole

#: Begin the names of all that belongs to the networks of the first and of the second stage.
FINDER, CROP = 'finder.', 'crop.'

#: Limits of what a result may look like, with values that hold where a file gives no others. Those
#: in mm are upper ones. Chosen on how the networks were trained: crops moved by up to 4 mm.
LIMITS = {
    'visibility': 0.5,
    'spread_mm': 5.0,
    'dispersion_mm': 1.5,
    'shift_mm': 8.0,
    'finder_mm': 6.0,
    'misfit_mm': 6.0,
}


@dataclass(frozen=True)
class StagesContent:
    """What a weights file says of its networks; see `two_stages.TwoStages`.

    Parameters
    ----------
    labels : tuple of str
        Left, right.
    finder : LocalizerContent
        Of the first stage.
    crop : CoeruleusContent
        Of the second stage; it has one target.
    shape : tuple of int
        Voxels of a crop along R, A and S.
    card : dict
        Texts.
    limits : dict
        All names of `LIMITS`.
    calibration : dict or None
        Of the error radius.
    """

    labels: tuple[str, ...]
    finder: LocalizerContent
    crop: CoeruleusContent
    shape: tuple[int, int, int]
    card: dict[str, str]
    limits: dict[str, float]
    calibration: dict[str, Any] | None


def check_stages(archive: Archive) -> StagesContent:
    """Read what a weights file says of its networks, and refuse it if its parameters are others.

    Raises
    ------
    WeightsError
        With the file.
    """
    labels, card = check_labels(archive), check_texts(archive)
    stray = [name for name in archive.arrays if not name.startswith((FINDER, CROP))]
    if stray:
        raise WeightsError(
            f'{archive.path} is damaged: {stray[0][:80]!r} belongs to neither stage; get it again'
        )
    finder, crop = check_localizer(archive.part(FINDER)), check_coeruleus(archive.part(CROP))
    shape, limits = archive.value('shape'), archive.value('limits')
    try:
        shape = _checked_shape(shape)
        _check_parts(labels, finder, crop, shape)
        limits = _checked_limits(limits)
    except ValueError as error:
        raise WeightsError(f'{archive.path} is damaged; get it again: {error}') from error
    calibration = archive.value('calibration', 'null')
    check_calibration(archive, calibration)
    if calibration is not None and list(calibration.get('labels', ())) != list(labels):
        raise WeightsError(f'{archive.path}: its calibration is of other targets; get it again')
    return StagesContent(labels, finder, crop, shape, card, limits, calibration)


def _check_parts(
    labels: tuple[str, ...],
    finder: LocalizerContent,
    crop: CoeruleusContent,
    shape: tuple[int, int, int],
) -> None:
    """Refuse networks that do not fit together."""
    if len(labels) != 2 or not set(labels) <= set(finder.labels):
        raise ValueError(f'the first stage finds {finder.labels}, not a left and a right target')
    if any(settings.extent != CONFORMED_SIZE for settings in finder.settings):
        raise ValueError(f'the first stage does not see {CONFORMED_SIZE} mm')
    if len(crop.labels) != 1 or not crop.localizers:
        raise ValueError('the second stage does not localise one target')
    if any(settings.patch != shape for settings in crop.segmenters):
        size = ' x '.join(map(str, shape))
        raise ValueError(f'a network segments other patches than crops of {size} voxels')


def _checked_shape(given: Any) -> tuple[int, int, int]:
    """Return the shape of a crop."""
    if not isinstance(given, list) or len(given) != 3:
        raise ValueError(f'shape: {given!r} is not a list of three numbers')
    for size in given:
        check_whole('shape', size, 8, 128)
    n, m, k = given
    return n, m, k


def _checked_limits(given: Any) -> dict[str, float]:
    """Return all limits, those that are not given from `LIMITS`."""
    if not isinstance(given, Mapping) or not set(given) <= set(LIMITS):
        raise ValueError(f'its limits are none: {str(given)[:80]}')
    for name, value in given.items():
        check_positive(f'limit {name}', value)
    if given.get('visibility', 0) > 1:
        raise ValueError('limit visibility is a probability')
    return {name: float(given.get(name, value)) for name, value in LIMITS.items()}
