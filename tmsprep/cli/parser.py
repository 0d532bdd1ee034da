"""The command line, which follows fMRIPrep's.

Options are declared by the settings (`tmsprep.config`) and by the methods; nothing is listed here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from tmsprep import __version__
from tmsprep.cli.checks import check_paths
from tmsprep.config import CONFIGS, RunConfig, flag_of, read_settings
from tmsprep.methods import method_names, method_options, names_of
from tmsprep.options import LEVELS, Option, settle
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.running.device import resolve_device
from tmsprep.running.memory import parse_memory

#: Groups of the help, in order.
GROUPS = {
    'images': 'which images',
    'what': 'what is localised, and how',
    'learning': 'learning (train and crossval)',
    'raters': 'raters',
    'resources': 'resources',
    'running': 'running',
}


class _Parser(argparse.ArgumentParser):
    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Accept underscores in the names of options, as fMRIPrep does."""
        given = [_with_dashes(arg) for arg in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage that hides it, and exit with code 2."""
        line = ' '.join(str(message).split())
        self.exit(2, f'tmsprep: error: {line} (tmsprep --help lists all options)\n')


def parse_args(argv: Sequence[str] | None = None) -> RunConfig:
    """Read the command line, and check everything that needs no image.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process if not given.

    Returns
    -------
    RunConfig
        Settings of the analysis level: defaults, replaced by those of the protocol, replaced by
        ``--config-file``, replaced by the command line.

    Raises
    ------
    SystemExit
        With code 2 and one line on stderr if an argument is wrong, 0 after --help and --version.
    """
    parser = build_parser()
    given = vars(parser.parse_args(argv))
    try:
        config = make_config(given)
        check_paths(config)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return config


def make_config(given: dict[str, Any]) -> RunConfig:
    """Turn options into the settings of an analysis level.

    Parameters
    ----------
    given : dict
        Options by name, as `build_parser` reads them; those not given are absent.

    Raises
    ------
    ValueError
        If an option is unknown, of another analysis level or protocol, or out of range.
    """
    from tmsprep.bids.filters import check_filters, load_filters

    level = given.pop('analysis_level')
    saved: dict[str, Any] = {}
    if config_file := given.pop('config_file', None):
        saved = _saved_settings(config_file)
        check_filters(saved.get('bids_filters', {}), str(config_file))
    if filter_file := given.pop('bids_filter_file', None):
        given['bids_filters'] = load_filters(filter_file)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if str(given.get('protocol', '')).endswith('.toml'):
        given['protocol'] = str(Path(given['protocol']).absolute())
    protocol = _protocol({**saved, **given})
    kind = CONFIGS[level]
    known = {f.name for f in fields(kind)}
    _refuse_foreign(given, known, level, protocol)
    settings = {k: v for k, v in (saved | given).items() if k in known}
    for name, prefix in (('participant_label', 'sub-'), ('session_label', 'ses-')):
        if name in settings:
            labels = (label.removeprefix(prefix) for label in settings[name])
            settings[name] = tuple(dict.fromkeys(labels))
    if 'localizers' in known:
        settings['localizers'] = names_of(protocol, settings.get('localizers', ()))
    if 'bids_filters' in known and 'bids_filters' not in settings and protocol.filter:
        settings['bids_filters'] = load_filters(protocol.filter)
    if 'device' in known:
        settings['device'] = resolve_device(settings.get('device', 'auto'))
    defaults = {**protocol.defaults, **protocol.defaults.get(level, {})}
    settings = {k: v for k, v in defaults.items() if k in known} | settings
    options = settle(_options_of(protocol), saved | given, protocol.defaults, level)
    return kind(**settings, method_options=options)


def _saved_settings(config_file: Path) -> dict[str, Any]:
    saved = read_settings(config_file)
    # Every run has a name of its own, also one with the settings of another.
    for name in ('run_id', 'analysis_level'):
        saved.pop(name, None)
    known = {f.name for kind in CONFIGS.values() for f in fields(kind)}
    known |= {option.name for name in method_names() for option in method_options(name)}
    unknown = sorted(set(saved) - known)
    if unknown:
        known_names = ', '.join(sorted(known))
        raise ValueError(f'{config_file}: unknown setting {unknown[0]!r} (known: {known_names})')
    return saved


def _protocol(settings: Mapping[str, Any]) -> Protocol:
    try:
        protocol = load_protocol(settings.get('protocol', RunConfig.protocol))
        names_of(protocol)
    except (OSError, ValueError) as error:
        raise ValueError(f'--protocol: {error}') from error
    return protocol


def _options_of(protocol: Protocol) -> list[Option]:
    options = {o.name: o for name in reversed(names_of(protocol)) for o in method_options(name)}
    return list(options.values())


def _refuse_foreign(
    given: Mapping[str, Any], known: set[str], level: str, protocol: Protocol
) -> None:
    """Refuse options that the analysis level or the protocol would ignore."""
    own = {option.name: option for option in _options_of(protocol)}
    for name in given:
        flag = f'--{name.replace("_", "-")}'
        levels = _levels_of(name)
        if levels and level not in levels:
            raise ValueError(
                f'{flag} is an option of {" and ".join(levels)}, not of {level}; leave it out'
            )
        if name in known:
            continue
        if name not in own:
            raise ValueError(
                f'{flag} means nothing for protocol {protocol.name}; leave the option out'
            )
        if level not in own[name].levels:
            raise ValueError(
                f'{flag} is an option of {" and ".join(own[name].levels)}, not of {level}, for '
                f'protocol {protocol.name}; leave it out'
            )


def _levels_of(name: str) -> list[str]:
    """Analysis levels that have a setting or an option of any method."""
    levels = {
        level for level, kind in CONFIGS.items() if name in {field.name for field in fields(kind)}
    }
    for method in method_names():
        levels |= {level for o in method_options(method) if o.name == name for level in o.levels}
    return [level for level in LEVELS if level in levels]


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Options that are not given leave no trace in the result, so that the settings of
    ``--config-file`` and the defaults show through.
    """
    parser = _Parser(
        prog='tmsprep',
        description="Localise the targets of brain stimulation in a participant's own MRI. "
        'Research software, not a medical device.',
        epilog='Options may be written with _ in place of - (--participant_label).',
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument('bids_dir', type=_path, help='the BIDS data set')
    parser.add_argument('out_dir', type=_path, help='directory of the outputs (BIDS derivatives)')
    parser.add_argument(
        'analysis_level',
        choices=LEVELS,
        help='participant: localise in every image; train: train networks on your own points; '
        'crossval: cross-validate them; group: compare methods and raters',
    )
    parser.add_argument('--version', action='version', version=f'tmsprep {__version__}')
    parser.add_argument('-v', '--verbose', action='count', help='log more; -vv logs everything')
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    groups['images'].add_argument(
        '--bids-filter-file',
        metavar='FILE',
        help='JSON file that says which images to use, or the name of a preset (default: that of '
        'the protocol, else every T1w)',
    )
    groups['running'].add_argument(
        '--config-file',
        type=_path,
        metavar='FILE.toml',
        help='settings, such as those an earlier run saved; the command line overrides them',
    )
    _add_settings(groups)
    _add_method_options(parser)
    return parser


def _add_settings(groups: Mapping[str, argparse._ArgumentGroup]) -> None:
    added = set()
    for kind in CONFIGS.values():
        for item in fields(kind):
            if item.name in added or not item.metadata.get('help'):
                continue
            added.add(item.name)
            more: dict[str, Any] = {'choices': item.metadata.get('choices')}
            groups[item.metadata['group']].add_argument(
                *_flags(item.name, item.metadata),
                dest=item.name,
                help=_help(item.metadata['help'], _levels_of(item.name), item.default),
                **_reading(str(item.type), item.name, item.metadata.get('metavar'), more),
            )


def _flags(name: str, metadata: Mapping[str, Any]) -> list[str]:
    main = flag_of(name, metadata)
    others = [flag for flag in metadata.get('flags', ()) if flag != main]
    return [*(f for f in others if not f.startswith('--')), main] + [
        f for f in others if f.startswith('--')
    ]


def _add_method_options(parser: argparse.ArgumentParser) -> None:
    added: set[str] = set()
    for name in method_names():
        group = parser.add_argument_group(f'method {name}')
        for option in method_options(name):
            if option.name in added:
                continue
            added.add(option.name)
            texts = {bool: 'bool', int: 'int', float: 'float', Path: 'Path'}
            kind = texts.get(option.type, 'str')
            group.add_argument(
                option.flag,
                dest=option.name,
                help=_help(option.help, list(option.levels), option.default),
                **_reading(
                    f'tuple[{kind}, ...]' if option.several else kind,
                    option.name,
                    option.metavar or None,
                    {'choices': _choices_of(option.name)},
                ),
            )


def _choices_of(name: str) -> list[str] | None:
    """Choices of an option of the same name over all methods, in their order."""
    found = {
        choice: None
        for method in method_names()
        for option in method_options(method)
        if option.name == name
        for choice in option.choices
    }
    return list(found) or None


def _help(text: str, levels: Sequence[str], default: object) -> str:
    words = text
    shown = ' '.join(default) if isinstance(default, tuple) else default
    if isinstance(shown, (str, int, float)) and not isinstance(shown, bool) and shown != '':
        words += '' if '(default' in words else f' (default: {shown})'
    if len(levels) < len(LEVELS):
        words = f'[{", ".join(levels)}] {words}'
    return words.replace('%', '%%')


def _reading(kind: str, name: str, metavar: str | None, more: dict[str, Any]) -> dict[str, Any]:
    """How argparse reads a value of a type, given as the text of an annotation."""
    if kind == 'bool':
        return {'action': 'store_true'}
    readers: dict[str, Callable[[str], Any]] = {
        'int': _whole_number,
        'float': _memory if name == 'mem_gb' else _real_number,
        'Path': _path,
        'str': str,
    }
    several = kind.startswith('tuple')
    base = kind.removeprefix('tuple[').split(',')[0].split(' |')[0]
    result = {'type': readers[base], **{k: v for k, v in more.items() if v}}
    if metavar:
        result['metavar'] = metavar
    return {**result, 'nargs': '+', 'action': 'extend'} if several else result


def _with_dashes(arg: str) -> str:
    name, equals, value = arg.partition('=')
    return f'{name.replace("_", "-")}{equals}{value}' if arg.startswith('--') else arg


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError('an empty path; is a variable of your script unset?')
    return Path(text)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number') from None


def _real_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number') from None


def _memory(text: str) -> float:
    try:
        return parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
