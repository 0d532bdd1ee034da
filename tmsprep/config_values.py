"""Settings as TOML has them, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def as_toml(value: object) -> object:
    """Turn a setting into what TOML can hold."""
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return [as_toml(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: object) -> object:
        # bool is a subclass of int, so isinstance would take `nprocs = true`.
        if type(value) is not kind:
            raise TypeError(f'{value!r} is not {kind.__name__}')
        return value

    return read


def _number(value: object) -> float:
    return float(value if type(value) is int else _exactly(float)(value))


def _path(value: object) -> Path:
    return Path(_exactly(str)(value))


def _filters(value: object) -> dict[str, Any]:
    return _exactly(dict)(json.loads(value) if isinstance(value, str) else value)


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
"""Reader of a setting by the text of its type; TypeError or ValueError if it is none."""
