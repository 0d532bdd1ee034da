"""The page on how well the loci coerulei of test images were localised."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tmsprep.learning.card import WARNING

from coeruleus_testing.cases import FIRST_REPORTED, KINDS
from coeruleus_testing.results import DIRECTIONS, NEAR_MM, WRONG_MM

#: What was to be reached: mean error (mm), share of errors within `NEAR_MM`, slope of found on
#: true offsets along each axis, and share of invisible sides that are flagged.
AIMS = {'mean_mm': 1.0, 'near': 0.95, 'slope': 0.8, 'unseen_flagged': 0.8}


def _number(value: object, digits: int = 2) -> str:
    number = float(value)  # type: ignore[arg-type]
    return f'{number:.{digits}f}' if np.isfinite(number) else 'n/a'


def _share(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return f'{100 * number:.0f} %' if np.isfinite(number) else 'n/a'


def _range(value: object, show: object = _number) -> str:
    low, high = value  # type: ignore[misc]
    return f'{show(low)} to {show(high)}'  # type: ignore[operator]


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def verdicts(summary: pd.Series) -> dict[str, bool]:
    """Tell which aims one kind of image reaches."""
    return {
        'mean_mm': bool(summary['mean_mm'] <= AIMS['mean_mm']),
        'near': bool(summary['near'] >= AIMS['near']),
        'slope': all(bool(summary[f'slope_{d}'] >= AIMS['slope']) for d in DIRECTIONS),
        'unseen_flagged': bool(summary['unseen_flagged'] >= AIMS['unseen_flagged']),
    }


def write_page(summary: pd.DataFrame, rows: pd.DataFrame, card: Mapping[str, str]) -> str:
    """Write the page.

    Parameters
    ----------
    summary : pandas.DataFrame
        One row per kind of image and coverage, results of `results.summarise`.
    rows : pandas.DataFrame
        One row per side, results of `cases.measure_all`.
    card : mapping
        Of the weights.
    """
    names = [f'{KINDS[row.kind]}: {row.coverage}' for row in summary.itertuples()]
    parts = [
        _INTRODUCTION.format(
            data=card['data'], first=FIRST_REPORTED, flags=_FLAGS if WARNING in card else ''
        ).rstrip(),
        '## Against the aims\n\n' + _aims(summary, names),
        '## Errors\n\n' + _errors(summary, names),
        '## Points without a warning\n\n' + _KEPT + _kept(summary, names),
        '## Does it look at the nucleus?\n\n' + _SLOPES + _slopes(summary, names),
        '## Against those who do not look\n\n' + _OTHERS + _others(summary, rows, names),
        '## Masks\n\n' + _masks(summary, names),
        '## By slice thickness\n\n' + _slices(rows),
        _END,
    ]
    return '\n\n'.join(parts) + '\n'


def _aims(summary: pd.DataFrame, names: list[str]) -> str:
    heads = [
        'images',
        f'mean at most {AIMS["mean_mm"]:.1f} mm',
        f'{_share(AIMS["near"])} within {NEAR_MM} mm',
        f'slope at least {AIMS["slope"]} on each axis',
        f'{_share(AIMS["unseen_flagged"])} of invisible sides flagged',
    ]
    table = [
        [name, *('yes' if met else '**no**' for met in verdicts(row).values())]
        for name, (_, row) in zip(names, summary.iterrows(), strict=True)
    ]
    return _table(heads, table)


def _errors(summary: pd.DataFrame, names: list[str]) -> str:
    heads = ['images', 'heads', 'scans', 'visible sides', 'mean (95 % interval), mm', 'median']
    heads += ['95th percentile', 'largest', f'within {NEAR_MM} mm (95 % interval)']
    table = [
        [
            name,
            *(str(row[key]) for key in ('heads', 'images', 'sides')),
            f'{_number(row["mean_mm"])} ({_range(row["mean_interval"])})',
            *(_number(row[key]) for key in ('median_mm', 'p95_mm', 'largest_mm')),
            f'{_share(row["near"])} ({_range(row["near_interval"], _share)})',
        ]
        for name, (_, row) in zip(names, summary.iterrows(), strict=True)
    ]
    return _table(heads, table)


def _kept(summary: pd.DataFrame, names: list[str]) -> str:
    heads = ['images', 'of visible sides', 'mean, mm', 'median', 'largest']
    heads += [f'within {NEAR_MM} mm', f'over {WRONG_MM:g} mm', 'inside the radius']
    heads += ['invisible sides', 'of them with a warning', 'named not visible']
    table = [
        [
            name,
            f'{row["kept"]} of {row["sides"]}',
            *(_number(row[f'kept_{key}_mm']) for key in ('mean', 'median', 'largest')),
            *(_share(row[key]) for key in ('kept_near', 'kept_wrong', 'inside_radius')),
            str(row['unseen']),
            *(_share(row[key]) for key in ('unseen_flagged', 'unseen_named')),
        ]
        for name, (_, row) in zip(names, summary.iterrows(), strict=True)
    ]
    return _table(heads, table)


def _slopes(summary: pd.DataFrame, names: list[str]) -> str:
    heads = ['images', *(f'{d} (95 % interval)' for d in DIRECTIONS)]
    table = [
        [
            name,
            *(
                f'{_number(row[f"slope_{d}"])} ({_range(row[f"slope_{d}_interval"])})'
                for d in DIRECTIONS
            ),
        ]
        for name, (_, row) in zip(names, summary.iterrows(), strict=True)
    ]
    return _table(heads, table)


def _others(summary: pd.DataFrame, rows: pd.DataFrame, names: list[str]) -> str:
    heads = ['images', 'networks', 'stem known, nucleus not', 'no image looked at']
    heads += ["first stage alone, from the stem's place (median)", 'rater']
    heads += ['two raters']
    table = []
    for name, (_, row) in zip(names, summary.iterrows(), strict=True):
        of = rows[(rows['kind'] == row['kind']) & (rows['coverage'] == row['coverage'])]
        table.append(
            [
                name,
                *(_number(row[key]) for key in ('mean_mm', 'stem_only_mm', 'no_image_mm')),
                _number(of['first_mm'].median()),
                *(_number(of[key].mean()) for key in ('rater_mm', 'raters_mm')),
            ]
        )
    return _table(heads, table)


def _masks(summary: pd.DataFrame, names: list[str]) -> str:
    heads = ['images', 'Dice with the exact mask (median)', 'its ceiling']
    table = [
        [
            name,
            *(_number(row[key]) for key in ('dice', 'ceiling')),
        ]
        for name, (_, row) in zip(names, summary.iterrows(), strict=True)
    ]
    return _table(heads, table) + '\n\n' + _RATERS


def _slices(rows: pd.DataFrame) -> str:
    seen = rows[rows['visible'] & (rows['kind'] == 'second')]
    table = []
    for low, high in ((0.0, 1.5), (1.5, 2.2), (2.2, 9.0)):
        part = seen[(seen['slice_mm'] > low) & (seen['slice_mm'] <= high)]
        if len(part):
            errors = part['error_mm']
            table.append(
                [
                    f'over {low:g} to {high:g}' if high < 9 else f'over {low:g}',
                    str(len(part)),
                    _number(errors.mean()),
                    _number(errors.median()),
                    _share((errors <= NEAR_MM).mean()),
                ]
            )
    heads = ['largest voxel edge, mm', 'visible sides', 'mean, mm', 'median']
    return _table([*heads, f'within {NEAR_MM} mm'], table) + '\n\nLabel maps, all coverages.'


_INTRODUCTION = """\
# Locus coeruleus: the shipped networks in heads never used

Written by `python benchmarks/coeruleus_heads.py DATA OUT`; do not edit it by hand. Tables:
`docs/tables/`.

**Read this first.** The weights: {data}. All images here are **simulated** as well
([how](neuromelanin_phantom.md)): nothing on this page says how well the method works in humans.
The networks look in two stages: one at the whole field of view, at 2 mm, others at a crop around
each nucleus, at 0.75 mm.

Label maps are of ten people whom no network has seen and on whom no choice was made (those from
number {first} on); their images are made by code that shares nothing with the training but the
height of nuclei in the stem, which is set so that it fits the same published centres in the two
other label maps. Real heads are of other people than in training, with the simulator of the
training. As raters would measure it, the mean contrast is 1.14 to 1.22 there, depending on the
sequence, and 1.14 in label maps. Stem phantoms are the older, simpler simulation. Errors are those
of all visible sides, whatever their status; sides flagged as not visible are not left out.
{flags}"""

_FLAGS = """\
In use none of their points is called right, as the card has a warning: the flags here are those
of the limits alone."""

_KEPT = """\
Most errors of many millimetres are noticed: the heatmap is spread out, the networks disagree, or
the probability of a nucleus stays low. What is left without a warning, by the limits in the
weights file, which were chosen on the validation set; and the sides where nothing is to be seen.
The radius was calibrated on images of three heads of the validation set: it is a rough guide, and
holds less often in other heads and simulations.

"""

_SLOPES = """\
Slope of the found offset on the true one, each from where the stem alone puts the nucleus: 1 for
who sees the nucleus, 0 for who knows the anatomy alone, however small the error is.

"""

_OTHERS = """\
Mean errors in mm. "Stem known": the mean offset from the stem's own axes in the other heads,
exact anatomy given; "no image": the mean position in the field of view. Raters exist in the stem
phantoms alone, and are simulated.

"""

_RATERS = """\
The ceiling is that of the exact mask brought to 0.75 mm and back."""

_END = """\
## Limits

Simulated nuclei, whose contrast, size and place follow published means; no disease, no motion
but blur, no raters but simulated ones. Few heads, so that intervals are wide; they are bootstrap
intervals over heads."""
