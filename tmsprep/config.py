"""Settings of one run: a frozen dataclass per analysis level, to and from TOML."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import tomli_w

from tmsprep import __version__, atomic
from tmsprep.bids.collect import ImageQuery
from tmsprep.bids.filters import load_filters
from tmsprep.bids.names import check_label
from tmsprep.options import NamedPath, Option
from tmsprep.own_points import parse_point
from tmsprep.running.machine import (
    Execution,
    available_cpus,
    available_memory_gb,
    parse_memory,
    resolve_device,
)
from tmsprep.template import SPACES
from tmsprep.text import MOST_SETTINGS, parse_toml, read_text

#: Threads of one step. Another number moves the points of a registration by up to a millimetre,
#: so the default does not depend on the machine; small machines have two.
DEFAULT_THREADS = 2

#: Largest seed that ITK and torch both take. 0 is left out because ITK reads it as "by clock".
MAX_SEED = 2**31 - 1

#: What a settings file says of the run that wrote it, rather than of the next one.
_OF_ONE_RUN = ('analysis_level', 'run_id', 'bids_dir', 'out_dir')

#: Fields that are neither settings nor written.
_UNWRITTEN = ('notes', 'source')


def new_run_id() -> str:
    """Name of a run: sorts by time, and is unique among parallel jobs."""
    return f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'


def setting(default: Any, help: str = '', **declared: Any) -> Any:  # noqa: A002
    """Declare a field of a config together with its option of the command line.

    Parameters
    ----------
    default : Any
        A value, or a function that makes one.
    help : str
        Help of the option; '' if the parser adds it in its own way.
    **declared : Any
        Further fields of `tmsprep.options.Option`; the name and the type are those of the field,
        and the levels those that have it.
    """
    metadata = {'help': help, 'group': 'running', **declared}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _localizers() -> Any:
    return setting(
        (),
        'methods to run; train trains the first of them that learns (default: all of the '
        'protocol)',
        group='what',
        metavar='METHOD',
    )


def _absolute(name: str) -> str:
    return str(Path(name).absolute()) if name.endswith('.toml') else name


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of every analysis level; nothing else decides what a run does.

    `tmsprep.cli.settings.make_config` checks values and makes paths absolute. Each setting is
    documented by the help of its option.
    """

    analysis_level: ClassVar[str]
    #: What the level does, for the help.
    summary: ClassVar[str]
    #: Settings that stand before the level on the command line, in this order.
    folders: ClassVar[tuple[str, ...]] = ('out_dir',)

    out_dir: Path
    protocol: str = setting(
        'tms',
        'what is localised: name of a protocol, or a TOML file',
        group='what',
        metavar='NAME',
        read=_absolute,
    )
    participant_label: tuple[str, ...] = setting(
        (),
        'participants, with or without "sub-" (default: all)',
        group='images',
        metavar='LABEL',
        read=lambda label: check_label(label.removeprefix('sub-')),
    )
    method_options: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = setting(False, 'check everything, list what would be done, and stop')
    verbose: int = setting(0)
    run_id: str = field(default_factory=new_run_id)
    #: What the log says of the settings, such as those of a file that are not used.
    notes: tuple[str, ...] = ()

    @property
    def log_dir(self) -> Path:
        """Directory of the log, the settings and the crash files of this run."""
        return self.out_dir / 'logs' / self.run_id

    @property
    def options(self) -> dict[str, Any]:
        """Every setting and option of a method, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _UNWRITTEN}
        return values | values.pop('method_options')

    def to_toml(self, path: Path) -> Path:
        """Write all settings; ``--config-file`` reads them back exactly.

        TOML has no null: what is None is left out, and the filters are one string of JSON.
        """
        content: dict[str, Any] = {'analysis_level': self.analysis_level}
        content |= {k: _as_toml(v) for k, v in self.options.items() if v is not None}
        return atomic.write_text(path, f'# tmsprep {__version__}\n{tomli_w.dumps(content)}')


@dataclass(frozen=True, kw_only=True)
class DataConfig(RunConfig):
    """Settings of the levels that are given a data set."""

    folders = ('bids_dir', 'out_dir')

    bids_dir: Path
    skip_bids_validation: bool = setting(
        False, 'accept a data set without dataset_description.json', group='images'
    )
    annotations: Path | None = setting(
        None,
        'directory of the raters: files of points (TSV, 3D Slicer or Brainsight) or masks',
        group='raters',
        metavar='DIR',
        exists='folder',
    )
    consensus_threshold: float = setting(
        12.0, 'largest distance between raters who agree', group='raters', metavar='MM', above=0
    )
    random_seed: int = setting(
        1, 'seed of everything random', group='what', metavar='N', minimum=1, maximum=MAX_SEED
    )


@dataclass(frozen=True, kw_only=True)
class ImageConfig(DataConfig):
    """Settings of the levels that read images and run a workflow."""

    session_label: tuple[str, ...] = setting(
        (),
        'sessions, with or without "ses-" (default: all)',
        group='images',
        metavar='LABEL',
        read=lambda label: check_label(label.removeprefix('ses-'), 'ses'),
    )
    bids_filters: dict[str, Any] = setting(
        dict,
        'JSON file that says which images to use, or the name of a preset (default: that of the '
        'protocol, else every T1w)',
        group='images',
        metavar='FILE',
        flags=('--bids-filter-file',),
        read=load_filters,
    )
    bids_database_dir: Path | None = setting(
        None,
        'directory of a PyBIDS database of the whole data set, made there by a run without '
        '--participant-label if absent. Delete it when the data change',
        metavar='DIR',
        exists='',
    )
    derivatives: tuple[NamedPath, ...] = setting(
        (),
        'what others have made of the images, used instead of being computed: earlier outputs, '
        'those of fMRIPrep, sMRIPrep, FreeSurfer or SimNIBS charm, or directories with '
        '*_desc-brain_mask.nii.gz (to train also *_dseg.nii.gz) or *_from-T1w_to-*_xfm.h5; a name '
        'may stand before each, as in fmriprep=DIR',
        group='what',
        metavar='NAME=DIR',
        flags=('-d', '--derivatives'),
        exists='folder',
    )
    work_dir: Path = setting(
        lambda: Path.cwd() / 'work',
        'directory for intermediate results; a second run resumes from there (default: ./work)',
        metavar='DIR',
        flags=('-w', '--work-dir'),
        exists='',
    )
    nprocs: int = setting(
        available_cpus,
        'CPUs in all (default: those the system or Slurm grants)',
        group='resources',
        metavar='N',
        flags=('--nprocs', '--nthreads', '--n-cpus'),
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
        read=parse_memory,
    )
    device: str = setting(
        'cpu',
        'where networks run (default: auto, the GPU if one answers)',
        group='resources',
        choices=('auto', 'cpu', 'cuda'),
        read=resolve_device,
    )
    use_plugin: Path | None = setting(
        None, "Nipype's plugin and its arguments", group='resources', metavar='FILE.yml'
    )
    write_graph: bool = setting(False, "write a picture of each workflow into the outputs' logs")
    stop_on_first_crash: bool = setting(False, 'skip all remaining steps after a failure')

    @property
    def image_query(self) -> ImageQuery:
        """Images of the run, for `tmsprep.bids.find_images`."""
        return ImageQuery(
            self.bids_dir,
            self.participant_label,
            self.session_label,
            self.bids_filters,
            self.bids_database_dir,
        )

    @property
    def execution(self) -> Execution:
        """How the workflows of the run are executed."""
        return Execution(**{f.name: getattr(self, f.name) for f in fields(Execution)})


@dataclass(frozen=True, kw_only=True)
class ParticipantConfig(ImageConfig):
    """Settings of the level 'participant'."""

    analysis_level = 'participant'
    summary = 'localise the targets in every image'

    #: An image in place of a data set; it may be named after a patient, so it is not written.
    source: Path | None = None
    image_id: str = setting(
        '01',
        'label of the participant if one image is given',
        group='images',
        metavar='LABEL',
        flags=('--id',),
        read=lambda label: check_label(label.removeprefix('sub-')),
    )
    series: str | None = setting(
        None,
        'series to use if DICOM files are given (default: the T1w, by what their header says)',
        group='images',
        metavar='NUMBER',
    )
    localizers: tuple[str, ...] = _localizers()
    targets: tuple[str, ...] = setting(
        (),
        'targets to write; all are localised, as checks need them (default: all of the protocol)',
        group='what',
        metavar='LABEL',
    )
    point: tuple[str, ...] = setting(
        (),
        'a point of your own beside the targets: its name, and x, y and z in mm in --point-space; '
        'repeat for several',
        group='what',
        metavar='NAME X Y Z',
        words=4,
        read=parse_point,
    )
    points: Path | None = setting(
        None,
        'table of such points: label, x, y and z, tab-separated',
        group='what',
        metavar='FILE.tsv',
    )
    point_space: str = setting(
        'MNI152NLin2009cAsym',
        'template space of --point and --points',
        group='what',
        choices=tuple(SPACES),
    )
    snap_to_cortex: bool = setting(
        False, 'move --point and --points to the nearest grey matter', group='what'
    )
    sloppy: bool = setting(False, 'fast and rough, for testing; never for targets', group='what')
    reports_only: bool = setting(
        False, 'write the reports again from existing outputs', group='what'
    )
    fail_on_warning: bool = setting(False, 'exit with code 3 if a point carries a warning')
    deface_report: bool = setting(
        False, 'leave the face out of the viewer and the figures of the reports', group='what'
    )
    review: tuple[Path, ...] = setting(
        (),
        'decisions about targets, as saved by the viewer of a report: *_desc-reviewed_targets.tsv',
        group='what',
        metavar='FILE.tsv',
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ImageConfig):
    """Settings of the level 'train'."""

    analysis_level = 'train'
    summary = 'train networks, or offsets of the atlas, on your own images and points'

    localizers: tuple[str, ...] = _localizers()


@dataclass(frozen=True, kw_only=True)
class CrossvalConfig(ImageConfig):
    """Settings of the level 'crossval'."""

    analysis_level = 'crossval'
    summary = 'measure how well such networks do on other participants'

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


@dataclass(frozen=True, kw_only=True)
class GroupConfig(DataConfig):
    """Settings of the level 'group'."""

    analysis_level = 'group'
    summary = 'compare methods and raters over all participants'

    agreement_overrides: Path | None = setting(
        None,
        'table of the raters to use for some points, or none; a corrected copy of the table of '
        'agreements',
        group='raters',
        metavar='FILE.tsv',
        needs='annotations',
    )
    check_annotations: bool = setting(
        False,
        'look for errors in the files of points, and write nothing',
        group='raters',
        needs='annotations',
    )
    equivalence_margin: float = setting(
        3.0,
        'difference of mean errors that counts as none in the tests of equivalence',
        group='raters',
        metavar='MM',
        above=0,
    )


@dataclass(frozen=True, kw_only=True)
class ExportConfig(RunConfig):
    """Settings of the level 'export'."""

    analysis_level = 'export'
    summary = 'write the files for navigators again, from the outputs alone'

    fail_on_warning: bool = setting(False, 'exit with code 3 if a point carries a warning')


#: Analysis level to the class of its settings.
CONFIGS: dict[str, type[RunConfig]] = {
    kind.analysis_level: kind
    for kind in (ParticipantConfig, TrainConfig, CrossvalConfig, GroupConfig, ExportConfig)
}


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML file with settings of any analysis level and options of methods.

    Returns
    -------
    dict
        Name to value, as TOML has it, without what belongs to the run that wrote the file.

    Raises
    ------
    ValueError
        If the file is not TOML.
    """
    try:
        content = parse_toml(read_text(path, MOST_SETTINGS))
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: cannot be read as TOML ({error})') from error
    return {name: value for name, value in content.items() if name not in _OF_ONE_RUN}


def _as_toml(value: object) -> object:
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return [_as_toml(item) for item in value]
    return str(value) if isinstance(value, Path | NamedPath) else value


def _declared_options() -> dict[str, Option]:
    items: dict[str, tuple[Field[Any], Any]] = {}
    levels: dict[str, tuple[str, ...]] = {}
    for level, kind in CONFIGS.items():
        hints = get_type_hints(kind)
        for item in fields(kind):
            if item.metadata:
                items.setdefault(item.name, (item, hints[item.name]))
                levels[item.name] = (*levels.get(item.name, ()), level)
    return {name: _option(*declared, levels[name]) for name, declared in items.items()}


def _option(item: Field[Any], hint: Any, levels: tuple[str, ...]) -> Option:
    origin = get_origin(hint)
    # tuple[str, ...] and int | None have their type inside, dict[str, Any] outside.
    kind = get_args(hint)[0] if origin in (tuple, UnionType) else origin or hint
    default = item.default_factory if item.default is MISSING else item.default
    several = origin is tuple
    return Option(
        item.name, type=kind, default=default, several=several, levels=levels, **item.metadata
    )


#: Option of every setting of any level, by name.
SETTINGS = _declared_options()
