"""The command line, which follows fMRIPrep's.

Options are declared by the settings (`tmsprep.config`) and by the methods; nothing is listed here.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from tmsprep import __version__
from tmsprep.cli.checks import check_paths
from tmsprep.config import CONFIGS, SETTINGS, RunConfig, read_settings
from tmsprep.methods import method_names, method_options, names_of
from tmsprep.options import LEVELS, NEUTRAL_GROUPS, Option, settle
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.text import shown

#: Groups of the help, in order.
GROUPS = {
    'images': 'which images',
    'what': 'what is localised, and how',
    'learning': 'learning',
    'raters': 'raters',
    'resources': 'resources',
    'running': 'running',
}


class _Parser(argparse.ArgumentParser):
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Accept underscores in the names of options, as fMRIPrep does."""
        given = [_with_dashes(arg) for arg in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage that hides it, and exit with code 2."""
        line = shown(' '.join(str(message).split()))
        self.exit(2, f'tmsprep: error: {line} (tmsprep --help lists all options)\n')


def parse_args(argv: Sequence[str] | None = None) -> RunConfig:
    """Read the command line, and check everything that needs no image.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process if not given.

    Raises
    ------
    SystemExit
        With code 2 and one line on stderr if an argument is wrong, 0 after --help and --version.
    """
    parser = build_parser()
    given = vars(parser.parse_args(argv))
    try:
        config = make_config(**given)
        check_paths(config)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return config


def make_config(
    bids_dir: Path,
    out_dir: Path,
    analysis_level: str,
    config_file: Path | None = None,
    **given: Any,
) -> RunConfig:
    """Decide the settings of a run: defaults, replaced by those of the protocol, and so on.

    Parameters
    ----------
    bids_dir, out_dir : Path
        The data set and the directory of the outputs.
    analysis_level : str
        One of `tmsprep.options.LEVELS`.
    config_file : Path, optional
        TOML file whose settings replace the defaults; those of other levels and protocols are
        checked, and named in the notes of the result.
    **given : Any
        Settings and options of methods, as on the command line, which replace all others.

    Raises
    ------
    ValueError
        If an option is unknown, of another analysis level or protocol, or out of range.
    """
    saved = {} if config_file is None else read_settings(config_file)
    _refuse_unknown(saved, str(config_file))
    protocol = _protocol({**saved, **given})
    of_methods = {o.name: o for name in names_of(protocol) for o in method_options(name)}
    options = {**of_methods, **SETTINGS}
    _refuse_misplaced(given, options, analysis_level, protocol)
    sources = {
        f'protocol {protocol.name}': _defaults(protocol, analysis_level),
        str(config_file): saved,
        '': given,
    }
    values = settle(options.values(), sources, analysis_level)
    unused = _unused(saved, options, analysis_level, str(config_file))
    if 'localizers' in values:
        values['localizers'] = names_of(protocol, values['localizers'])
    return CONFIGS[analysis_level](
        bids_dir=bids_dir.absolute(),
        out_dir=out_dir.absolute(),
        method_options={name: values.pop(name) for name in of_methods if name in values},
        notes=unused,
        **values,
    )


def _protocol(settings: Mapping[str, Any]) -> Protocol:
    option = SETTINGS['protocol']
    name = option.check(settings.get('protocol', option.default), '')
    try:
        protocol = load_protocol(name)
        names_of(protocol)
    except (OSError, ValueError) as error:
        raise ValueError(f'--protocol: {error}') from error
    return protocol


def _defaults(protocol: Protocol, level: str) -> dict[str, Any]:
    """Defaults at one level that differ from those the options declare."""
    common = {name: value for name, value in protocol.defaults.items() if name not in LEVELS}
    defaults = {**common, **protocol.defaults.get(level, {})}
    _refuse_unknown(defaults, f'protocol {protocol.name}')
    filters = {'bids_filters': protocol.filter} if protocol.filter else {}
    return {'device': 'auto', **filters, **defaults}


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    known = SETTINGS.keys() | {o.name for name in method_names() for o in method_options(name)}
    for name in names:
        if name not in known:
            all_names = ', '.join(sorted(known))
            raise ValueError(f'{where}: unknown setting {name!r} (known: {all_names})')


def _refuse_misplaced(
    given: Iterable[str], options: Mapping[str, Option], level: str, protocol: Protocol
) -> None:
    """Refuse options of other levels and protocols, unless they could not change the results."""
    for name in given:
        option = options.get(name)
        if option is None:
            flag = f'--{name.replace("_", "-")}'
            raise ValueError(f'{flag} has no use in protocol {protocol.name}; leave it out')
        if level in option.levels or option.group in NEUTRAL_GROUPS:
            continue
        levels = ' and '.join(option.levels)
        reason = f', {option.refusals[level]}' if level in option.refusals else ''
        raise ValueError(
            f'{option.flag} is an option of {levels}, not of {level}{reason}; leave it out'
        )


def _unused(
    saved: Mapping[str, Any], options: Mapping[str, Option], level: str, where: str
) -> tuple[str, ...]:
    """Name the settings of a file that this level or protocol has not, and check their values.

    Raises
    ------
    ValueError
        If a value is out of range, which would be found only when its level is run.
    """
    declared = {o.name: o for name in method_names() for o in method_options(name)}
    names = []
    for name, value in saved.items():
        option = options.get(name) or {**declared, **SETTINGS}[name]
        neutral = option.group in NEUTRAL_GROUPS
        # What text of a resource means is decided by the machine, and no GPU need be here.
        if (name in options and level in option.levels) or (neutral and option.read):
            continue
        try:
            # Files of another level need not be there.
            replace(option, exists='').check(value, option.levels[0])
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if not neutral:
            names.append(name)
    reason = f'{where}: not used at the level {level} of this protocol: {", ".join(names)}'
    return (reason,) if names else ()


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
    path = _reader(Option('path', '', Path))
    parser.add_argument('bids_dir', type=path, help='the BIDS data set')
    parser.add_argument('out_dir', type=path, help='directory of the outputs (BIDS derivatives)')
    parser.add_argument(
        'analysis_level',
        choices=LEVELS,
        help='participant: localise in every image; train: train networks on your own points; '
        'crossval: cross-validate them; group: compare methods and raters',
    )
    parser.add_argument('--version', action='version', version=f'tmsprep {__version__}')
    parser.add_argument('-v', '--verbose', action='count', help='log more; -vv logs everything')
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    groups['running'].add_argument(
        '--config-file',
        type=path,
        metavar='FILE.toml',
        help='settings, such as those an earlier run saved; the command line overrides them',
    )
    for option in SETTINGS.values():
        if option.help:
            _add_option(groups[option.group], {option.name: option})
    _add_method_options(parser)
    return parser


def _add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all methods, in one group for those that the same methods have."""
    declared: dict[str, dict[str, Option]] = defaultdict(dict)
    for name in method_names():
        for option in method_options(name):
            declared[option.name][name] = option
    groups: dict[str, argparse._ArgumentGroup] = {}
    for options in declared.values():
        title = f'method {" and ".join(options)}'
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        _add_option(groups[title], options)


def _add_option(group: argparse._ArgumentGroup, options: Mapping[str, Option]) -> None:
    """Add one option, which several methods may declare, each with a help of its own.

    Parameters
    ----------
    group : argparse group
        Part of the help.
    options : mapping
        Method to its declaration.
    """
    option = next(iter(options.values()))
    text = option.describe()
    if len(options) > 1:
        text = '; '.join(f'{method}: {same.describe()}' for method, same in options.items())
    arguments: dict[str, Any] = {'dest': option.name, 'help': text.replace('%', '%%')}
    if option.type is bool:
        arguments['action'] = 'store_true'
    else:
        arguments['type'] = _reader(option) if option.words == 1 else None
        arguments['metavar'] = option.metavar or None
        arguments['choices'] = list(dict.fromkeys(c for o in options.values() for c in o.choices))
    if option.words > 1:
        arguments |= {'nargs': option.words, 'action': _Joined}
        arguments['metavar'] = tuple(option.metavar.split())
    elif option.several:
        arguments |= {'nargs': '+', 'action': 'extend'}
    group.add_argument(
        *(option.flags or (option.flag,)), **{k: v for k, v in arguments.items() if v}
    )


class _Joined(argparse.Action):
    """Append the words of one value, joined by blanks."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            value = SETTINGS[self.dest].parse(' '.join(values))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, ()), value])


def _reader(option: Option) -> Callable[[str], Any]:
    """How argparse reads a value; text with choices is left for it to compare."""

    def read(text: str) -> Any:
        try:
            return text if option.choices else option.parse(text)
        except (ValueError, OSError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _with_dashes(arg: str) -> str:
    name, equals, value = arg.partition('=')
    return f'{name.replace("_", "-")}{equals}{value}' if arg.startswith('--') else arg
