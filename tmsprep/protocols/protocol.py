"""What is localised: a protocol is a TOML file, read into the small classes here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_TARGET_KEYS = {'label', 'hemisphere', 'region', 'type', 'mirror'}
_PROTOCOL_KEYS = {
    *('name', 'title', 'source', 'methods', 'voxel_mm', 'filter', 'targets'),
    *('words', 'weights', 'atlas', 'defaults'),
}

#: Words of the reports and sidecars that a protocol file may replace.
WORDS = {
    'targets': 'targets',
    'image': 'T1w',
    'caution': "A qualified expert must check each point on the participant's own MRI, including "
    'the side, before any use.',
}


@dataclass(frozen=True)
class Target:
    """One point to localise.

    Parameters
    ----------
    label : str
        Name in tables and files.
    hemisphere : str
        'L', 'R', or 'n/a' for a midline point.
    region : str
        Name in words: the brain region.
    type : str
        What the target is used for, according to the source.
    mirror : str
        Label of the same target in the other hemisphere, '' if the protocol has none.
    """

    label: str
    hemisphere: str
    region: str
    type: str
    mirror: str = ''


@dataclass(frozen=True)
class Protocol:
    """Everything in which one protocol differs from another, in words and numbers.

    Parameters
    ----------
    name : str
        Short name, as given to ``--protocol``.
    title : str
        What is localised, in words.
    source : str
        Publication of the list of targets.
    targets : tuple of Target
        In the order of every table.
    methods : tuple of str
        Names of the methods that localise them, in the order of the reports; empty for every
        method that takes any list of points.
    voxel_mm : float
        Edge of the isotropic voxels of methods that work on such a grid, mm.
    filter : str
        Name of the filter preset that selects the images; '' for every T1w of a participant.
    words : mapping
        Replaces `WORDS`: 'targets', the plural noun of the reports; 'image', the kind of image;
        'caution', the last sentence of the disclaimer.
    weights : mapping
        Method to the file of its default weights.
    atlas : mapping
        'image', the template that is registered by default, and 'points', the table of the
        targets in it; empty if there is none.
    defaults : mapping
        Option to its default value under this protocol; a mapping named like an analysis level
        holds those of that level alone.
    folder : Path or None
        Directory of the protocol file, for the files it names; None for those of the package.

    Raises
    ------
    ValueError
        If the voxels have no size, a label is repeated, or a word is unknown.
    """

    name: str
    title: str
    source: str
    targets: tuple[Target, ...]
    methods: tuple[str, ...] = ()
    voxel_mm: float = 1.0
    filter: str = ''
    words: Mapping[str, str] = field(default_factory=dict, hash=False)
    weights: Mapping[str, str] = field(default_factory=dict, hash=False)
    atlas: Mapping[str, str] = field(default_factory=dict, hash=False)
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.voxel_mm > 0:
            raise ValueError(f'voxel_mm must be above 0, not {self.voxel_mm}')
        repeated = sorted({name for name in self.labels if self.labels.count(name) > 1})
        if repeated:
            raise ValueError(f'target {repeated[0]!r} is listed twice')
        _refuse_unknown(self.words, set(WORDS), 'words')
        object.__setattr__(self, 'words', {**WORDS, **self.words})
        object.__setattr__(self, 'methods', tuple(self.methods))

    @property
    def labels(self) -> tuple[str, ...]:
        """Target names, in table order."""
        return tuple(target.label for target in self.targets)

    def mirror_permutation(self) -> np.ndarray:
        """Index of each target's counterpart, shape (n,); its own if it has none.

        Reflecting an image left to right turns target ``i`` into target ``permutation[i]``;
        a target without a counterpart does not exist in the reflected image (see `has_mirror`).
        """
        import numpy as np

        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index.get(t.mirror, i) for i, t in enumerate(self.targets)])

    def has_mirror(self) -> np.ndarray:
        """Boolean, shape (n,): which targets exist in the reflected image as well."""
        import numpy as np

        return np.array([t.mirror in self.labels for t in self.targets])

    def file(self, name: str) -> Path:
        """Path of a file that the protocol names, which need not exist.

        It lies in the directory of the protocol file, else among the data of the package.
        """
        own = None if self.folder is None else self.folder / name
        shipped = Path(str(files('tmsprep.data'))) / name
        return own if own is not None and (own.exists() or not shipped.exists()) else shipped


def load_protocol(name: str | Path) -> Protocol:
    """Read a protocol that ships with the package by name, or any protocol file by path.

    Parameters
    ----------
    name : str or Path
        One of `protocol_names`, or the path of a ``.toml`` file of the same form.

    Raises
    ------
    FileNotFoundError
        If there is no such protocol; the message lists those that exist.
    ValueError
        If the file is not TOML, lacks a key or has an unknown one.
    """
    path = Path(name)
    own = path.suffix == '.toml'
    shipped = files('tmsprep.protocols')
    resource = path if own else shipped / f'{str(name).replace("-", "_")}.toml'
    if not resource.is_file():
        raise FileNotFoundError(
            f'no protocol {str(name)!r}: give one of {", ".join(protocol_names())} or the path of '
            'a TOML file'
        )
    try:
        content = tomllib.loads(resource.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'protocol {name}: not a TOML file ({error})') from error
    return _parse(content, str(name), path.absolute().parent if own else None)


def protocol_names() -> list[str]:
    """Names of the protocols that ship with the package."""
    shipped = files('tmsprep.protocols').iterdir()
    return sorted(p.name[:-5].replace('_', '-') for p in shipped if p.name.endswith('.toml'))


def _parse(content: dict[str, Any], where: str, folder: Path | None) -> Protocol:
    where = f'protocol {where}'
    _refuse_unknown(content, _PROTOCOL_KEYS, where)
    try:
        rows = content['targets']
        for row in rows:
            _refuse_unknown(row, _TARGET_KEYS, where)
        targets = tuple(Target(**row) for row in rows)
        return Protocol(**{**content, 'targets': targets, 'folder': folder})
    except (KeyError, TypeError) as error:
        raise ValueError(f'{where}: missing key {error}') from error
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from error


def _refuse_unknown(content: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f'{where}: unknown key {unknown[0]!r}')
