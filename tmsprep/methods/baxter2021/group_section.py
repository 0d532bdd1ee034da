"""Tables 2 to 5 of Baxter et al. 2021 in the report of a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.bids.names import Layout
from tmsprep.evaluation.comparisons import MEAN, mean_labels
from tmsprep.evaluation.offsets import OFFSET
from tmsprep.methods.baxter2021.section import BAXTER
from tmsprep.methods.baxter2021.tables import EXPERT, EXPERT_ALONE, as_paper
from tmsprep.protocols import Protocol
from tmsprep.reports.references import STATISTICS
from tmsprep.reports.sections import Section, Table
from tmsprep.reports.styles import group_style

_STARS = """\
Bold: significant after Holm-Bonferroni correction over the family (one star: 5 %, two: 1 %, \
three: 0.1 %)"""

#: Table to title and explanation.
TABLES = {
    'table2': (
        'Errors, dispersion and variability of raters',
        """\
Mean ± standard deviation in mm (n values) and, in brackets, the 95 % confidence interval of the \
mean over participants. Repetitions and raters are pooled, as in Table 2 of Baxter et al. (2021). \
Leave one out: each rater against the consensus of the others.""",
    ),
    'table3': (
        'Methods and raters compared',
        f"""\
Absolute Z of paired Wilcoxon tests, one pair per participant, as in Table 3 of Baxter et al. \
(2021). {_STARS}, with the one whose mean error is smaller.""",
    ),
    'table4': (
        'Variants of the network',
        """\
Mean ± standard deviation in mm (n values) in cross-validation, with and without ensembling, as \
in Table 4 of Baxter et al. (2021).""",
    ),
    'table5': (
        'Variants of the network compared',
        f"""\
Z of paired Wilcoxon tests, one pair per participant, as in Table 5 of Baxter et al. (2021); \
negative: the one named first has smaller errors. {_STARS}. That an ensemble is nearer than its \
members on average follows from geometry and is no finding.""",
    ),
}

REFERENCES = """\
Kerby DS (2014). The simple difference formula: an approach to teaching nonparametric \
correlation. Comprehensive Psychology 3. doi:10.2466/11.IT.3.1
Schuirmann DJ (1987). A comparison of the two one-sided tests procedure and the power approach \
for assessing the equivalence of average bioavailability. Journal of Pharmacokinetics and \
Biopharmaceutics 15:657-680. doi:10.1007/BF01068419""".splitlines()

_OFFSETS = """\
**Offsets.** Where an atlas was annotated by another hand or rule than the participants, its \
registration is off by the same vector in all of them, and whatever is trained on them is not. A \
fair opponent has that vector too. For each participant, the reference points of the other \
participants were moved to the atlas by their registrations and averaged, and the mean was moved \
to the image (at least three others; else the point is that of the atlas). Without usable \
transforms the mean distance in the others was added along the axes of the image."""

_METHODS = """\
**Consensus.** After Baxter et al. (2021): raters in agreement are the largest group all within \
{threshold:g} mm of each other (of equal groups the one with the smallest mean distance), the \
consensus their centre of mass; without two who agree there is none. A point by one rater alone \
is used as it is; the error of that rater is then not counted.

**Means.** Tables 2 and 4 pool all values, as the paper does. Confidence intervals are percentile \
bootstrap intervals that draw participants with replacement (Efron and Tibshirani, 1993), seed \
{seed}; with few participants they are too narrow.

**Tests.** Errors were paired by participant, repetitions, images and targets averaged first, \
since repetitions of one participant are not independent. Differences were tested with Wilcoxon's \
signed-rank test (1945; normal approximation, pairs without a difference dropped) and corrected \
by Holm's method (1979) within each family; the row MEAN is a family of its own. The effect size \
is the rank-biserial correlation (Kerby, 2014). Equivalence within {margin:g} mm was tested with \
two one-sided t-tests (Schuirmann, 1987); the margin is a choice, not a clinical threshold.

**Raters.** Their variability is the distance of each from the consensus, and, leaving one out, \
from the consensus of the others."""


def group_sections(
    tables: Mapping[str, pd.DataFrame],
    layout: Layout,
    protocol: Protocol,
    *,
    threshold_mm: float = 12.0,
    margin_mm: float = 3.0,
    seed: int = 1,
) -> list[Section]:
    """Sections of the paper's tables.

    Parameters
    ----------
    tables : mapping
        Any of 'table2' to 'table5' as numbers, see `.tables`.
    layout : Layout
        Names of the files with all digits.
    protocol : Protocol
        The targets.
    threshold_mm, margin_mm : float
        Largest distance of raters who agree; margin of the equivalence test.
    seed : int
        Seed of the confidence intervals.
    """
    shown = [
        paper_table(name, tables[name], layout, protocol) for name in TABLES if name in tables
    ]
    missing = (
        'Left out: without a consensus of raters or a cross-validation there is nothing to '
        'tabulate.'
    )
    methods = _METHODS.format(threshold=threshold_mm, margin=margin_mm, seed=seed)
    if 'table2' in tables and tables['table2']['method'].str.endswith(OFFSET).any():
        methods += f'\n\n{_OFFSETS}'
    return [
        Section(
            'Tables',
            '' if shown else missing,
            tables=shown,
            facts=facts(tables),
            methods=methods,
            references=[BAXTER, *STATISTICS, *REFERENCES],
        )
    ]


def paper_table(name: str, numbers: pd.DataFrame, layout: Layout, protocol: Protocol) -> Table:
    """Lay out one of `TABLES`; columns without a value are left out."""
    text = as_paper(numbers, intervals=name == 'table2').fillna('').astype(str)
    kept = [c for c in text.columns if c == 'label' or (text[c] != '').any()]
    rows = [[_unbroken(cell) for cell in row] for row in text[kept].to_numpy().tolist()]
    labels = mean_labels(protocol)
    over = 'all targets' if len(labels) == len(protocol.labels) else ', '.join(labels)
    more = (
        ', p-values, effect sizes, confidence intervals and tests of equivalence'
        if 'z' in numbers
        else ''
    )
    title, explanation = TABLES[name]
    notes = (
        f'{explanation} {MEAN}: {over}. Empty: cannot be computed. All digits{more}: '
        f'`{layout.level("group", name).name}`.'
    )
    return Table(title, ['Target', *kept[1:]], rows, notes)


def _unbroken(text: str) -> str:
    for glued in (' ± ', 'n = ', ', '):
        text = text.replace(glued, glued.replace(' ', '\N{NO-BREAK SPACE}'))
    return text


def facts(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Compare the mean errors in sentences: the row MEAN of Tables 2 and 3."""
    means = {row['column']: row for row in _mean_rows(tables.get('table2'))}
    said = [_comparison(row) for row in _mean_rows(tables.get('table3'))]
    alone = means.get('Expert Var. (leave one out)')
    if alone:
        said.append(
            f'Each rater lay {alone["mean_mm"]:.1f} mm from the consensus of the other raters '
            f'(n = {alone["n"]}{_interval(alone)}). As measures of a rater, the distance from the '
            'consensus of all is too small, since the rater takes part in it, and this one a '
            'little too large, since fewer raters make a less certain consensus.'
        )
    if means.get('CNN Error', {}).get('method') == 'cnn':
        said.append(
            'The CNN here is the one with finished weights. If these participants were in its '
            'training set, its errors in new participants are larger; cross-validation measures '
            'that.'
        )
    return said


def _mean_rows(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    if table is None:
        return []
    rows = table[(table['label'] == MEAN) & (table['n'] > 0)]
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict('records')]


def _comparison(row: Mapping[str, Any]) -> str:
    first, second = (_NAMES.get(row[side]) or group_style(row[side]).name for side in _SIDES)
    tested = f'not tested: {row["reason"]}'
    if np.isfinite(row['p_holm']):
        tested = '; '.join(filter(None, [f'Wilcoxon {_p(row["p_holm"])}', row['reason']]))
    equal = ''
    if np.isfinite(row['p_tost_holm']):
        shown = 'shown' if row['equivalent'] else 'not shown'
        equal = f'; equivalence within {row["margin_mm"]:g} mm {shown}, {_p(row["p_tost_holm"])}'
    return (
        f'{first} minus {second}: mean difference of the errors {row["difference_mm"]:+.1f} '
        f'mm{_interval(row)}, {row["n"]} participant{"" if row["n"] == 1 else "s"}, paired '
        f'({tested}{equal}).'
    )


_SIDES = ('first', 'second')
_NAMES = {EXPERT: 'Raters', EXPERT_ALONE: 'Raters left out of the consensus'}


def _interval(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row['ci_low_mm']):
        return ''
    return f', 95 % confidence interval {row["ci_low_mm"]:.1f} to {row["ci_high_mm"]:.1f} mm'


def _p(value: float) -> str:
    return 'p < 0.001' if value < 0.001 else f'p = {value:.3f}'
