"""The settings of one run."""

from __future__ import annotations

import math
import time
import tomllib
import uuid
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tmsprep import __version__, atomic
from tmsprep.config_values import READERS, as_toml
from tmsprep.running.resources import available_cpus, available_memory_gb

LOCALIZERS = ('cnn', 'syn')
SYN_PRESETS = ('default', 'paper')
DEVICES = ('cpu', 'cuda')
ANALYSIS_LEVELS = ('participant', 'train', 'crossval', 'group')
LEARNING_LEVELS = ('train', 'crossval')
RECIPES = ('default', 'baxter2021', 'duennwald2021', 'quick')
RECIPES_OF = {
    'multiresolution': ('default', 'baxter2021', 'quick'),
    'coreunet': ('duennwald2021', 'quick'),
}
RESIDUALS = ('shared', 'separate', 'none')
SEGMENTATIONS = ('npp', 'pp', 'lpp')
AUGMENTATIONS = ('with', 'without')
# Another number of threads moves the points of a registration by up to a millimetre, so it must
# not depend on the machine; two is what a small one has.
DEFAULT_THREADS = 2
# The largest seed that ITK and Torch both take; 0 is left out because ITK reads it as "by clock".
MAX_SEED = 2**31 - 1


def new_run_id() -> str:
    """Name a run so that it sorts by time and never repeats, also among parallel jobs."""
    return f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'


@dataclass(frozen=True)
class RunConfig:
    """All settings of one run; nothing else decides what it does.

    Paths are made absolute, because Nipype's nodes run in folders of their own.

    Parameters
    ----------
    bids_dir, out_dir : Path
        The data set and the folder for derivatives.
    analysis_level : str
        One of `ANALYSIS_LEVELS`.
    participant_label, session_label : tuple of str
        Without 'sub-' and 'ses-'; empty for all.
    bids_filters : dict
        ``{'t1w': {entity: value, ...}}``; see `tmsprep.bids.filters`.
    localizers : tuple of str
        Any of 'cnn' and 'syn', in that order.
    protocol : str
        Name of a shipped protocol, or the path of a protocol file.
    weights, atlas, atlas_targets : Path or None
        The user's own network weights, annotated T1w and its points; None for those shipped.
        At level 'train' the weights are those to start from, None to start from nothing.
    syn_preset : str
        'default', or 'paper' for the full registration at 1 mm.
    derivatives : tuple of Path
        Earlier outputs, or folders of ``*_desc-brain_mask.nii.gz`` and
        ``*_from-T1w_to-*_xfm.h5``, to be used again; for learning also ``*_dseg.nii.gz``.
    annotations : Path or None
        Folder with files of points to learn from or to compare with; see
        `tmsprep.bids.annotations`.
    consensus_threshold : float
        Largest distance in mm between raters who agree.
    agreement_overrides : Path or None
        Table that says which raters to use where their agreement is not to be; see
        `tmsprep.group.overrides`.
    equivalence_margin : float
        Difference in mm of mean errors that 'group' takes for none.
    check_annotations : bool
        As the option of the same name.
    recipe : str
        One of `RECIPES`; see `tmsprep.methods.baxter2021.recipes`.
    steps : int or None
        Optimiser steps; None for as many as the recipe says.
    residual : tuple of str
        Of `RESIDUALS`; 'crossval' compares all of them, 'train' takes one.
    members : int
        Networks of the ensemble that 'train' makes.
    folds : int or None
        Of 'crossval'; None leaves out one participant at a time.
    repetitions : int
        Of 'crossval'.
    epochs : int or None
        Of a training for protocol locus-coeruleus; None for as many as the recipe says.
    held_out : int
        Participants that 'crossval' for protocol locus-coeruleus keeps for testing.
    augmentation : tuple of str
        Of `AUGMENTATIONS`; 'crossval' compares both, 'train' takes one.
    segmentation : tuple of str
        Of `SEGMENTATIONS`: how the locus coeruleus is segmented.
    work_dir : Path
        Nipype's working folder.
    nprocs, omp_nthreads : int
        Processes in all, and threads of one node.
    mem_gb : float
        Memory that the nodes may use together, GB of 10^9 bytes.
    device : str
        'cpu' or 'cuda', already resolved.
    random_seed : int
        1 to `MAX_SEED`.
    sloppy, reports_only, dry_run, write_graph, stop_on_first_crash : bool
        As the options of the same names.
    use_plugin : Path or None
        YAML file with Nipype's plugin settings.
    skip_bids_validation : bool
        Accept a folder without ``dataset_description.json``.
    bids_database_dir : Path or None
        Folder of a PyBIDS database, made if it is not there.
    verbose : int
        0 to 2, how much is logged.
    run_id : str
        Unique name of this run.

    Raises
    ------
    ValueError
        If a value is out of its range; the message names it as the command line does.
    """

    bids_dir: Path
    out_dir: Path
    analysis_level: str = 'participant'
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    bids_filters: dict[str, Any] = field(default_factory=dict, hash=False)
    localizers: tuple[str, ...] = LOCALIZERS
    protocol: str = 'tms'
    weights: Path | None = None
    atlas: Path | None = None
    atlas_targets: Path | None = None
    syn_preset: str = 'default'
    derivatives: tuple[Path, ...] = ()
    annotations: Path | None = None
    consensus_threshold: float = 12.0
    agreement_overrides: Path | None = None
    equivalence_margin: float = 3.0
    check_annotations: bool = False
    recipe: str = 'default'
    steps: int | None = None
    residual: tuple[str, ...] = ('shared',)
    members: int = 1
    folds: int | None = None
    repetitions: int = 5
    epochs: int | None = None
    held_out: int = 0
    augmentation: tuple[str, ...] = ('with',)
    segmentation: tuple[str, ...] = ('lpp',)
    work_dir: Path = field(default_factory=lambda: Path.cwd() / 'work')
    nprocs: int = field(default_factory=available_cpus)
    omp_nthreads: int = DEFAULT_THREADS
    mem_gb: float = field(default_factory=available_memory_gb)
    device: str = 'cpu'
    random_seed: int = 1
    sloppy: bool = False
    reports_only: bool = False
    dry_run: bool = False
    write_graph: bool = False
    stop_on_first_crash: bool = False
    use_plugin: Path | None = None
    skip_bids_validation: bool = False
    bids_database_dir: Path | None = None
    verbose: int = 0
    run_id: str = field(default_factory=new_run_id)

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _absolute(getattr(self, f.name)))
        _one_of('analysis level', self.analysis_level, ANALYSIS_LEVELS)
        _one_of('--syn-preset', self.syn_preset, SYN_PRESETS)
        _one_of('--device', self.device, DEVICES)
        for localizer in self.localizers:
            _one_of('--localizers', localizer, LOCALIZERS)
        _check(self.localizers, '--localizers: name at least one of cnn, syn')
        _check(self.nprocs >= 1, f'--nprocs must be 1 or more, not {self.nprocs}')
        _check(
            self.omp_nthreads >= 1, f'--omp-nthreads must be 1 or more, not {self.omp_nthreads}'
        )
        _check(self.mem_gb > 0, f'--mem must be above 0, not {self.mem_gb} GB')
        _check(
            1 <= self.random_seed <= MAX_SEED,
            f'--random-seed must be from 1 to {MAX_SEED}, not {self.random_seed}',
        )
        _check(self.run_id and '/' not in self.run_id, f'run_id {self.run_id!r} is no file name')
        self._check_learning()

    def _check_learning(self) -> None:
        _one_of('--recipe', self.recipe, RECIPES)
        for residual in self.residual:
            _one_of('--residual', residual, RESIDUALS)
        known = ', '.join(RESIDUALS)
        _check(self.residual, f'--residual: name at least one of {known}')
        _check(len(set(self.residual)) == len(self.residual), '--residual: name each kind once')
        _check(
            self.analysis_level != 'train' or len(self.residual) == 1,
            '--residual: train makes one kind of network; name one of ' + known,
        )
        self._check_coeruleus()
        for name in ('steps', 'epochs', 'members', 'repetitions'):
            number = getattr(self, name)
            _check(number is None or number >= 1, f'--{name} must be 1 or more, not {number}')
        _check(
            self.folds is None or self.folds >= 2,
            f'--folds must be 2 or more, not {self.folds}; without it one participant at a time '
            'is left out',
        )
        _check(
            0 < self.consensus_threshold < math.inf,
            f'--consensus-threshold must be above 0 mm, not {self.consensus_threshold}',
        )
        _check(
            0 < self.equivalence_margin < math.inf,
            f'--equivalence-margin must be above 0 mm, not {self.equivalence_margin}',
        )

    def _check_coeruleus(self) -> None:
        for name, known in (('augmentation', AUGMENTATIONS), ('segmentation', SEGMENTATIONS)):
            chosen = getattr(self, name)
            for item in chosen:
                _one_of(f'--{name}', item, known)
            _check(chosen, f'--{name}: name at least one of {", ".join(known)}')
            _check(len(set(chosen)) == len(chosen), f'--{name}: name each kind once')
        _check(
            self.analysis_level != 'train' or len(self.augmentation) == 1,
            '--augmentation: train makes one kind of network; name with or without',
        )
        _check(self.held_out >= 0, f'--held-out must be 0 or more, not {self.held_out}')

    def to_toml(self, path: Path) -> Path:
        """Write all settings; `from_toml` gives them back exactly.

        TOML has no null: what is None is left out, and the filters are one string of JSON.
        """
        import tomli_w

        content = {
            f.name: as_toml(getattr(self, f.name))
            for f in fields(self)
            if getattr(self, f.name) is not None
        }
        return atomic.write_text(path, f'# tmsprep {__version__}\n{tomli_w.dumps(content)}')

    @classmethod
    def from_toml(cls, path: Path) -> RunConfig:
        """Read a run's settings back.

        Raises
        ------
        ValueError
            If the file is not TOML, or has a key or a value that does not belong there.
        """
        settings = read_settings(path)
        for name in ('bids_dir', 'out_dir'):
            _check(name in settings, f'{path}: lacks {name}')
        return cls(**settings)


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings that a TOML file names, which need not be all of them.

    Parameters
    ----------
    path : Path
        Keys are the fields of `RunConfig`; relative paths are relative to the current folder.

    Returns
    -------
    dict
        Arguments for `RunConfig`, each of its field's type.

    Raises
    ------
    ValueError
        If the file is not TOML, or has a key or a value that does not belong there.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f'{path}: cannot be read as TOML ({error})') from error
    types = {f.name: str(f.type) for f in fields(RunConfig)}
    for name in content:
        known = f'known: {", ".join(types)}'
        _check(name in types, f'{path}: unknown setting {name!r} ({known})')
    settings = {}
    for name, value in content.items():
        try:
            settings[name] = READERS[types[name]](value)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {name} = {value!r} is not of its type') from error
    return settings


def _check(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    _check(value in known, f'{what} {value!r} is not known; choose from {", ".join(known)}')


def _absolute(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_absolute(item) for item in value)
    return value.expanduser().absolute() if isinstance(value, Path) else value
