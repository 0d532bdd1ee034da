"""How methods and raters are called and marked in the report of a group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tmsprep.evaluation.errors import CONSENSUS, CROSSVAL, ENSEMBLE, RATER
from tmsprep.evaluation.paper_tables import CROSS_VALIDATED, EXPERT, EXPERT_ALONE
from tmsprep.reports.styles import METHOD_STYLES, MethodStyle

_NETWORK, _ATLAS, _EXPERT, _AGREED = '#1971c2', '#2b8a3e', '#c92a2a', '#862e9c'
# The hues of the person's report, darker: here they stand on white.

_STYLES = {
    'cnn': replace(METHOD_STYLES['cnn'], colour=_NETWORK, scale=1.0),
    'crossval-shared': MethodStyle('CNN cross-validated, shared residual', 'D', '#0b7285'),
    'crossval-separate': MethodStyle('CNN cross-validated, separate residuals', 'P', '#5c3aa8'),
    'crossval-none': MethodStyle('CNN cross-validated, no residual', 'X', '#5c5f66'),
    'syn': replace(METHOD_STYLES['syn'], colour=_ATLAS, scale=1.0),
    CONSENSUS: MethodStyle('Consensus of the raters', '*', _AGREED),
}
_SHORT = {
    'cnn': 'CNN',
    'crossval-shared': 'CV shared',
    'crossval-separate': 'CV separate',
    'crossval-none': 'CV none',
    'syn': 'SyN',
    CONSENSUS: 'Consensus',
}
_IN_WORDS = {
    'cnn': 'the CNN',
    'crossval-shared': 'the cross-validated CNN',
    'crossval-separate': 'the cross-validated CNN',
    'crossval-none': 'the cross-validated CNN',
    'syn': 'the atlas registration',
    EXPERT: 'the raters themselves',
    EXPERT_ALONE: 'a rater who has no part in the consensus',
}
_MACHINES = list(_STYLES)


def is_rater(method: str) -> bool:
    """Tell whether a method of the tables is a rater."""
    return method.startswith(RATER)


def group_style(method: str) -> MethodStyle:
    """Return the style of a method or a rater; raters share theirs but for the name."""
    if is_rater(method):
        # Files are often named 'desc-raterAB'.
        name = method.removeprefix(RATER).removeprefix('rater')
        return MethodStyle(f'Rater {name}', '^', _EXPERT)
    return _STYLES.get(method, MethodStyle(method, 'D', '#b35c00'))


def in_words(method: str) -> str:
    """Return a method's name as a sentence uses it: 'the CNN', 'the raters'."""
    return _IN_WORDS.get(method, group_style(method).name)


def short_name(method: str) -> str:
    """Return the name that stands below a column: 'CV shared', 'Rater A'."""
    return _SHORT.get(method, group_style(method).name)


def group_order(methods: Iterable[str]) -> list[str]:
    """Sort methods: networks, atlas, consensus, then others by name, then raters by name."""
    known = {name: i for i, name in enumerate(_MACHINES)}
    return sorted(methods, key=lambda m: (known.get(m, len(known) + is_rater(m)), m))


def shown_methods(methods: Iterable[str]) -> list[str]:
    """Choose what the figures show, in order: of the variants of a cross-validation one.

    All of them are in the tables; a reader who looks for an answer needs the one that the other
    methods are compared with.
    """
    ordered = group_order(m for m in set(methods) if not m.startswith(ENSEMBLE))
    variants = [m for m in ordered if m.startswith(CROSSVAL)]
    chosen = [m for m in CROSS_VALIDATED if m in variants] or variants
    return [m for m in ordered if m not in variants or m == chosen[0]]
