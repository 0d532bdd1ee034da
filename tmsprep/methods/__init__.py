"""The registry of methods; each method is a folder, created when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tmsprep.methods.base import Method
    from tmsprep.protocols import Protocol

#: Method to 'module:class'. Other packages add theirs by entry points of the group `GROUP`.
SHIPPED = {
    'cnn': 'tmsprep.methods.baxter2021.method:MultiResolutionCNN',
    'syn': 'tmsprep.methods.syn.method:SynAtlas',
    'coreunet': 'tmsprep.methods.duennwald2021.method:CoReUNetMethod',
}

#: Group of the entry points of other packages, ``name = module:class``.
GROUP = 'tmsprep.methods'

_places = dict(SHIPPED)
_created: dict[str, Method] = {}


def register(name: str, place: str) -> None:
    """Add a method, for this process; packages use the entry points of `GROUP` instead.

    Parameters
    ----------
    name : str
        Its `Method.name`.
    place : str
        'module:class'.
    """
    _places[name] = place
    _created.pop(name, None)


def method_names() -> list[str]:
    """Names of all methods, those of the package first."""
    others = {point.name: point.value for point in entry_points(group=GROUP)}
    return list({**_places, **others})


def get_method(name: str) -> Method:
    """Return a method by name.

    Raises
    ------
    KeyError
        If there is no such method.
    """
    if name not in _created:
        others = {point.name: point.value for point in entry_points(group=GROUP)}
        module, _, attribute = {**others, **_places}[name].partition(':')
        _created[name] = getattr(import_module(module), attribute)()
    return _created[name]


def methods_of(protocol: Protocol, chosen: Sequence[str] = ()) -> list[Method]:
    """Methods of a protocol, in its order.

    Parameters
    ----------
    protocol : Protocol
        One that names no methods has all that take any list of points.
    chosen : sequence of str
        Only these; empty for all.

    Raises
    ------
    ValueError
        If the protocol names an unknown method, or does not have a chosen one.
    """
    known = method_names()
    names = list(protocol.methods) or [n for n in known if get_method(n).any_points]
    for name in names:
        if name not in known:
            raise ValueError(
                f'protocol {protocol.name}: unknown method {name!r} (known: {", ".join(known)})'
            )
    for name in chosen:
        if name not in names:
            raise ValueError(
                f'--localizers {name}: protocol {protocol.name} has {", ".join(names)}'
            )
    return [get_method(name) for name in names if not chosen or name in chosen]
