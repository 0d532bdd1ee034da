"""Settings of one run: a frozen dataclass per analysis level, to and from TOML."""

from __future__ import annotations

import json
import math
import time
import tomllib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tmsprep import __version__, atomic
from tmsprep.options import LEVELS
from tmsprep.running.resources import available_cpus, available_memory_gb

#: Threads of one step. Another number moves the points of a registration by up to a millimetre,
#: so the default does not depend on the machine; small machines have two.
DEFAULT_THREADS = 2

#: Largest seed that ITK and torch both take. 0 is left out because ITK reads it as "by clock".
MAX_SEED = 2**31 - 1

DEVICES = ('auto', 'cpu', 'cuda')


def new_run_id() -> str:
    """Name of a run: sorts by time, and is unique among parallel jobs."""
    return f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'


def setting(default: Any, help: str = '', **argument: Any) -> Any:  # noqa: A002
    """Declare a setting together with its option of the command line.

    Parameters
    ----------
    default : Any
        A value, or a function that makes one.
    help : str
        Help of the option; '' if the command line does not have it.
    **argument : Any
        'group' of options, 'flags', 'metavar' and 'choices' of the option; 'minimum' and 'above',
        limits of a number.
    """
    known = {'help': help, 'group': 'running', **argument}
    if callable(default):
        return field(default_factory=default, metadata=known)
    return field(default=default, metadata=known)


@dataclass(frozen=True)
class RunConfig:
    """Settings of every analysis level; nothing else decides what a run does.

    Paths are made absolute, because Nipype's nodes run in directories of their own. Each setting
    is documented by the help of its option.

    Raises
    ------
    ValueError
        If a value is out of range; the message names its option.
    """

    bids_dir: Path
    out_dir: Path
    protocol: str = setting(
        'tms',
        'what is localised: name of a protocol, or a TOML file',
        group='what',
        metavar='NAME',
    )
    participant_label: tuple[str, ...] = setting(
        (), 'participants, with or without "sub-" (default: all)', group='images', metavar='LABEL'
    )
    skip_bids_validation: bool = setting(
        False, 'accept a data set without dataset_description.json', group='images'
    )
    annotations: Path | None = setting(
        None,
        'directory of the raters: files of points (TSV, 3D Slicer or Brainsight) or masks',
        group='raters',
        metavar='DIR',
    )
    consensus_threshold: float = setting(
        12.0, 'largest distance between raters who agree', group='raters', metavar='MM', above=0
    )
    random_seed: int = setting(
        1, 'seed of everything random', group='what', metavar='N', minimum=1, maximum=MAX_SEED
    )
    method_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    dry_run: bool = setting(False, 'check everything, list what would be done, and stop')
    verbose: int = setting(0)
    run_id: str = field(default_factory=new_run_id)

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _absolute(getattr(self, item.name)))
            _check_limits(item.name, getattr(self, item.name), item.metadata)
        if not self.run_id or '/' in self.run_id:
            raise ValueError(f'run_id {self.run_id!r} is not a file name')

    @property
    def analysis_level(self) -> str:
        """Analysis level that these are the settings of."""
        return next(level for level, kind in CONFIGS.items() if type(self) is kind)

    @property
    def log_dir(self) -> Path:
        """Directory of the log, the settings and the crash files of this run."""
        return self.out_dir / 'logs' / self.run_id

    @property
    def options(self) -> dict[str, Any]:
        """Every setting and option of a method, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | dict(self.method_options)

    def to_toml(self, path: Path) -> Path:
        """Write all settings; ``--config-file`` reads them back exactly.

        TOML has no null: what is None is left out, and the filters are one string of JSON.
        """
        import tomli_w

        values = self.options
        del values['method_options']
        content = {'analysis_level': self.analysis_level}
        content |= {name: as_toml(value) for name, value in values.items() if value is not None}
        return atomic.write_text(path, f'# tmsprep {__version__}\n{tomli_w.dumps(content)}')


@dataclass(frozen=True)
class ImageConfig(RunConfig):
    """Settings of the levels that read images and run a workflow."""

    session_label: tuple[str, ...] = setting(
        (), 'sessions, with or without "ses-" (default: all)', group='images', metavar='LABEL'
    )
    bids_filters: dict[str, Any] = field(default_factory=dict, hash=False)
    bids_database_dir: Path | None = setting(
        None,
        'directory of a PyBIDS database of the whole data set, made there by a run without '
        '--participant-label if absent. Delete it when the data change',
        group='images',
        metavar='DIR',
    )
    derivatives: tuple[Path, ...] = setting(
        (),
        'earlier outputs, or directories with *_desc-brain_mask.nii.gz (to train also '
        '*_dseg.nii.gz) or *_from-T1w_to-*_xfm.h5, that are used instead of being computed',
        group='what',
        metavar='DIR',
        flags=('-d',),
    )
    work_dir: Path = setting(
        lambda: Path.cwd() / 'work',
        'directory for intermediate results; a second run resumes from there (default: ./work)',
        metavar='DIR',
        flags=('-w',),
    )
    nprocs: int = setting(
        available_cpus,
        'CPUs in all (default: those the system or Slurm grants)',
        group='resources',
        metavar='N',
        flags=('--nthreads', '--n-cpus'),
        minimum=1,
    )
    omp_nthreads: int = setting(
        DEFAULT_THREADS,
        'threads of one step; a registration with another number gives slightly other points',
        group='resources',
        metavar='N',
        minimum=1,
    )
    mem_gb: float = setting(
        available_memory_gb,
        'memory in all, as 8GB, 8G or 8000MB; a number without a unit is MB, as in fMRIPrep '
        '(default: 90 percent of what the system, container or Slurm grants)',
        group='resources',
        metavar='AMOUNT',
        flags=('--mem', '--mem-mb'),
        above=0,
    )
    device: str = setting(
        'cpu',
        'where networks run (default: auto, the GPU if one answers)',
        group='resources',
        choices=DEVICES,
    )
    use_plugin: Path | None = setting(
        None, "Nipype's plugin and its arguments", group='resources', metavar='FILE.yml'
    )
    write_graph: bool = setting(False, "write a picture of each workflow into the outputs' logs")
    stop_on_first_crash: bool = setting(False, 'skip all remaining steps after a failure')


@dataclass(frozen=True)
class ParticipantConfig(ImageConfig):
    """Settings of the level 'participant'."""

    localizers: tuple[str, ...] = setting(
        (), 'methods to run (default: all of the protocol)', group='what'
    )
    sloppy: bool = setting(False, 'fast and rough, for testing; never for targets', group='what')
    reports_only: bool = setting(False, 'write the reports again from existing outputs')


@dataclass(frozen=True)
class TrainConfig(ImageConfig):
    """Settings of the level 'train'."""


@dataclass(frozen=True)
class CrossvalConfig(ImageConfig):
    """Settings of the level 'crossval'."""

    folds: int | None = setting(
        None,
        'groups of participants that are held out in turn (default: one participant each)',
        group='learning',
        metavar='K',
        minimum=2,
    )
    repetitions: int = setting(
        5, 'trainings of each fold', group='learning', metavar='N', minimum=1
    )


@dataclass(frozen=True)
class GroupConfig(RunConfig):
    """Settings of the level 'group'."""

    agreement_overrides: Path | None = setting(
        None,
        'table of the raters to use for some points, or none; a corrected copy of the table of '
        'agreements',
        group='raters',
        metavar='FILE.tsv',
    )
    check_annotations: bool = setting(
        False, 'look for errors in the files of points, and write nothing', group='raters'
    )
    equivalence_margin: float = setting(
        3.0,
        'difference of mean errors that counts as none in the tests of equivalence',
        group='raters',
        metavar='MM',
        above=0,
    )


#: Analysis level to the class of its settings.
CONFIGS: dict[str, type[RunConfig]] = dict(
    zip(LEVELS, (ParticipantConfig, TrainConfig, CrossvalConfig, GroupConfig), strict=True)
)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML file with any of the settings of any analysis level, and options of methods.

    Parameters
    ----------
    path : Path
        Relative paths in it are relative to the current directory.

    Returns
    -------
    dict
        Name to value, each of the type of its field; options of methods as TOML has them.

    Raises
    ------
    ValueError
        If the file is not TOML, or a value has the wrong type.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f'{path}: cannot be read as TOML ({error})') from error
    types = {f.name: str(f.type) for kind in CONFIGS.values() for f in fields(kind)}
    settings = {}
    for name, value in content.items():
        try:
            settings[name] = READERS[types[name]](value) if name in types else value
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {name} = {value!r} has the wrong type') from error
    return settings


def as_toml(value: object) -> object:
    """Convert a setting to what TOML can hold."""
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return [as_toml(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: object) -> object:
        # bool is a subclass of int, so isinstance would accept `nprocs = true`.
        if type(value) is not kind:
            raise TypeError(f'{value!r} is not of type {kind.__name__}')
        return value

    return read


def _number(value: object) -> float:
    return float(value if type(value) is int else _exactly(float)(value))


def _path(value: object) -> Path:
    return Path(_exactly(str)(value))


def _filters(value: object) -> dict[str, Any]:
    return _exactly(dict)(json.loads(value) if isinstance(value, str) else value)


#: Reader of a setting by the text of its type; it raises TypeError or ValueError.
READERS: dict[str, Callable[[Any], Any]] = {
    'str': _exactly(str),
    'int': _exactly(int),
    'int | None': _exactly(int),
    'bool': _exactly(bool),
    'float': _number,
    'Path': _path,
    'Path | None': _path,
    'tuple[str, ...]': lambda value: tuple(_exactly(str)(item) for item in _exactly(list)(value)),
    'tuple[Path, ...]': lambda value: tuple(_path(item) for item in _exactly(list)(value)),
    'dict[str, Any]': _filters,
}


def flag_of(name: str, metadata: Mapping[str, Any]) -> str:
    """Option of a setting: the first long flag it declares, else its name with dashes."""
    declared = [flag for flag in metadata.get('flags', ()) if flag.startswith('--mem')]
    return declared[0] if declared else f'--{name.replace("_", "-")}'


def _check_limits(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    flag = flag_of(name, metadata)
    choices = metadata.get('choices', ())
    if choices and value not in choices:
        raise ValueError(f'{flag} {value!r} is not known; choose from {", ".join(choices)}')
    if value is None or not isinstance(value, (int, float)):
        return
    if value < metadata.get('minimum', -math.inf):
        raise ValueError(f'{flag} must be {metadata["minimum"]} or more, not {value}')
    if value > metadata.get('maximum', math.inf):
        raise ValueError(f'{flag} must be {metadata["maximum"]} or less, not {value}')
    if 'above' in metadata and not metadata['above'] < value < math.inf:
        raise ValueError(f'{flag} must be above {metadata["above"]}, not {value}')


def _absolute(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_absolute(item) for item in value)
    return value.expanduser().absolute() if isinstance(value, Path) else value
