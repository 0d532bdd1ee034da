"""The registry of methods; each method is a folder, created when it is first asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tmsprep.methods.base import Method
    from tmsprep.options import Option
    from tmsprep.protocols import Protocol

#: Method to 'module:class'. Other packages add theirs by entry points of the group `GROUP`.
SHIPPED = {
    'cnn': 'tmsprep.methods.baxter2021.method:MultiResolutionCNN',
    'syn': 'tmsprep.methods.syn.method:SynAtlas',
    'coreunet': 'tmsprep.methods.duennwald2021.method:CoReUNetMethod',
}

#: Group of the entry points of other packages, ``name = module:class``.
GROUP = 'tmsprep.methods'

_registered: dict[str, str] = {}
_created: dict[str, Method] = {}


def register(name: str, place: str) -> None:
    """Add a method to this process; packages use entry points of `GROUP` instead.

    Parameters
    ----------
    name : str
        Its `Method.name`.
    place : str
        'module:class'.
    """
    _registered[name] = place
    _created.pop(name, None)


def unregister(name: str) -> None:
    """Remove what `register` added."""
    _registered.pop(name, None)
    _created.pop(name, None)


def method_names() -> list[str]:
    """Names of all methods, those of the package first."""
    return list(_places())


def get_method(name: str) -> Method:
    """Return a method by name.

    Raises
    ------
    KeyError
        If there is no such method.
    ValueError
        If it cannot be imported, or calls itself otherwise.
    """
    if name not in _created:
        place = _places()[name]
        try:
            method = _load(place)()
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f'method {name}: {place} cannot be imported ({error}); mend or uninstall the '
                'package that registers it'
            ) from error
        if method.name != name:
            raise ValueError(f'method {name}: {place} has the name {method.name!r}')
        _created[name] = method
    return _created[name]


def method_options(name: str) -> tuple[Option, ...]:
    """Options of a method, without importing what is heavy where its folder has ``options.py``.

    A package that cannot be imported has none: it must not stop protocols that do not use it.
    """
    place = _places()[name]
    package, _, module = place.partition(':')[0].rpartition('.')
    try:
        if module == 'method' and find_spec(f'{package}.options'):
            return import_module(f'{package}.options').OPTIONS
        return _load(place).options
    except (ImportError, AttributeError):
        if name in SHIPPED:
            raise
        return ()


def methods_of(protocol: Protocol, chosen: Sequence[str] = ()) -> list[Method]:
    """Methods of a protocol, in its order; see `names_of`."""
    return [get_method(name) for name in names_of(protocol, chosen)]


def names_of(protocol: Protocol, chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the methods of a protocol, in its order.

    Parameters
    ----------
    protocol : Protocol
        One that names no methods has all that take any list of points.
    chosen : sequence of str
        Only these; empty for all.

    Raises
    ------
    ValueError
        If the protocol names an unknown method, or lacks a chosen one.
    """
    known = method_names()
    names = protocol.methods or tuple(n for n in known if get_method(n).any_points)
    for name in (*names, *protocol.weights):
        if name not in known:
            raise ValueError(
                f'protocol {protocol.name}: unknown method {name!r} (known: {", ".join(known)})'
            )
    for name in chosen:
        if name not in names:
            raise ValueError(
                f'--localizers {name}: protocol {protocol.name} has {", ".join(names)}'
            )
    return tuple(name for name in names if not chosen or name in chosen)


def _places() -> dict[str, str]:
    # No other package may replace a method that users know by its name.
    return {**SHIPPED, **_installed(tuple(sys.path)), **SHIPPED, **_registered}


@cache
def _installed(_search_path: tuple[str, ...]) -> dict[str, str]:
    """Methods of other packages; to read what all packages declare takes 20 ms."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def _load(place: str) -> Any:
    module, _, attribute = place.partition(':')
    return getattr(import_module(module), attribute)
