"""What is localised: a protocol is a TOML file, read into the small classes here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.gyri.labels import GYRI
from tmsprep.text import MOST_SETTINGS, parse_toml, read_text

if TYPE_CHECKING:
    import numpy as np

_TARGET_KEYS = {'label', 'hemisphere', 'region', 'type'}
_OPTIONAL_KEYS = {'mirror', 'name', 'gyrus', 'doubt', 'sketch', 'handle', 'handle_source'}
_NUMBERS = {'handle'}

#: Landmarks of the scalp, and what they are called.
FIDUCIALS = {
    'nasion': 'the nasion',
    'inion': 'the inion',
    'left': 'the left ear',
    'right': 'the right ear',
}

#: Key of a protocol file to its type.
_PROTOCOL_KEYS: dict[str, Any] = {
    **dict.fromkeys(('name', 'title', 'source', 'filter', 'head', 'gyri', 'shape'), str),
    **dict.fromkeys(('methods', 'targets'), list),
    **dict.fromkeys(('words', 'weights', 'atlas', 'defaults', 'fiducials'), dict),
    'voxel_mm': (int, float),
}

#: Smallest and largest edge of isotropic voxels, mm: the finest whole heads that are published
#: have 0.25 mm, and in the coarsest grid a head still has ten voxels along each axis.
VOXEL_MM = 0.1, 20.0

#: Labels of figures that show all targets, which no point can have.
RESERVED = {'overview', 'brain', 'registration', 'thumbnail'}

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
        The brain region in words.
    type : str
        What the target is used for, according to the source.
    mirror : str
        Label of the same target in the other hemisphere, '' if the protocol has none.
    name : str
        Short name in words, such as 'left hand M1'; the region if it is not given.
    gyrus : str
        Gyrus in which the point lies, one of `tmsprep.gyri.labels.GYRI`; '' if nothing is said.
    doubt : str
        Landmarks by which a reader can check the point in the image, a few sentences; '' for none.
    sketch : str
        SVG file with a drawing of a good and a bad point, see `Protocol.file`; '' for none.
    handle : float or None
        Angle between the coil handle and the midline in the plane of the coil, degrees: 0 points
        backwards, 90 away from the midline (for a midline target, to the right); None if the
        protocol says nothing of a coil. See `tmsprep.scalp.pose`.
    handle_source : str
        Where the angle comes from, in words.

    Raises
    ------
    ValueError
        If the angle is not between -180 and 180 degrees, or only one of the two is given.
    """

    label: str
    hemisphere: str
    region: str
    type: str
    mirror: str = ''
    name: str = ''
    gyrus: str = ''
    doubt: str = ''
    sketch: str = ''
    handle: float | None = None
    handle_source: str = ''

    def __post_init__(self) -> None:
        if self.handle is not None and not -180 <= self.handle <= 180:
            raise ValueError(f"'handle' must be from -180 to 180 degrees, not {self.handle}")
        if (self.handle is None) != (not self.handle_source):
            raise ValueError("'handle' and 'handle_source' go together: give both, or none")
        object.__setattr__(self, 'name', self.name or self.region)
        object.__setattr__(self, 'doubt', ' '.join(self.doubt.split()))

    @property
    def identity(self) -> dict[str, str]:
        """What points and tables depend on; words for readers are not part of it."""
        keys = ('label', 'hemisphere', 'region', 'type', 'mirror')
        gyrus = {'gyrus': self.gyrus} if self.gyrus else {}
        return {**{key: getattr(self, key) for key in keys}, **gyrus}


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
    shape : str
        Table of the targets in MNI152, by which points of raters are checked; '' for those of the
        atlas, if there is one.
    head : str
        File of the mean head that images are compared with, see `tmsprep.evaluation.head`; '' if
        there is none.
    gyri : str
        File of the weights by which gyri are told apart, see `tmsprep.gyri.parcellation`; '' if
        there are none.
    fiducials : mapping
        Each of `FIDUCIALS` to its place in the mean head, three numbers, mm, RAS+, for positions
        of the 10-20 system; empty for none.
    defaults : mapping
        Option to its default value under this protocol; a mapping named like an analysis level
        holds those of that level alone.
    folder : Path or None
        Directory of the protocol file, for the files it names; None for those of the package.

    Raises
    ------
    ValueError
        If no voxels have this size, a label is repeated, or a word is unknown.
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
    shape: str = ''
    head: str = ''
    gyri: str = ''
    fiducials: Mapping[str, Any] = field(default_factory=dict, hash=False)
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    folder: Path | None = None

    def __post_init__(self) -> None:
        low, high = VOXEL_MM
        if not low <= self.voxel_mm <= high:
            raise ValueError(f'voxel_mm must be from {low} to {high}, not {self.voxel_mm}')
        repeated = sorted({name for name in self.labels if self.labels.count(name) > 1})
        if repeated:
            raise ValueError(f'target {repeated[0]!r} is listed twice')
        _refuse_unknown(self.words, set(WORDS), 'words')
        object.__setattr__(self, 'words', {**WORDS, **self.words})
        object.__setattr__(self, 'methods', tuple(self.methods))

    @cached_property
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
        If the file is not TOML, lacks a key or has an unknown one, if a name or label cannot be
        part of file names, or if targets are not mirrored in pairs of opposite sides.
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
        content = parse_toml(read_text(Path(str(resource)), MOST_SETTINGS))
    except (OSError, ValueError) as error:
        raise ValueError(f'protocol {name}: not a TOML file ({error})') from error
    return _parse(content, str(name), path.absolute().parent if own else None)


def protocol_names() -> list[str]:
    """Names of the protocols that ship with the package."""
    shipped = files('tmsprep.protocols').iterdir()
    return sorted(p.name[:-5].replace('_', '-') for p in shipped if p.name.endswith('.toml'))


def _parse(content: dict[str, Any], where: str, folder: Path | None) -> Protocol:
    where = f'protocol {where}'
    try:
        _check_types(content)
        targets = tuple(_target(row) for row in content['targets'])
        protocol = Protocol(**{**content, 'targets': targets, 'folder': folder})
        _check_names(protocol)
        _check_mirrors(protocol)
        _check_gyri(protocol)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from error
    return protocol


def _check_types(content: Mapping[str, Any]) -> None:
    _refuse_unknown(content, set(_PROTOCOL_KEYS), 'protocol')
    for key in ('name', 'title', 'source', 'targets'):
        if not content.get(key):
            raise ValueError(f'missing key {key!r}')
    for key, value in content.items():
        if not isinstance(value, _PROTOCOL_KEYS[key]) or isinstance(value, bool):
            raise ValueError(f'{key!r} cannot be {value!r}')
    if not all(isinstance(method, str) for method in content.get('methods', ())):
        raise ValueError("'methods' must be a list of names")
    for key in ('words', 'weights', 'atlas'):
        for name, value in content.get(key, {}).items():
            if not isinstance(value, str):
                raise ValueError(f'[{key}] {name!r} must be text, not {value!r}')
    _check_fiducials(content.get('fiducials', {}))
    if set(content.get('atlas', {})) not in (set(), {'image', 'points'}):
        raise ValueError("[atlas] needs 'image' and 'points', and nothing else")


def _check_fiducials(fiducials: Mapping[str, Any]) -> None:
    if fiducials and set(fiducials) != set(FIDUCIALS):
        raise ValueError(f'[fiducials] needs {", ".join(FIDUCIALS)}, and nothing else')
    for name, place in fiducials.items():
        numbers = isinstance(place, list) and [type(v) in (int, float) for v in place]
        if numbers != [True] * 3 or not all(abs(v) < 1e3 for v in place):
            raise ValueError(f'[fiducials] {name!r} must be three numbers in mm, not {place!r}')


def _target(row: Any) -> Target:
    if not isinstance(row, dict):
        raise ValueError(f'[[targets]] must be tables, not {row!r}')
    _refuse_unknown(row, _TARGET_KEYS | _OPTIONAL_KEYS, '[[targets]]')
    for key in sorted(_TARGET_KEYS | _OPTIONAL_KEYS):
        if key not in row and key in _TARGET_KEYS:
            raise ValueError(f'[[targets]]: missing key {key!r}')
        kinds: Any = (int, float) if key in _NUMBERS else str
        if key in row and (not isinstance(row[key], kinds) or isinstance(row[key], bool)):
            kind = 'a number' if key in _NUMBERS else 'text'
            raise ValueError(f'[[targets]]: {key!r} must be {kind}, not {row[key]!r}')
    return Target(**row)


def _check_names(protocol: Protocol) -> None:
    """Refuse what cannot be part of file names, or would give two things one name."""
    if not re.fullmatch('[a-z0-9][a-z0-9-]*', protocol.name):
        raise ValueError(f'name {protocol.name!r}: use lower-case letters, digits and hyphens')
    stems = {name.replace('-', ''): name for name in protocol_names()}
    shipped = stems.get(protocol.name.replace('-', ''))
    if shipped and protocol.folder is not None:
        raise ValueError(
            f'name {protocol.name!r}: its files would be taken for those of the protocol '
            f'{shipped!r} of the package; choose another name'
        )
    for label in protocol.labels:
        if not re.fullmatch('[a-zA-Z0-9]+', label) or label in RESERVED:
            raise ValueError(
                f'target {label!r}: use letters and digits, but none of '
                f'{", ".join(sorted(RESERVED))}'
            )
    if len(set(protocol.methods)) < len(protocol.methods):
        raise ValueError('a method is listed twice')


def _check_mirrors(protocol: Protocol) -> None:
    """Refuse sides and counterparts with which points on the wrong side would not be found."""
    targets = {target.label: target for target in protocol.targets}
    for target in protocol.targets:
        if target.hemisphere not in ('L', 'R', 'n/a'):
            raise ValueError(
                f"target {target.label!r}: hemisphere must be 'L', 'R' or 'n/a', not "
                f'{target.hemisphere!r}'
            )
    for target in filter(lambda target: target.mirror, protocol.targets):
        other = targets.get(target.mirror)
        if other is None or other.mirror != target.label:
            raise ValueError(
                f'target {target.label!r}: its mirror {target.mirror!r} must be a target whose '
                f'mirror is {target.label!r}'
            )
        if {target.hemisphere, other.hemisphere} != {'L', 'R'}:
            raise ValueError(
                f'targets {target.label!r} and {other.label!r} mirror each other, so one must '
                'be L and one R'
            )


def _check_gyri(protocol: Protocol) -> None:
    """Refuse gyri that no network tells apart: nothing would be said of their points."""
    for target in protocol.targets:
        if target.gyrus and target.gyrus not in GYRI:
            raise ValueError(
                f'target {target.label!r}: gyrus {target.gyrus!r} is none of {", ".join(GYRI)}'
            )


def _refuse_unknown(content: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f'{where}: unknown key {unknown[0]!r}')
