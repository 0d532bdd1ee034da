"""Sections of the group report: localisation, overlap and agreement with the rater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tmsprep.bids.names import Layout
from tmsprep.methods.duennwald2021.group_forms import RATIOS, SIDES, key_of, level_tables, way
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.methods.duennwald2021.section import DUENNWALD
from tmsprep.methods.duennwald2021.tables import BOTH
from tmsprep.protocols import Protocol
from tmsprep.reports.charts import figure_style, save_svg
from tmsprep.reports.comparison import chart
from tmsprep.reports.references import STATISTICS
from tmsprep.reports.sections import Picture, Section, Table

#: Titles of the levels, in the order of the report.
TITLES = {
    'crossval': 'Cross-validation: participants not in the training sets',
    'participant': 'Outputs of the participant level',
}

#: Width of the charts, inches.
WIDTH_IN = 8.0

_COLOURS = {'left': '#1971c2', 'right': '#e8590c'}

#: Width of a box; two fit side by side within one unit.
_WIDTH = 0.34

_BOXES = 'Box: quartiles; line: median; whiskers: to 1.5 times the box.'

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
    """Draw errors and overlaps of a level; a chart without data is deleted."""
    errors = _rows(tables, 'errors', level).dropna(subset=['error_mm'])
    ways: dict[object, str] = {
        key: way(key) for key in dict.fromkeys(key_of(k) for k in errors['augmentation'])
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
    """Describe a cross-validation, from its sidecar."""
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
    """Describe the error of a constant prediction, which uses no image."""
    rows = _rows(tables, 'constant', level).dropna(subset=['mean_mm'])
    if not len(rows):
        return ''
    parts = ', '.join(f'{row.mean_mm:.2f} mm ({row.label})' for row in rows.itertuples())
    return (
        'For comparison: the mean position of the other participants, which uses no image, is off '
        f'by {parts}.'
    )


def plot_localisation(errors: pd.DataFrame, ways: Mapping[object, str], path: Path) -> Path:
    """Draw the errors of each way of training, left and right, each participant a dot.

    Parameters
    ----------
    errors : pandas.DataFrame
        ``participant``, ``augmentation``, ``label``, ``error_mm``; folds are averaged per
        participant.
    ways : mapping
        Value of ``augmentation`` (None for a missing one) to its name, in the order of drawing.
    path : Path
        The SVG file to write.
    """
    keyed = errors.assign(way=errors['augmentation'].where(errors['augmentation'].notna(), None))
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 2.8), layout='constrained')
        axes = figure.subplots()
        for x, way in enumerate(ways):
            same = keyed['way'].isna() if way is None else keyed['way'] == way
            for i, label in enumerate(dict.fromkeys(errors['label'])):
                rows = keyed[same & (keyed['label'] == label)]
                values = rows.groupby('participant')['error_mm'].mean().dropna().to_numpy()
                _box(axes, x + (i - 0.5) * 0.4, values, SIDES.get(label, label), dots=True)
        _finish(axes, list(ways.values()), 'error in mm')
        axes.set_ylim(0, None)
        return save_svg(figure, path)


def plot_overlaps(segments: pd.DataFrame, methods: Sequence[str], path: Path) -> Path:
    """Draw Dice and false discovery rate of each method, as Figure 2 of Duennwald et al. 2021.

    Parameters
    ----------
    segments : pandas.DataFrame
        ``method``, ``hemisphere``, ``dice``, ``fdr``; every prediction counts once, as in the
        paper, so that with folds a participant counts as often as there are folds.
    methods : sequence of str
        In the order of drawing.
    path : Path
        The SVG file to write.
    """
    names = {'dice': 'Dice', 'fdr': 'false discovery rate'}
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 2.8), layout='constrained')
        for axes, (measure, name) in zip(figure.subplots(1, 2), names.items(), strict=True):
            for x, method in enumerate(methods):
                for i, side in enumerate('LR'):
                    same = (segments['method'] == method) & (segments['hemisphere'] == side)
                    values = segments.loc[same, measure].dropna().to_numpy()
                    _box(axes, x + (i - 0.5) * 0.4, values, SIDES[side], dots=False)
            _finish(axes, [method.upper() for method in methods], name)
            axes.set_ylim(-0.02, 1.02)
        return save_svg(figure, path)


def _box(axes: Axes, x: float, values: np.ndarray, side: str, *, dots: bool) -> None:
    """Draw the box, whiskers to 1.5 times its height, and outliers or all dots; n below."""
    colour = _COLOURS.get(side, '#495057')
    if not len(values):
        axes.text(x, 0, 'n/a', ha='center', va='bottom', fontsize=6, color='#666666')
        return
    axes.boxplot(
        [values], positions=[x], widths=_WIDTH, patch_artist=True, showfliers=not dots,
        boxprops={'facecolor': colour, 'alpha': 0.35, 'edgecolor': colour},
        medianprops={'color': 'black', 'lw': 1.3}, whiskerprops={'color': colour},
        capprops={'color': colour},
        flierprops={'marker': 'o', 'ms': 2, 'mfc': colour, 'mec': 'none', 'alpha': 0.5},
    )  # fmt: skip
    if dots:
        # Multiples of the golden section fill an interval evenly, so that dots do not overlap.
        across = x + 0.26 * (np.arange(1, len(values) + 1) * 0.618034 % 1 - 0.5)
        axes.plot(across, np.sort(values), ls='none', marker='o', ms=2.4, mfc=colour, mec='none')


def _finish(axes: Axes, names: Sequence[str], ylabel: str) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(ylabel)
    axes.grid(axis='y', color='#dddddd', lw=0.5)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    handles = [Patch(facecolor=c, alpha=0.35, edgecolor=c, label=s) for s, c in _COLOURS.items()]
    axes.legend(handles=handles, frameon=False, fontsize=6.5, loc='best')
