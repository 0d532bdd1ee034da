"""Names, marks and colours of methods and raters, in figures and in the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from markupsafe import Markup

from tmsprep.derivatives.earlier import EXPERT, POINTS, REVIEWED
from tmsprep.evaluation.errors import CONSENSUS, CROSSVAL, ENSEMBLE, RATER
from tmsprep.evaluation.offsets import OFFSET
from tmsprep.methods import get_method, method_names
from tmsprep.reports.svg import marker


@dataclass(frozen=True)
class MethodStyle:
    """Name and mark of a method; shape and colour both tell it apart."""

    name: str
    marker: str
    colour: str
    scale: float = 1.0

    @property
    def icon(self) -> Markup:
        """The mark as a small picture for the page."""
        shape = marker(self.marker, 0, 0, 8, fill=self.colour, stroke='black')
        return Markup(f'<svg class="mark" viewBox="-6 -6 12 12">{shape}</svg>')


#: Shape, scale and colour on grey of the methods, in the order of the registry; blue, green and
#: red (experts) as in Figure 4 of Baxter et al. 2021, lightened. The circle is larger and the
#: square smaller, so that two points in one place are seen as two.
_MARKS = (
    ('o', 1.35, '#4dabff'),
    ('s', 0.8, '#3fe07c'),
    ('D', 1.0, '#ffb454'),
    ('o', 1.0, '#e599f7'),
    ('s', 0.8, '#ffe066'),
)
_EXPERT_STYLE = MethodStyle('Expert', '^', '#ff6b6b')
_REVIEWED_STYLE = MethodStyle('Reviewed', 'D', '#ffffff')
_OTHER = '#f783ac'
_POINTS_STYLE = MethodStyle('Given point', 'D', _OTHER)

#: The same colours for white paper.
_DARK = {
    '#4dabff': '#1971c2',
    '#3fe07c': '#2b8a3e',
    '#ffb454': '#b35c00',
    '#e599f7': '#ae3ec9',
    '#ffe066': '#997404',
    '#ff6b6b': '#c92a2a',
    _OTHER: '#a61e4d',
}


def method_style(method: str) -> MethodStyle:
    """Return the style of a method on grey; an unknown one is a diamond with its own name."""
    if method == EXPERT:
        return _EXPERT_STYLE
    if method == REVIEWED:
        return _REVIEWED_STYLE
    if method == POINTS:
        return _POINTS_STYLE
    names = method_names()
    if method not in names:
        return MethodStyle(method, 'D', _OTHER)
    shape, scale, colour = _MARKS[names.index(method) % len(_MARKS)]
    return MethodStyle(get_method(method).title, shape, colour, scale)


def pair_name(first: str, second: str) -> str:
    """Name the distance of two methods, in the order of the legend."""
    return f'{method_style(first).name} to {method_style(second).name}'


def method_order(methods: Iterable[str]) -> list[str]:
    """Sort methods: those of the registry in its order, the experts, reviewers, others by name."""
    known = [*method_names(), EXPERT, REVIEWED]
    return sorted(methods, key=lambda m: (known.index(m) if m in known else len(known), m))


def is_rater(method: str) -> bool:
    """Tell whether a method of the group's tables is a rater."""
    return method.startswith(RATER)


def group_style(method: str) -> MethodStyle:
    """Return the style of a method, rater or variant on white; raters share a mark."""
    if is_rater(method):
        # Files are often named 'desc-raterAB'.
        name = method.removeprefix(RATER).removeprefix('rater')
        return MethodStyle(f'Rater {name}', '^', _DARK[_EXPERT_STYLE.colour])
    if method == CONSENSUS:
        return MethodStyle('Consensus', '^', '#862e9c')
    for prefix, words in ((CROSSVAL, 'CV'), (ENSEMBLE, 'Ensemble')):
        if method.startswith(prefix):
            return MethodStyle(f'{words} {method.removeprefix(prefix)}', 'D', '#0b7285')
    style = method_style(method.removesuffix(OFFSET))
    if method.endswith(OFFSET):
        return MethodStyle(f'{style.name} + offset', 'D', '#5f3dc4')
    return replace(style, colour=_DARK[style.colour], scale=1.0)


def group_order(methods: Iterable[str]) -> list[str]:
    """Sort methods: the registry's, variants, consensus, others by name, then raters by name.

    Those with an offset follow the method that they are made of.
    """
    known = method_names()

    def rank(method: str) -> tuple[int, int, str]:
        made_of = method.removesuffix(OFFSET)
        if made_of in known:
            return 0, known.index(made_of), method
        kinds = (method.startswith((CROSSVAL, ENSEMBLE)), method == CONSENSUS)
        place = kinds.index(True) if any(kinds) else 2 + is_rater(method)
        return 1 + place, 0, method

    return sorted(methods, key=rank)


def shown_methods(methods: Iterable[str]) -> list[str]:
    """Choose what the figures show, in order: all but ensembles, and one cross-validated variant.

    All of them are in the tables. Of the variants the first one given is chosen.
    """
    given = [m for m in dict.fromkeys(methods) if not m.startswith(ENSEMBLE)]
    variants = [m for m in given if m.startswith(CROSSVAL)]
    return group_order(m for m in given if m not in variants[1:])
