"""The first thing a reader of a group's report wants to know, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmsprep.evaluation.errors import CONSENSUS
from tmsprep.evaluation.paper_tables import EXPERT, MEAN, mean_labels
from tmsprep.evaluation.statistics import ALPHA
from tmsprep.protocols import Protocol
from tmsprep.reports.group_styles import in_words, is_rater

if TYPE_CHECKING:
    import pandas as pd

    from tmsprep.reports.group_content import GroupContent

_ERRORS = ('CNN Error', 'Reg. Error', 'Expert Var.')
# Columns of Table 2 that are distances from the consensus of all raters.

_ALONE = 'Expert Var. (leave one out)'


@dataclass(frozen=True)
class Distances:
    """How far one method's points lie from the consensus: a row of the answer, in text.

    `mean` is that of Table 2 with its confidence interval; `half`, `most` and `largest` are of
    single points, as a mean says little about one person.
    """

    name: str
    mean: str
    interval: str
    half: str
    most: str
    largest: str
    where: str
    n: str
    people: str


@dataclass(frozen=True)
class Answer:
    """How far, how sure, and compared with what.

    Parameters
    ----------
    verdict : str
        One sentence with the mean errors.
    targets : str
        Which targets the numbers are over.
    rows : list of Distances
        One per method, smallest mean first.
    sentences : list of str
        What qualifies it.
    measured : bool
        Whether any distance from a consensus is known.
    """

    verdict: str
    targets: str
    rows: list[Distances]
    sentences: list[str]
    measured: bool


def group_answer(content: GroupContent) -> Answer:
    """Say in sentences what the numbers of the group say, and no more.

    Parameters
    ----------
    content : GroupContent
        Means are those of its Table 2, tests those of its Table 3, row 'MEAN'.
    """
    means = _mean_rows(content.tables.get('table2'))
    known = [means[c] for c in _ERRORS if c in means and means[c]['n']]
    if not known:
        verdict = 'How far the points are off cannot be told.'
        return Answer(verdict, '', [], [_no_reference(content)], measured=False)
    known.sort(key=lambda row: row['mean_mm'])
    parts = [
        f'{in_words(row["method"])} {row["mean_mm"]:.1f}\N{NO-BREAK SPACE}mm' for row in known
    ]
    verdict = f'Mean distance from the consensus of the raters: {_listed(parts)}.'
    labels = mean_labels(content.protocol)
    sentences = [
        *_comparisons(content.tables.get('table3')),
        *_left_out_rater(means.get(_ALONE)),
        *_cautions(content, [row['method'] for row in known]),
    ]
    rows = [_distances(row, content.errors, labels) for row in known]
    return Answer(verdict, _targets(labels, content.protocol), rows, sentences, measured=True)


def _mean_rows(table: pd.DataFrame | None) -> dict[str, Mapping[str, Any]]:
    if table is None:
        return {}
    rows = table[table['label'] == MEAN].to_dict('records')
    return {str(row['column']): row for row in rows}


def _no_reference(content: GroupContent) -> str:
    if any(is_rater(method) for method in content.points['method'].unique()):
        return (
            'There are points of raters, but none of the methods has a point where the raters '
            'have a consensus.'
        )
    return (
        "Nobody's points were marked by a rater, so there is nothing to measure from. How far the "
        'methods are apart is shown below; that they agree does not show that they are right.'
    )


def _targets(labels: Sequence[str], protocol: Protocol) -> str:
    many = f'{len(labels)} target{"" if len(labels) == 1 else "s"}'
    if len(labels) == len(protocol.labels):
        return f'all {many}'
    return f'the {many} for chronic pain ({", ".join(labels)})'


def _distances(row: Mapping[str, Any], errors: pd.DataFrame, labels: Sequence[str]) -> Distances:
    method = row['method']
    own = errors['method'].map(is_rater) if method == EXPERT else errors['method'] == method
    single = errors[own & errors['label'].isin(labels)].dropna(subset='error_mm')
    middle, most = np.percentile(single['error_mm'].to_numpy(dtype=float), [50, 95])
    worst = single.loc[single['error_mm'].idxmax()]
    sure = np.isfinite(row['ci_low_mm'])
    return Distances(
        name=in_words(method),
        mean=f'{row["mean_mm"]:.1f}',
        interval=f'{row["ci_low_mm"]:.1f} to {row["ci_high_mm"]:.1f}' if sure else 'n/a',
        half=f'{middle:.1f}',
        most=f'{most:.1f}',
        largest=f'{worst["error_mm"]:.1f}',
        where=f'{worst["participant_id"]}, {worst["label"]}',
        n=str(row['n']),
        people=str(row['people']),
    )


def _comparisons(table: pd.DataFrame | None) -> Iterator[str]:
    """Yield a sentence per pair of methods; without a network, of the registration and raters."""
    if table is None:
        return
    rows = [row for row in table[table['label'] == MEAN].to_dict('records') if row['n']]
    with_network = [row for row in rows if row['first'] != 'syn']
    for row in with_network or rows:
        yield _comparison(row)


def _comparison(row: Mapping[str, Any]) -> str:
    first, second = (in_words(row[side]) for side in ('first', 'second'))
    difference = row['difference_mm']
    side = 'nearer to' if difference < 0 else 'further from'
    text = f'On average {first} was {abs(difference):.1f} mm {side} the consensus than {second}'
    if np.isfinite(row['ci_low_mm']):
        ends = sorted(
            np.array([row['ci_low_mm'], row['ci_high_mm']]) * (-1 if difference < 0 else 1)
        )
        text += f' (95 % confidence interval {ends[0]:.1f} to {ends[1]:.1f} mm; '
    else:
        text += ' ('
    text += f'{_people(row["n"])}, paired). {_significance(row)} {_equivalence(row)}'
    return text.strip()


def _significance(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row['p_holm']):
        return f'Not tested: {row["reason"]}.'
    if row['p_holm'] > ALPHA:
        return (
            f'No significant difference was found (Wilcoxon, {_p(row["p_holm"])}), which does not '
            'show that there is none.'
        )
    text = f'The difference is significant (Wilcoxon, {_p(row["p_holm"])})'
    if 'favour different' in row['reason']:
        text += ', but its ranks favour the other one than the means: look at the single persons'
    return f'{text}.'


def _equivalence(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row['p_tost_holm']):
        return ''
    within = f'their mean errors differ by less than {row["margin_mm"]:g} mm'
    shown = 'It is shown that' if row['equivalent'] else 'It is not shown that'
    return f'{shown} {within} (equivalence test, {_p(row["p_tost_holm"])}).'


def _left_out_rater(row: Mapping[str, Any] | None) -> Iterator[str]:
    if row and row['n']:
        low, high = row['ci_low_mm'], row['ci_high_mm']
        sure = f', 95 % confidence interval {low:.1f} to {high:.1f} mm' if np.isfinite(low) else ''
        yield (
            f'Each rater lay {row["mean_mm"]:.1f} mm from the consensus of the other raters '
            f'(n = {row["n"]}{sure}). As measures of a rater, the distance from the consensus of '
            'all is too small, since the rater takes part in it, and this one a little too large, '
            'since fewer raters make a less certain consensus.'
        )


def _cautions(content: GroupContent, methods: list[str]) -> Iterator[str]:
    if 'cnn' in methods:
        yield (
            'The CNN here is the one with finished weights. If these people were among those it '
            'was trained on, its errors on new people are larger; cross-validation tells.'
        )
    status = content.points.loc[content.points['method'] == CONSENSUS, 'status']
    alone, none = int((status == 'single').sum()), int((status == 'no_consensus').sum())
    if alone:
        yield f'{alone} of {len(status)} reference points are by one rater alone.'
    if none:
        yield (
            f'On {none} of {len(status)} targets in images no two raters agreed; these are left '
            'out, which leaves out the hardest cases.'
        )
    yield (
        'The consensus is where raters put the target, not where stimulation is known to work '
        'best.'
    )


def _people(n: int) -> str:
    return '1 person' if n == 1 else f'{n} people'


def _p(value: float) -> str:
    return 'p < 0.001' if value < 0.001 else f'p = {value:.3f}'


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f'{", ".join(parts[:-1])} and {parts[-1]}'
