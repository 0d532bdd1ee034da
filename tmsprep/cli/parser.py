"""The command line, which follows fMRIPrep's.

Options are declared by the settings (`tmsprep.config`) and by the methods; nothing is listed here.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tmsprep import __version__
from tmsprep.cli.checks import check_paths
from tmsprep.cli.completion import SHELLS, PrintCompletion
from tmsprep.cli.places import IMAGE_FORM, Places, closest, read_places, usage
from tmsprep.cli.settings import make_config
from tmsprep.config import CONFIGS, SETTINGS, RunConfig
from tmsprep.methods import method_names, method_options
from tmsprep.options import Option
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

_DESCRIPTION = (
    "Localise the targets of brain stimulation in a participant's own MRI. "
    'Research software, not a medical device.'
)


class _Parser(argparse.ArgumentParser):
    """Knows all options; which arguments are no options is decided by `read_places`."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Accept underscores in the names of options, as fMRIPrep does."""
        given = [_with_dashes(arg) for arg in (sys.argv[1:] if args is None else args)]
        # For the help, which may be asked for before or after it.
        self._level = next((arg for arg in reversed(given) if arg in CONFIGS), '')
        return super().parse_known_args(given, namespace)

    def print_help(self, file: Any = None) -> None:
        """Print the options of the analysis level that is given, else an overview."""
        text = build_parser(self._level).format_help() if self._level else overview()
        self._print_message(text, file or sys.stdout)

    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage that hides it, and exit with code 2."""
        line = shown(' '.join(str(message).split()))
        level = self._level or 'participant'
        self.exit(2, f'tmsprep: error: {line} (tmsprep {level} --help lists the options)\n')


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
    try:
        places, options = read_arguments(parser, argv)
        config = make_config(places.level, places.folders, source=places.source, **options)
        check_paths(config)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return config


def read_arguments(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[Places, dict[str, Any]]:
    """Read the command line, and check nothing but its form.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        As `build_parser` returns it.
    argv : sequence of str, optional
        As for `parse_args`.

    Returns
    -------
    places : Places
        The arguments that are no options.
    options : dict
        Name to value, for those that are given.

    Raises
    ------
    ValueError
        If an option is unknown, or as `tmsprep.cli.places.read_places`.
    """
    options, words = parser.parse_known_args(argv)
    return read_places(_without_options(parser, words)), vars(options)


def _without_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return the arguments that are no options.

    Raises
    ------
    ValueError
        If one looks like an option; the message names the one that was probably meant.
    """
    end = words.index('--') if '--' in words else len(words)
    for word in words[:end]:
        if word.startswith('-'):
            name = word.partition('=')[0]
            known = [o for action in parser._actions for o in action.option_strings]
            meant = closest(name, known)
            raise ValueError(f'unknown option {name}{f"; did you mean {meant}?" if meant else ""}')
    return [*words[:end], *words[end + 1 :]]


def build_parser(level: str = '') -> argparse.ArgumentParser:
    """Describe the options of the command line.

    Options that are not given leave no trace in the result, so that the settings of
    ``--config-file`` and the defaults show through.

    Parameters
    ----------
    level : str
        The only analysis level whose options are described; '' for all.
    """
    config = CONFIGS.get(level)
    parser = _Parser(
        prog='tmsprep',
        usage=None if config is None else f'{usage(level, config.folders)} [options]',
        description=_DESCRIPTION if config is None else f'{level}: {config.summary}.',
        epilog='Options may be written with _ in place of - (--participant_label).',
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument('--version', action='version', version=f'tmsprep {__version__}')
    parser.add_argument('-v', '--verbose', action='count', help='log more; -vv logs everything')
    parser.add_argument(
        '--print-completion',
        action=PrintCompletion,
        choices=SHELLS,
        help='print a script that completes this command in a shell',
    )
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    groups['running'].add_argument(
        '--config-file',
        type=_reader(Option('config_file', '', Path)),
        metavar='FILE.toml',
        help='settings, such as those an earlier run saved; the command line overrides them',
    )
    for option in SETTINGS.values():
        if option.help and _is_of(option, level):
            _add_option(groups[option.group], {option.name: option})
    _add_method_options(parser, level)
    return parser


def _is_of(option: Option, level: str) -> bool:
    return not level or level in option.levels


def overview() -> str:
    """Return the help without an analysis level: what there is, and where the options are."""
    levels_of: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for level, config in CONFIGS.items():
        levels_of[config.folders].append(level)
    forms = [usage(f'{{{",".join(levels)}}}', folders) for folders, levels in levels_of.items()]
    width = max(map(len, CONFIGS))
    lines = [f'  {level:{width}}  {config.summary}' for level, config in CONFIGS.items()]
    return '\n'.join(
        [
            *(f'usage: {form} [options]' for form in forms),
            f'usage: {IMAGE_FORM} [options]    (one T1w: NIfTI, DICOM folder or zip)',
            f'\n{_DESCRIPTION}\n\nanalysis levels:',
            *lines,
            '\noptions:',
            f'  {"--help":{width}}  after an analysis level: all its options',
            f'  {"--version":{width}}  print the version\n',
        ]
    )


def _add_method_options(parser: argparse.ArgumentParser, level: str) -> None:
    """Add the options of all methods, in one group for those that the same methods have."""
    declared: dict[str, dict[str, Option]] = defaultdict(dict)
    for name in method_names():
        for option in method_options(name):
            if _is_of(option, level):
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
