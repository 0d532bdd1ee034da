"""The command line, which follows fMRIPrep's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tmsprep import __version__
from tmsprep.cli.arguments import amount, path_of, several, whole_number, with_dashes
from tmsprep.cli.checks import check_paths
from tmsprep.cli.group_options import add_group
from tmsprep.cli.learning_options import add_coeruleus, add_learning
from tmsprep.cli.protocol_defaults import protocol_defaults
from tmsprep.config import (
    ANALYSIS_LEVELS,
    DEFAULT_THREADS,
    LOCALIZERS,
    SYN_PRESETS,
    RunConfig,
    read_settings,
)
from tmsprep.running.device import resolve_device


class _Parser(argparse.ArgumentParser):
    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Take both spellings of every option, as fMRIPrep does."""
        args = [with_dashes(arg) for arg in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage that hides it, and exit with code 2."""
        line = ' '.join(str(message).split())
        self.exit(2, f'tmsprep: error: {line} (tmsprep --help lists all options)\n')


def parse_args(argv: Sequence[str] | None = None) -> RunConfig:
    """Read the command line and check everything that needs no image.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process if not given.

    Returns
    -------
    RunConfig
        Defaults, replaced by what ``--config-file`` says, replaced by the command line.

    Raises
    ------
    SystemExit
        With code 2 and one line on stderr if an argument is wrong, 0 after --help and --version.
    """
    parser = build_parser()
    given = vars(parser.parse_args(argv))
    try:
        config = RunConfig(**_settings(given))
        check_paths(config)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return config


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Turn options into arguments of `RunConfig`."""
    from tmsprep.bids.filters import check_filters, load_filters

    saved = {}
    if config_file := given.pop('config_file', None):
        saved = read_settings(config_file)
        check_filters(saved.get('bids_filters', {}), str(config_file))
        # Every run has a name of its own, also one with the settings of another.
        saved.pop('run_id', None)
    if filter_file := given.pop('bids_filter_file', None):
        given['bids_filters'] = load_filters(filter_file)
    settings = saved | {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    for name, prefix in (('participant_label', 'sub-'), ('session_label', 'ses-')):
        labels = (label.removeprefix(prefix) for label in settings.get(name, ()))
        settings[name] = tuple(dict.fromkeys(labels))
    if set(chosen := settings.get('localizers', ())) <= set(LOCALIZERS) and chosen:
        settings['localizers'] = tuple(name for name in LOCALIZERS if name in chosen)
    if settings.get('protocol', '').endswith('.toml'):
        settings['protocol'] = str(Path(settings['protocol']).absolute())
    settings = protocol_defaults(settings) | settings
    # Nothing runs on a GPU at the group level, so none is asked.
    unused = given.get('analysis_level') == 'group'
    settings['device'] = 'cpu' if unused else resolve_device(settings.get('device', 'auto'))
    return settings


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Options that are not given leave no trace in the result, so that the settings of
    ``--config-file`` and the defaults of `RunConfig` show through.
    """
    parser = _Parser(
        prog='tmsprep',
        description='Localise the cortical targets of transcranial magnetic stimulation in '
        'T1-weighted MRI, by a convolutional network and by registration to an atlas (SyN). '
        'Research software, not a medical device.',
        epilog='Options may be written with _ in place of - (--participant_label).',
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument('bids_dir', type=path_of, help='the BIDS data set')
    parser.add_argument('out_dir', type=path_of, help='folder for the outputs (BIDS derivatives)')
    parser.add_argument(
        'analysis_level',
        choices=ANALYSIS_LEVELS,
        help='what to do: localise in every participant, train a network on own points, '
        'cross-validate one, or compare methods and raters over the group',
    )
    parser.add_argument('--version', action='version', version=f'tmsprep {__version__}')
    parser.add_argument('-v', '--verbose', action='count', help='say more; -vv says everything')
    _add_choice_of_images(parser.add_argument_group('which images'))
    _add_localization(parser.add_argument_group('how targets are localised'))
    add_learning(parser.add_argument_group('learning (train and crossval)'))
    add_coeruleus(parser.add_argument_group('locus coeruleus (--protocol locus-coeruleus)'))
    add_group(parser.add_argument_group('points of raters (train, crossval and group)'))
    _add_resources(parser.add_argument_group('resources'))
    _add_running(parser.add_argument_group('running'))
    return parser


def _add_choice_of_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--participant-label',
        **several('LABEL', str),
        help='participants, with or without "sub-" (default: all)',
    )
    group.add_argument(
        '--session-label',
        **several('LABEL', str),
        help='sessions, with or without "ses-" (default: all)',
    )
    group.add_argument(
        '--bids-filter-file',
        metavar='FILE',
        help='JSON file that says which images are T1w, or the name of a preset: t1w, '
        'mp2rage_uni, first_session, neuromelanin (default: every T1w of a person; for protocol '
        'locus-coeruleus neuromelanin)',
    )
    group.add_argument(
        '--skip-bids-validation',
        action='store_true',
        help='accept a data set without dataset_description.json',
    )
    group.add_argument(
        '--bids-database-dir',
        type=path_of,
        metavar='DIR',
        help='folder of a PyBIDS database of the whole data set, made there by a run for '
        'everybody if absent. Delete it when the data change',
    )


def _add_localization(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--localizers',
        **several(None, str),
        choices=LOCALIZERS,
        help='methods: the network, the registration (default: both)',
    )
    group.add_argument(
        '--protocol', metavar='NAME', help=f'what is localised (default: {RunConfig.protocol})'
    )
    group.add_argument(
        '--weights',
        type=path_of,
        metavar='FILE',
        help='own weights of the network (safetensors); with train those to start from',
    )
    group.add_argument(
        '--atlas',
        type=path_of,
        metavar='FILE',
        help='own annotated T1w to register, with --atlas-targets (default: MNI152)',
    )
    group.add_argument(
        '--atlas-targets',
        type=path_of,
        metavar='FILE',
        help="the own atlas' points, TSV or 3D Slicer",
    )
    group.add_argument(
        '--syn-preset',
        choices=SYN_PRESETS,
        help='paper: full registration at 1 mm, many minutes '
        f'(default: {RunConfig.syn_preset}, lighter)',
    )
    group.add_argument(
        *('-d', '--derivatives'),
        **several('DIR', path_of),
        help='earlier outputs, or folders with *_desc-brain_mask.nii.gz (to train also '
        '*_dseg.nii.gz) or *_from-T1w_to-*_xfm.h5, that are used instead of being computed',
    )
    group.add_argument(
        '--random-seed',
        type=whole_number,
        metavar='N',
        help=f'seed of everything random, from 1 (default: {RunConfig.random_seed})',
    )
    group.add_argument(
        '--sloppy', action='store_true', help='fast and rough, for testing; never for targets'
    )


def _add_resources(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *('--nprocs', '--nthreads', '--n-cpus'),
        type=whole_number,
        dest='nprocs',
        metavar='N',
        help='CPUs in all (default: those the system or Slurm grants)',
    )
    group.add_argument(
        '--omp-nthreads',
        type=whole_number,
        metavar='N',
        help=f'threads of one step (default: {DEFAULT_THREADS} on any machine, because a '
        'registration with another number gives slightly other points)',
    )
    group.add_argument(
        *('--mem', '--mem-mb'),
        type=amount,
        dest='mem_gb',
        metavar='AMOUNT',
        help='memory in all, as 8GB, 8G or 8000MB; a number without a unit is MB, as in fMRIPrep '
        '(default: 90 percent of what the system, container or Slurm grants)',
    )
    group.add_argument(
        '--device',
        choices=('auto', 'cpu', 'cuda'),
        help='where the network runs (default: auto, the GPU if one answers)',
    )
    group.add_argument(
        '--use-plugin',
        type=path_of,
        metavar='FILE.yml',
        help="Nipype's plugin and its arguments",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *('-w', '--work-dir'),
        type=path_of,
        metavar='DIR',
        help='folder for what is in between; a second run goes on from there (default: ./work)',
    )
    group.add_argument(
        '--config-file',
        type=path_of,
        metavar='FILE.toml',
        help='settings, such as an earlier run saved; the command line overrides them',
    )
    switches = {
        'reports-only': 'make the reports again from the outputs that are there',
        'dry-run': 'check everything, list what would be done, and stop',
        'write-graph': "write a picture of each workflow into the outputs' logs",
        'stop-on-first-crash': 'do not finish the other steps and people after a failure',
    }
    for name, text in switches.items():
        group.add_argument(f'--{name}', action='store_true', help=text)
