"""How each method is called and marked, in figures and in the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MethodStyle:
    """How a method is called and drawn; shape and colour both tell it apart."""

    name: str
    marker: str
    colour: str
    scale: float = 1.0


METHOD_STYLES = {
    'cnn': MethodStyle('CNN', 'o', '#4dabff', 1.35),
    'syn': MethodStyle('Atlas (SyN)', 's', '#3fe07c', 0.8),
    'expert': MethodStyle('Expert', '^', '#ff6b6b'),
}
# Colours as in Figure 4 of Baxter et al. 2021 (network blue, atlas green, expert red), lightened
# to stand out on grey. The circle is larger and the square smaller, so that two points in one
# place are seen as two.


def method_style(method: str) -> MethodStyle:
    """Return the style of a method; one that has none is an orange diamond of its own name."""
    return METHOD_STYLES.get(method, MethodStyle(method, 'D', '#ffb454'))


_ERRORS = {('cnn', 'expert'): 'NE', ('syn', 'expert'): 'RE'}
# Network and registration error, as Figure 4 of Baxter et al. 2021 calls them.


def pair_name(first: str, second: str) -> str:
    """Name the distance of two methods, in the order of the legend."""
    error = _ERRORS.get((first, second))
    words = f'{method_style(first).name} to {method_style(second).name}'
    return f'{words} ({error})' if error else words


def method_order(methods: Iterable[str]) -> list[str]:
    """Sort names of methods: those with a style first, in its order, then the others by name."""
    known = list(METHOD_STYLES)
    return sorted(methods, key=lambda m: (known.index(m) if m in known else len(known), m))
