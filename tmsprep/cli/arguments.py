"""How single arguments of the command line are written and read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tmsprep.running.memory import parse_memory


def with_dashes(arg: str) -> str:
    """Write the name of an option with dashes; its value stays as it is."""
    name, equals, value = arg.partition('=')
    return f'{name.replace("_", "-")}{equals}{value}' if arg.startswith('--') else arg


def several(metavar: str | None, read: Callable[[str], Any]) -> dict[str, Any]:
    """Return the arguments of an option that takes several values and may be repeated."""
    return {'nargs': '+', 'action': 'extend', 'type': read, 'metavar': metavar}


def path_of(text: str) -> Path:
    """Read a path, which may not be empty."""
    if not text:
        raise argparse.ArgumentTypeError('an empty path; is a variable of your script unset?')
    return Path(text)


def whole_number(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number') from None


def amount(text: str) -> float:
    """Read an amount of memory in GB."""
    try:
        return parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def millimetres(text: str) -> float:
    """Read a distance."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of mm') from None
