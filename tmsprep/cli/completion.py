"""Completion of the command line in a shell: a script that is printed, by shtab (an extra)."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

from tmsprep.config import CONFIGS, SETTINGS
from tmsprep.methods import method_names
from tmsprep.protocols import load_protocol, protocol_names

#: Shells for which a script can be made.
SHELLS = ('bash', 'zsh')


class PrintCompletion(argparse.Action):
    """Print the script for a shell, and stop."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Print, or say how to install what makes the script."""
        if importlib.util.find_spec('shtab') is None:
            parser.error("completion needs shtab; run: pip install 'tmsprep[completion]'")
        sys.stdout.write(completion(parser, str(values)) + '\n')
        parser.exit(0)


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that completes ``tmsprep`` in a shell.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The options; changed, so that it parses nothing afterwards.
    shell : str
        One of `SHELLS`.
    """
    import shtab

    levels = ' '.join(CONFIGS)
    known = {
        'localizers': method_names(),
        'protocol': protocol_names(),
        'targets': load_protocol(SETTINGS['protocol'].default).labels,
    }
    for action in parser._actions:
        action.choices = known.get(action.dest, action.choices)
        if action.metavar and ('DIR' in action.metavar or 'FILE' in action.metavar):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    places = parser.add_argument('places', nargs='*')
    # A name with "_file" makes the script for bash treat what it returns as names of files.
    places.complete = dict.fromkeys(SHELLS, '_tmsprep_files')  # type: ignore[attr-defined]
    functions = {
        'bash': f'_tmsprep_files() {{ compgen -f -- "$1"; compgen -W "{levels}" -- "$1"; }}',
        'zsh': f'_tmsprep_files() {{ _files; compadd {levels}; }}',
    }
    return str(shtab.complete(parser, shell, preamble=functions[shell]))
