"""Shapes of networks, without Torch, so that weights are checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tmsprep.networks.archive import Archive, WeightsError

#: Kind of the weights of the brain extraction, see `open_archive`.
BRAIN_KIND = 'tmsprep-brain-1'

#: Most levels of a U-Net, voxels along the edge of a block, and feature maps of a level: far above
#: those of any recipe, and few enough that a header cannot ask for more memory than a machine has.
_MAX_LEVELS, _MAX_BLOCK, _MAX_FEATURES = 8, 32, 4096


@dataclass(frozen=True)
class UNetSettings:
    """Shape of a `UNet`.

    Parameters
    ----------
    features : tuple of int
        Feature maps per level, finest first; its length is the depth.
    block : int
        Voxels per edge that the first layer folds into channels and the last unfolds: with 2 the
        network computes at 4 mm what it reads and writes at 2 mm.

    Raises
    ------
    ValueError
        If no network can have these.
    """

    features: tuple[int, ...] = (16, 24, 32, 48)
    block: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, 'features', tuple(self.features))
        check_whole('block', self.block, 1, _MAX_BLOCK)
        check_whole('levels of features', len(self.features), 1, _MAX_LEVELS)
        for count in self.features:
            check_whole('features', count, 8, _MAX_FEATURES)
            if count % (count // 8):
                raise ValueError(f'features: {count} maps cannot be divided into groups of 8')

    def as_dict(self) -> dict:
        """Return a JSON-ready dictionary; ``UNetSettings(**d)`` reads it back."""
        return {**asdict(self), 'features': list(self.features)}

    def parameter_shapes(self, outputs: int, prefix: str = '') -> dict[str, tuple[int, ...]]:
        """List the parameters of a `UNet`: name to shape.

        Parameters
        ----------
        outputs : int
            Output maps.
        prefix : str
            Begins all names.
        """
        widths, folded = self.features, self.block**3
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (before, after) in enumerate(zip((folded, *widths[:-1]), widths, strict=True)):
            shapes |= _block_shapes(f'{prefix}down.{i}', before, after)
        for i, (coarse, fine) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True)):
            shapes |= _block_shapes(f'{prefix}up.{i}', coarse + fine, fine)
        maps = outputs * folded
        return {
            **shapes,
            f'{prefix}head.weight': (maps, widths[0], 1, 1, 1),
            f'{prefix}head.bias': (maps,),
        }


def _block_shapes(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    """Two convolutions, each with its normalisation: see `unet._block`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, inputs in ((0, before), (3, after)):
        shapes[f'{name}.{number}.weight'] = (after, inputs, 3, 3, 3)
        shapes[f'{name}.{number}.bias'] = (after,)
        shapes[f'{name}.{number + 1}.weight'] = (after,)
        shapes[f'{name}.{number + 1}.bias'] = (after,)
    return shapes


def check_brain(archive: Archive) -> UNetSettings:
    """Return the shape of a brain extraction network; refuse weights that are not its own.

    Raises
    ------
    WeightsError
        With the file.
    """
    settings = settings_from(archive, UNetSettings, archive.value('settings'))
    archive.check_shapes(settings.parameter_shapes(1))
    return settings


def settings_from(archive: Archive, kind: type, content: Any) -> Any:
    """Make settings of what the metadata of a weights file say.

    Raises
    ------
    WeightsError
        If they are none; the message names the file.
    """
    try:
        if not isinstance(content, Mapping):
            raise ValueError(f'{str(content)[:80]!r} is no shape of a network')
        return kind(**content)
    except (TypeError, ValueError) as error:
        raise WeightsError(f'{archive.path} is damaged; get it again: {error}') from error


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Refuse what is not a whole number within limits."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f'{name} must be a whole number from {low} to {high}, not {value!r:.40}')


def check_positive(name: str, value: Any) -> None:
    """Refuse what is not a finite number above 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise ValueError(f'{name} must be a finite number above 0, not {value!r:.40}')


def check_texts(archive: Archive, key: str = 'card') -> dict[str, str]:
    """Return what a weights file says of itself, or refuse what cannot be shown.

    Raises
    ------
    WeightsError
        If it is not a dictionary of texts that can be printed.
    """
    content = archive.value(key)
    if not isinstance(content, dict):
        raise WeightsError(f'{archive.path}: {key!r} of its metadata is damaged; get it again')
    for name, text in content.items():
        if not (isinstance(text, str) and text.isprintable() and name.isprintable()):
            raise WeightsError(
                f'{archive.path}: {key!r} of its metadata holds {name!r:.40}, which is no text '
                'that can be shown; get it again'
            )
    return content


def check_labels(archive: Archive) -> tuple[str, ...]:
    """Return the names of the targets of a weights file.

    Raises
    ------
    WeightsError
        If they are not a list of different texts that can be printed.
    """
    labels = archive.value('labels')
    texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    if not (
        texts and labels and len(set(labels)) == len(labels) and ''.join(labels).isprintable()
    ):
        raise WeightsError(
            f'{archive.path}: its metadata do not list the targets; get the file again'
        )
    return tuple(labels)
