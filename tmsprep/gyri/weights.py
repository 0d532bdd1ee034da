"""What the weights of a parcellation network must hold, checked without Torch."""

from __future__ import annotations

import numpy as np

from tmsprep.gyri.labels import CLASSES, NAMES
from tmsprep.gyri.limits import Limits
from tmsprep.networks.archive import Archive, WeightsError
from tmsprep.networks.settings import UNetSettings, check_labels, settings_from

#: Kind of the weights, see `open_archive`.
GYRI_KIND = 'tmsprep-gyri-1'

#: Fewer points than this do not say how a head lies.
MIN_POINTS = 4


def check_gyri(archive: Archive) -> tuple[UNetSettings, tuple[str, ...], np.ndarray]:
    """Return the shape of a parcellation network, its targets and landmarks.

    Raises
    ------
    WeightsError
        If the file does not fit together; the message names it.
    """
    settings = settings_from(archive, UNetSettings, archive.value('settings'))
    archive.check_shapes(settings.parameter_shapes(len(CLASSES)))
    labels = check_labels(archive)
    try:
        landmarks = np.asarray(archive.value('landmarks'), dtype=float)
    except (TypeError, ValueError) as error:
        raise WeightsError(f'{archive.path}: its landmarks are damaged; get it again') from error
    if landmarks.shape != (len(labels), 3) or not np.isfinite(landmarks).all():
        raise WeightsError(f'{archive.path}: its landmarks do not fit its targets; get it again')
    if archive.value('classes') != list(NAMES):
        raise WeightsError(f'{archive.path} tells other gyri apart than this version; get another')
    return settings, labels, landmarks


def limits_of(archive: Archive) -> Limits:
    """Return the limits of a parcellation network; those of the class if the file has none.

    Raises
    ------
    WeightsError
        If they are damaged; the message names the file.
    """
    try:
        return Limits(**archive.value('limits', default='{}'))
    except (TypeError, ValueError) as error:
        raise WeightsError(f'{archive.path}: its limits are damaged; get it again') from error
