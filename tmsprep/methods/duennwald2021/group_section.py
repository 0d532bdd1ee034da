"""Localisation, overlap and agreement with the rater in the report of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tmsprep.bids.names import Layout
from tmsprep.methods.duennwald2021.group_figures import SIDES, plot_localisation, plot_overlaps
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.methods.duennwald2021.section import DUENNWALD
from tmsprep.methods.duennwald2021.tables import AUGMENTED, BOTH, NOT_AUGMENTED
from tmsprep.protocols import Protocol
from tmsprep.reports.comparison import chart
from tmsprep.reports.references import STATISTICS
from tmsprep.reports.sections import Picture, Section, Table

#: Level whose outputs were measured, in the order of the report.
TITLES = {
    'crossval': 'Cross-validation: participants that the networks were not trained on',
    'participant': 'Outputs of the participant level',
}

RATIOS = {'cr_median': 'median', 'cr_maximum': 'maximum'}
MEASURES = {'error_mm': 'error, mm', 'dice': 'Dice', 'fdr': 'false discovery rate'}
MISSING = '–'

#: Ways of training; those of the participant level are not known.
WAYS = {AUGMENTED: 'with augmentation', NOT_AUGMENTED: 'no augmentation'}
_OWN = 'network of the participant level'

_BOXES = 'Box: the middle half; line: median; whiskers: to 1.5 times the box.'

SHROUT = """\
Shrout PE, Fleiss JL (1979). Intraclass correlations: uses in assessing rater reliability. \
Psychological Bulletin 86:420-428. doi:10.1037/0033-2909.86.2.420"""

_METHODS = """\
**Reference.** Masks of one rater; the points are their centres of mass (Dünnwald et al. 2021, \
section 2.3). Where the rater drew nothing on a side, that side has no error. Dice and false \
discovery rate are counted on isotropic voxels of {voxel:g} mm.

**Contrast ratios.** Median and maximum intensity over the median of a ball of 4 mm radius in the \
pons, 10 mm in front of the middle between the two points; for the mask it is placed by the \
points of the mask, for the segmentation by the localised ones.

**Agreement.** ICC(A,1), which is ICC(2,1) of Shrout and Fleiss (1979), of automatic and manual \
contrast ratios, per fold and averaged over folds. The paper does not state which ICC it used.

**Confidence and tests.** Percentile bootstrap intervals (Efron and Tibshirani, 1993) draw \
participants, seed {seed}. Wilcoxon's signed-rank test (1945) pairs participants, values of folds \
averaged first; Holm's correction (1979) within each measure."""


class TableForm(NamedTuple):
    """How one table is shown: title, heading to the text of a row, and explanation."""

    title: str
    columns: Mapping[str, Callable[[Any], str]]
    notes: str


def group_sections(
    tables: Mapping[str, pd.DataFrame],
    layout: Layout,
    protocol: Protocol,
    settings: Mapping[str, Mapping[str, Any]],
    seed: int = 1,
) -> list[Section]:
    """Sections of each level that was measured; draws their figures.

    Parameters
    ----------
    tables : mapping
        See `methods.duennwald2021.group_tables.all_tables`.
    layout : Layout
        Output folder and names.
    protocol : Protocol
        The targets.
    settings : mapping
        Level ('crossval', 'participant') that was measured to the content of its sidecar.
    seed : int
        Seed of the confidence intervals.
    """
    methods = _METHODS.format(voxel=protocol.voxel_mm, seed=seed)
    sections = [Section(methods=methods, references=[DUENNWALD, SHROUT, *STATISTICS])]
    for level, title in TITLES.items():
        pictures = draw_charts(layout, tables if level in settings else {}, level)
        if level in settings:
            about = '\n\n'.join(about_crossval(settings[level]))
            parts = _parts(tables, layout, level, *pictures)
            found = ' '.join([f'**{title.split(":")[0]}.**', *facts(tables, level)])
            sections.append(Section(title, about, parts=parts, facts=[found], anchor=level))
    return sections


def _parts(
    tables: Mapping[str, pd.DataFrame],
    layout: Layout,
    level: str,
    errors: list[Picture],
    overlaps: list[Picture],
) -> list[Section]:
    shown = {}
    for name, table in level_tables(tables, level).items():
        file = layout.level('group', name).name
        shown[name] = replace(table, notes=f'{table.notes} All digits: `{file}`.')

    def some(*names: str) -> list[Table]:
        return [shown[name] for name in names if name in shown]

    found = some('table1', 'augmentation', 'axes')
    folds = Section('Agreement in every fold', tables=some('icc'), folded=True)
    missing = 'Left out: nothing was segmented, or there are no masks to compare with.'
    return [
        Section('Localisation', constant_sentence(tables, level), errors, found),
        Section(
            'Segmentation',
            '' if overlaps else missing,
            overlaps,
            some('segmentation', 'icc_mean', 'tests'),
            [folds] if folds.tables else [],
        ),
    ]


def draw_charts(
    layout: Layout, tables: Mapping[str, pd.DataFrame], level: str
) -> tuple[list[Picture], list[Picture]]:
    """Draw errors and overlaps of a level; what cannot be drawn deletes that of earlier runs."""
    errors = _rows(tables, 'errors', level).dropna(subset=['error_mm'])
    ways: dict[object, str] = {
        key: way(key) for key in dict.fromkeys(_key(k) for k in errors['augmentation'])
    }
    overlaps = _rows(tables, 'overlaps', level)
    methods = [method for method in SEGMENTATIONS if method in set(overlaps['method'])]

    def plot_errors(path: Path) -> Path:
        return plot_localisation(errors, ways, path)

    def plot_figure2(path: Path) -> Path:
        return plot_overlaps(overlaps, methods, path)

    return (
        chart(
            layout,
            f'{level}-errors',
            plot_errors if len(errors) else None,
            'Box plots of the error of localisation in mm, left and right',
            'Error of localisation, mm; each dot is the mean of one participant over folds. '
            + _BOXES,
        ),
        chart(
            layout,
            f'{level}-overlap',
            plot_figure2 if methods else None,
            'Box plots of Dice and false discovery rate of each method, left and right',
            'As Figure 2 of the paper: overlap with the rater, every prediction of every fold. '
            'NPP: sliding window; PP: with post-processing; LPP: one patch at the localised '
            f'points. {_BOXES}',
        ),
    )


def _rows(tables: Mapping[str, pd.DataFrame], name: str, level: str) -> pd.DataFrame:
    columns = ['source', 'error_mm', 'augmentation', 'method', 'mean_mm', 'label', 'ratio']
    columns += ['n', 'measure', 'median', 'hemisphere', 'icc']
    table = tables.get(name, pd.DataFrame(columns=columns))
    return table[table['source'] == level]


def about_crossval(settings: Mapping[str, Any]) -> list[str]:
    """Describe a cross-validation in sentences, from its sidecar."""
    said = [f'Data: {settings["Data"]}.'] if settings.get('Data') else []
    recipe = settings.get('Recipe')
    if isinstance(recipe, Mapping):
        localizers, segmenters = (
            (recipe.get(key) or {}).get('epochs', '?') for key in ('schedule', 'patch_schedule')
        )
        said.append(
            f'Recipe {recipe.get("name")}: {localizers} epochs for the localizers, {segmenters} '
            'for the segmenters.'
        )
    if 'Folds' in settings:
        said.append(
            f'{settings.get("Participants", "?")} participants, {settings.get("HeldOut", 0)} of '
            f'them held out; folds: {settings["Folds"]}.'
        )
    return [*said, *([str(settings['Generalisation'])] if settings.get('Generalisation') else [])]


def facts(tables: Mapping[str, pd.DataFrame], level: str) -> list[str]:
    """State the main results of a level: mean error, effect of augmentation, best method."""
    said = []
    for key, rows in _rows(tables, 'table1', level).groupby('augmentation', dropna=False):
        known = rows[rows['n'] > 0]
        if len(known):
            mean = np.average(known['mean_mm'], weights=known['n'])
            sides = _per_side(known, 'label', '{:.2f} mm', 'mean_mm')
            said.append(f'Mean error, {way(key)}: {mean:.2f} mm ({sides}).')
    ratios = _rows(tables, 'augmentation', level).dropna(subset=['ratio'])
    if len(ratios):
        ratios = ratios.assign(percent=100 * ratios['ratio'])
        sides = _per_side(ratios, 'label', 'to {:.0f} %', 'percent')
        said.append(f'Augmentation changes the mean error {sides}.')
    overlap = _rows(tables, 'segmentation', level).dropna(subset=['median'])
    for side, rows in overlap[overlap['measure'] == 'dice'].groupby('hemisphere'):
        best = rows.loc[rows['median'].idxmax()]
        name = best['method'].upper()
        said.append(f'Largest median Dice, {SIDES[side]}: {best["median"]:.2f} ({name}).')
    agreement = _rows(tables, 'icc_mean', level).dropna(subset=['icc'])
    for measure, rows in agreement[agreement['hemisphere'] == BOTH].groupby('measure'):
        best = rows.loc[rows['icc'].idxmax()]
        name = best['method'].upper()
        said.append(f'Largest mean ICC, {RATIOS[measure]} contrast: {best["icc"]:.2f} ({name}).')
    return said


def _per_side(rows: pd.DataFrame, side: str, text: str, value: str) -> str:
    pairs = zip(rows[side], rows[value], strict=True)
    return ', '.join(f'{SIDES.get(label, label)} {text.format(number)}' for label, number in pairs)


def constant_sentence(tables: Mapping[str, pd.DataFrame], level: str) -> str:
    """State the error of a constant prediction, which uses no image."""
    rows = _rows(tables, 'constant', level).dropna(subset=['mean_mm'])
    if not len(rows):
        return ''
    parts = ', '.join(f'{row.mean_mm:.2f} mm ({row.label})' for row in rows.itertuples())
    return (
        'For comparison: the mean position of the other participants, which uses no image, is off '
        f'by {parts}.'
    )


def level_tables(tables: Mapping[str, pd.DataFrame], level: str) -> dict[str, Table]:
    """Lay out every table that has rows of a level, by name."""
    found = {}
    for name, (title, columns, notes) in _TABLES.items():
        rows = tables.get(name, pd.DataFrame({'source': []}))
        rows = rows[rows['source'] == level]
        if name == 'icc' and len(rows):
            rows = rows[rows['hemisphere'] == BOTH]
        if name == 'segmentation' and len(rows):
            rows = rows.sort_values('measure', kind='stable')
        if len(rows):
            cells = [[write(row) for write in columns.values()] for row in rows.itertuples()]
            found[name] = Table(title, list(columns), cells, notes)
    return found


def way(augmentation: object) -> str:
    """Name a way of training."""
    return WAYS.get(_key(augmentation) or '', _OWN)


def p_text(p: float) -> str:
    """Write a p-value."""
    return MISSING if pd.isna(p) else '< 0.001' if p < 0.001 else f'{p:.3f}'


def _key(augmentation: object) -> str | None:
    return augmentation if isinstance(augmentation, str) else None


def _number(name: str, digits: int = 2) -> Callable[[Any], str]:
    def write(row: Any) -> str:
        value = getattr(row, name)
        # Adding 0 takes the sign from -0.00.
        return MISSING if pd.isna(value) else f'{round(value, digits) + 0.0:.{digits}f}'

    return write


def _count(name: str) -> Callable[[Any], str]:
    return _number(name, 0)


def _pair(text: str, *names: str) -> Callable[[Any], str]:
    return lambda row: text.format(*(_number(name)(row) for name in names))


def _interval(low: str, high: str) -> Callable[[Any], str]:
    def write(row: Any) -> str:
        return MISSING if pd.isna(getattr(row, low)) else _pair('{} to {}', low, high)(row)

    return write


def _word(name: str, words: Mapping[str, str]) -> Callable[[Any], str]:
    return lambda row: words.get(getattr(row, name), str(getattr(row, name)))


def _upper(name: str) -> Callable[[Any], str]:
    return lambda row: WAYS.get(getattr(row, name), str(getattr(row, name)).upper())


def _way(row: Any) -> str:
    return way(row.augmentation)


_LABEL, _HEMISPHERE = _word('label', SIDES), _word('hemisphere', {**SIDES, BOTH: 'both sides'})

_TABLES: dict[str, TableForm] = {
    'table1': TableForm(
        'Error of localisation (Table 1)',
        {
            'network': _way,
            'side': _LABEL,
            'mean, mm (vx)': _pair('{} ({})', 'mean_mm', 'mean_vx'),
            'sd, mm (vx)': _pair('{} ({})', 'sd_mm', 'sd_vx'),
            '95 % confidence, mm': _interval('ci_low_mm', 'ci_high_mm'),
            'predictions': _count('n'),
            'participants': _count('people'),
            'missing': _count('missing'),
        },
        'Predictions of all folds are pooled, as in the paper; the interval draws participants.',
    ),
    'augmentation': TableForm(
        'Effect of augmentation',
        {
            'side': _LABEL,
            'mean with, mm': _number('with_mm'),
            'mean without, mm': _number('without_mm'),
            'ratio': _number('ratio'),
            'difference, mm': _number('difference_mm'),
            '95 % confidence, mm': _interval('ci_low_mm', 'ci_high_mm'),
            'participants': _count('people'),
        },
        'Folds are averaged per participant. In Table 1 of the paper the ratio is 0.45 (left) and '
        '0.39 (right).',
    ),
    'axes': TableForm(
        'Error along each axis',
        {
            'network': _way,
            'side': _LABEL,
            'axis': _word('axis', {}),
            'mean squared error ± sd, mm²': _pair('{} ± {}', 'mse_mm2', 'sd_mm2'),
            'mean absolute error, mm': _number('mae_mm'),
            'mean signed error, mm': _number('bias_mm'),
        },
        'Sagittal: to the right; coronal: to the front; axial: to the head (rostrocaudal). The '
        'paper gives the squared errors.',
    ),
    'segmentation': TableForm(
        'Overlap with the masks of the rater (Figure 2)',
        {
            'method': _upper('method'),
            'side': _HEMISPHERE,
            'measure': _word('measure', MEASURES),
            'median': _number('median'),
            'quartiles': _interval('quartile1', 'quartile3'),
            'mean': _number('mean'),
            'predictions': _count('n'),
            'not defined': _count('undefined'),
        },
        'Not defined: the false discovery rate where nothing was labelled, the Dice where neither '
        'labelled nor drawn.',
    ),
    'icc_mean': TableForm(
        'Agreement of contrast ratios, mean over folds',
        {
            'method': _upper('method'),
            'side': _HEMISPHERE,
            'contrast ratio': _word('measure', RATIOS),
            'mean ICC over folds': _number('icc'),
            'lowest': _number('lowest'),
            'highest': _number('highest'),
            'folds': _count('folds'),
        },
        'ICC(A,1): two-way random effects, absolute agreement, single measurement. The paper does '
        'not state how it joins the sides.',
    ),
    'icc': TableForm(
        'Agreement of contrast ratios in each fold, both sides',
        {
            'fold': _count('fold'),
            'method': _upper('method'),
            'contrast ratio': _word('measure', RATIOS),
            'ICC': _number('icc'),
            '95 % confidence': _interval('ci_low', 'ci_high'),
            'nuclei': _count('n'),
            'missing': _count('missing'),
        },
        'Both sides of a participant count as two, which makes the intervals too narrow. Missing: '
        'nuclei that the method, or the rater, did not mark.',
    ),
    'tests': TableForm(
        'Tests',
        {
            'measure': _word('family', MEASURES),
            'side': _HEMISPHERE,
            'first': _upper('first'),
            'second': _upper('second'),
            'mean of first': _number('mean_first'),
            'mean of second': _number('mean_second'),
            'participants': _count('n'),
            'effect': _number('effect'),
            'p (Holm)': lambda row: p_text(row.p_holm),
        },
        'Wilcoxon signed-rank tests on participants, folds averaged first; corrected by Holm '
        'within each measure. The effect is the rank-biserial correlation; negative: the first is '
        'smaller.',
    ),
}
