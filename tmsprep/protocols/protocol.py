"""The small class that reads a protocol file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

_TARGET_KEYS = {'label', 'hemisphere', 'region', 'type', 'mirror'}
_PROTOCOL_KEYS = {'name', 'title', 'source', 'network', 'voxel_mm', 'filter', 'targets'}

NETWORKS = ('multiresolution', 'coreunet')
"""What can localise: the networks of Baxter et al. 2021 and of Duennwald et al. 2021."""


@dataclass(frozen=True)
class Target:
    """One point to localise.

    Parameters
    ----------
    label : str
        The name in tables and files.
    hemisphere : str
        'L', 'R', or 'n/a' for a midline point.
    region : str
        The brain region, in words.
    type : str
        What the target is used for, as the source says.
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
    """A named, ordered list of targets with its source.

    Parameters
    ----------
    name : str
        Short name, as given to ``--protocol``.
    title : str
        What is localised, in words.
    source : str
        The publication the list comes from.
    targets : tuple of Target
        In the order of every table.
    network : str
        One of `NETWORKS`.
    voxel_mm : float
        Edge of the isotropic voxels that images are conformed to, mm.
    filter : str
        Filter preset that says which images are meant; '' for every T1w of a person.

    Raises
    ------
    ValueError
        If the network is not known or the voxels have no size.
    """

    name: str
    title: str
    source: str
    targets: tuple[Target, ...]
    network: str = 'multiresolution'
    voxel_mm: float = 1.0
    filter: str = ''

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f'network {self.network!r} is not one of {", ".join(NETWORKS)}')
        if not self.voxel_mm > 0:
            raise ValueError(f'voxel_mm must be above 0, not {self.voxel_mm}')

    @property
    def labels(self) -> tuple[str, ...]:
        """Target names, in table order."""
        return tuple(target.label for target in self.targets)

    def mirror_permutation(self) -> np.ndarray:
        """Where each target's counterpart stands, shape (n,), itself if it has none.

        Reflecting an image left to right turns target ``i`` into target ``permutation[i]``;
        a target without a counterpart has no place in the reflected image (see `has_mirror`).
        """
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index.get(t.mirror, i) for i, t in enumerate(self.targets)])

    def has_mirror(self) -> np.ndarray:
        """Boolean, shape (n,): which targets exist in the reflected image as well."""
        return np.array([t.mirror in self.labels for t in self.targets])


def load_protocol(name: str | Path) -> Protocol:
    """Read a protocol shipped with the package by name, or any protocol file by path.

    Parameters
    ----------
    name : str or Path
        'tms', or the path of a ``.toml`` file of the same form.

    Raises
    ------
    FileNotFoundError
        If there is no such protocol; the message lists those that exist.
    ValueError
        If the file is not TOML, lacks a key or has one that is not known.
    """
    shipped = files('tmsprep.protocols')
    path = Path(name)
    resource = path if path.suffix == '.toml' else shipped / f'{str(name).replace("-", "_")}.toml'
    if not resource.is_file():
        known = sorted(p.name[:-5] for p in shipped.iterdir() if p.name.endswith('.toml'))
        raise FileNotFoundError(
            f'no protocol {str(name)!r}: give one of {", ".join(known)} or the path of a TOML file'
        )
    try:
        content = tomllib.loads(resource.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'protocol {name}: not a TOML file ({error})') from error
    return _parse(content, str(name))


def _parse(content: dict, where: str) -> Protocol:
    _refuse_unknown(content, _PROTOCOL_KEYS, where)
    try:
        rows = content['targets']
        for row in rows:
            _refuse_unknown(row, _TARGET_KEYS, where)
        targets = tuple(Target(**row) for row in rows)
        return Protocol(**{**content, 'targets': targets})
    except (KeyError, TypeError) as error:
        raise ValueError(f'protocol {where}: missing key {error}') from error
    except ValueError as error:
        raise ValueError(f'protocol {where}: {error}') from error


def _refuse_unknown(content: dict, known: set[str], where: str) -> None:
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f'protocol {where}: unknown key {unknown[0]!r}')
