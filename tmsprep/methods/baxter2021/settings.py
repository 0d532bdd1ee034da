"""Shape of the multi-resolution network, and the check of its weights; without Torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tmsprep.evaluation.conformal import LEVEL, ErrorRadius, is_outdated
from tmsprep.networks.archive import Archive, WeightsError
from tmsprep.networks.settings import (
    check_labels,
    check_positive,
    check_texts,
    check_whole,
    settings_from,
)

#: Far above those of any recipe, and few enough that a header cannot ask for more memory than a
#: machine has.
_MAX_LEVELS, _MAX_CROP, _MAX_WIDTH, _MAX_LAYERS, _MAX_MEMBERS = 8, 64, 4096, 100, 100


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of a `MultiResolutionNet`.

    The paper gives six levels, four convolutions, two linear layers and 20 residual layers, and
    leaves the rest open: every number marked "ours" is our choice.

    Parameters
    ----------
    targets : int
        Points to localise.
    extent : float
        Edge of the conformed volume in mm.
    crops : tuple of int
        Crop width in voxels per level, coarsest first; its length is the number of levels. Ours:
        at 32 mm the whole volume, then 12 voxels, which at 1 mm still cover a gyrus.
    kernels : int
        Feature maps of the first three convolutions. Ours.
    channels : int
        Probability maps per target, ``i`` in equation 1. Ours.
    hidden : int
        Width between the two linear layers that weigh the channels. Ours.
    residual : str
        'shared' by all levels as in the paper, 'separate' per level, or 'none'.
    residual_layers : int
        20 in the paper.
    residual_width : int
        Hidden width of a residual layer. Ours.
    readout : int
        Finest levels whose estimates are averaged to the network's point: 1 in the paper; on
        2 mm images three are a tenth nearer.

    Raises
    ------
    ValueError
        If no network can have these.
    """

    targets: int
    extent: float = 256.0
    crops: tuple[int, ...] = (8, 12, 12, 12, 12, 12)
    kernels: int = 32
    channels: int = 8
    hidden: int = 32
    residual: str = 'shared'
    residual_layers: int = 20
    residual_width: int = 64
    readout: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, 'crops', tuple(self.crops))
        check_whole('levels of crops', len(self.crops), 1, _MAX_LEVELS)
        for size in self.crops:
            check_whole('crops', size, 1, _MAX_CROP)
        for name in ('targets', 'kernels', 'channels', 'hidden', 'residual_width'):
            check_whole(name, getattr(self, name), 1, _MAX_WIDTH)
        check_whole('residual_layers', self.residual_layers, 0, _MAX_LAYERS)
        check_whole('readout', self.readout, 1, len(self.crops))
        check_positive('extent', self.extent)
        if self.residual not in ('shared', 'separate', 'none'):
            raise ValueError(f"residual must be 'shared', 'separate' or 'none': {self.residual!r}")

    @property
    def resolutions(self) -> tuple[float, ...]:
        """Voxel size in mm of each level, coarsest first."""
        finest = len(self.crops) - 1
        return tuple(float(2 ** (finest - k)) for k in range(len(self.crops)))

    def as_dict(self) -> dict:
        """Return a JSON-ready dictionary; ``NetworkSettings(**d)`` reads it back."""
        return {**asdict(self), 'crops': list(self.crops)}

    def parameter_shapes(self, prefix: str = '') -> dict[str, tuple[int, ...]]:
        """List the parameters of a `MultiResolutionNet`: name to shape.

        Parameters
        ----------
        prefix : str
            Begins all names.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for i, size in enumerate(self.crops):
            shapes |= self._level_shapes(f'{prefix}levels.{i}', size)
        copies = {'shared': 1, 'separate': len(self.crops), 'none': 0}[self.residual]
        size, width = 3 * self.targets, self.residual_width
        for i in range(copies):
            for layer in range(self.residual_layers):
                name = f'{prefix}residuals.{i}.layers.{layer}'
                shapes[f'{name}.0.weight'], shapes[f'{name}.0.bias'] = (width, size), (width,)
                shapes[f'{name}.2.weight'], shapes[f'{name}.2.bias'] = (size, width), (size,)
        return shapes

    def _level_shapes(self, name: str, size: int) -> dict[str, tuple[int, ...]]:
        targets, kernels, channels = self.targets, self.kernels, self.channels
        shapes: dict[str, tuple[int, ...]] = {
            f'{name}.scale': (3, targets, kernels),
            f'{name}.shift': (3, targets, kernels),
            f'{name}.maps': (targets, channels, kernels),
            f'{name}.weights': (targets, channels, self.hidden),
            f'{name}.bias': (targets, channels),
            f'{name}.flattened.weight': (self.hidden, size**3),
            f'{name}.flattened.bias': (self.hidden,),
        }
        for i, (inputs, edge) in enumerate(((1, 5), (kernels, 3), (kernels, 3))):
            shapes[f'{name}.convolutions.{i}.weight'] = (kernels, inputs, edge, edge, edge)
            shapes[f'{name}.convolutions.{i}.bias'] = (kernels,)
        return shapes


@dataclass(frozen=True)
class LocalizerContent:
    """What a weights file says of an ensemble, checked; see `weights.Localizer`.

    Parameters
    ----------
    labels : tuple of str
        Targets.
    settings : tuple of NetworkSettings
        One per member.
    card : dict
        Texts.
    mirror : tuple of int or None, optional
        Number of each target's mirror image.
    shape : list of list of float, optional
        Mean configuration, mm.
    calibration : dict, optional
        Of the error radius.
    settle_mm : float
        How far points may be moved, see `weights.Localizer`.
    """

    labels: tuple[str, ...]
    settings: tuple[NetworkSettings, ...]
    card: dict[str, str]
    mirror: tuple[int | None, ...] | None
    shape: list[list[float]] | None
    calibration: dict[str, Any] | None
    settle_mm: float


def check_localizer(archive: Archive) -> LocalizerContent:
    """Read what a weights file says of an ensemble, and refuse it if its parameters are others.

    Raises
    ------
    WeightsError
        With the file.
    """
    labels, members = check_labels(archive), archive.value('settings')
    if not isinstance(members, list) or not 1 <= len(members) <= _MAX_MEMBERS:
        raise WeightsError(f'{archive.path} is damaged: it lists no networks; get it again')
    settings = tuple(settings_from(archive, NetworkSettings, member) for member in members)
    expected: dict[str, tuple[int, ...]] = {}
    for i, member in enumerate(settings):
        if member.targets != len(labels):
            raise WeightsError(
                f'{archive.path} is damaged: it names {len(labels)} targets, and a network of it '
                f'localises {member.targets}; get it again'
            )
        expected |= member.parameter_shapes(f'{i}.')
    archive.check_shapes(expected)
    mirror, shape, calibration = (
        archive.value(key, 'null') for key in ('mirror', 'shape', 'calibration')
    )
    if not (_is_mirror(mirror, len(labels)) and _is_shape(shape, len(labels))):
        raise WeightsError(
            f"{archive.path} is damaged: 'mirror' or 'shape' of its metadata does not fit its "
            f'{len(labels)} targets; get it again'
        )
    check_calibration(archive, calibration)
    settle_mm = archive.value('settle_mm', '0')
    if settle_mm != 0:
        try:
            check_positive('settle_mm', settle_mm)
        except ValueError as error:
            raise WeightsError(f'{archive.path} is damaged; get it again: {error}') from error
    card = check_texts(archive)
    pairs = None if mirror is None else tuple(mirror)
    return LocalizerContent(labels, settings, card, pairs, shape, calibration, float(settle_mm))


def _is_mirror(mirror: Any, targets: int) -> bool:
    """Tell whether these are numbers of targets, or None, one per target."""
    if mirror is None:
        return True
    if not isinstance(mirror, list) or len(mirror) != targets:
        return False
    known = [partner for partner in mirror if partner is not None]
    return all(type(partner) is int and 0 <= partner < targets for partner in known)


def _is_shape(shape: Any, targets: int) -> bool:
    """Tell whether these are one position in mm per target."""
    if shape is None:
        return True
    if not isinstance(shape, list) or len(shape) != targets:
        return False
    return all(
        isinstance(point, list)
        and len(point) == 3
        and all(type(x) in (int, float) and math.isfinite(x) for x in point)
        for point in shape
    )


def check_calibration(archive: Archive, content: Any) -> None:
    """Refuse a calibration of the error radius that cannot be used; None is no calibration.

    Raises
    ------
    WeightsError
        With the file.
    """
    if content is None:
        return
    try:
        if not isinstance(content, dict):
            raise ValueError('it is no dictionary')
        if is_outdated(content):
            # Points can be found without it; `radius.add_radius` says so.
            return
        level = ErrorRadius.from_dict(content).level
        if level != LEVEL:
            raise ValueError(f'it is for {level}, not {LEVEL}')
    except (ValueError, OverflowError) as error:
        raise WeightsError(
            f'{archive.path}: the calibration of the error radius cannot be used ({error}); '
            'calibrate the weights again, or use others'
        ) from error
