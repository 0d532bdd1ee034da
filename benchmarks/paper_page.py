"""Write ``docs/paper.md``: the tables of both papers beside those made here.

``python benchmarks/paper_page.py``, from nothing but files in the repository: the papers' numbers
in ``paper_parts``, and in ``docs/tables`` the tables that ``tmsprep group`` made of a
cross-validation (``group_ixi26_table*.tsv``) and that ``coeruleus.py`` published.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from tmsprep.atomic import write_text
from tmsprep.evaluation.offsets import OFFSET

from coeruleus_parts.page import lines
from paper_parts.claims import claims, ensembles
from paper_parts.tables import (
    MISSING,
    beside,
    counts,
    extent,
    gyri,
    mean_cell,
    opponents,
    published,
    read,
    short_cell,
    z_cell,
)

DOCS = Path(__file__).resolve().parents[1] / 'docs'
TEMPLATE = Path(__file__).parent / 'paper_parts' / 'page.md'

#: Names of the methods of the group level in the paper's Table 3.
NAMES = {'crossval-shared': 'CNN', 'syn': 'Reg.', 'expert': 'Expert'}

#: Methods whose shares of points in the gyrus are shown, with the heading of each.
SHARES = {
    'crossval-shared': 'CNN',
    'syn': 'Reg.',
    f'syn{OFFSET}': 'Reg. + Offset',
    'rater-spline': 'rater spline',
    'rater-affine': 'rater affine',
    'rater-other': 'rater other',
}

#: Error of localisation in Table 1 of Duennwald et al. 2021: mean and sd, mm.
LOCALISATION = {
    ('without', 'LLC'): '2.97 ± 1.56',
    ('without', 'RLC'): '3.13 ± 1.52',
    ('with', 'LLC'): '1.34 ± 0.86',
    ('with', 'RLC'): '1.23 ± 0.67',
}

#: Tables of the same made here, by `coeruleus.py` and `coeruleus_whole.py`.
SIMULATED = {
    'stem phantoms, 0.75 mm': 'locus_coeruleus_table1.tsv',
    'whole heads, 3 mm': 'locus_coeruleus_whole_table1.tsv',
}

#: Mean ICC over folds, section 3 of Duennwald et al. 2021: of medians, and of maxima.
AGREEMENT = {'npp': (0.06, 0.01), 'pp': (0.37, 0.16), 'lpp': (0.89, 0.66)}


def setting(facts: dict, done: str, tables: dict[int, pd.DataFrame]) -> str:
    """Compare the two experiments, row by row.

    Parameters
    ----------
    facts : dict
        Sidecar of the predictions of the cross-validation.
    done : str
        How much of it is done, see `extent`.
    tables : dict
        Of the group level, by number.
    """
    recipe, shape = facts['Recipe'], facts['Recipe']['network']
    fair = 'Reg. + Offset Error' in set(tables[2]['column'])
    network = f'the same levels; {shape["kernels"]} kernels, crops of {shape["crops"][0]} voxels'
    optimiser = '{optimiser}, rate {learning_rate:g}, {batch} images'.format(**recipe)
    rows = [
        ('people', '26 patients', f'{facts["Participants"]} healthy people (IXI), one scanner'),
        ('images', 'T1w, 1 mm, several scanners', 'T1w, 2 mm, 3 T'),
        ('annotation', 'three experts (motor targets), one (others)', 'three rules'),
        ('consensus', 'by hand, within 12 mm', 'the same rule, computed'),
        ('test', 'leave-one-out, 5 repetitions', f'{_folds(facts)}, {done}'),
        ('network', 'six levels, 20 residual layers; sizes not given', network),
        ('optimiser', 'SGD, rate 1e-3 / (1 + 0.1 i), 16 images; steps not given', optimiser),
        ('registration', 'SyN of one annotated image', 'SyN of an annotated template'),
        ('fair opponent', 'none', 'registration + mean offset' if fair else 'not yet measured'),
    ]
    return lines(rows)


def size(facts: dict) -> str:
    """Say how large the cross-validation here was."""
    recipe = facts['Recipe']
    return f'{_folds(facts)}, {recipe["steps"]} steps of the recipe `{recipe["name"]}`'


def _folds(facts: dict) -> str:
    folds = facts['Folds']
    several = isinstance(folds, int) and folds < facts['Participants']
    return f'{folds} folds' if several else 'leave-one-out'


def localisation(docs: Path) -> str:
    """Write Table 1 of Duennwald et al. 2021."""
    found = {
        name: read(docs / 'tables' / table).set_index(['augmentation', 'label'])
        for name, table in SIMULATED.items()
    }
    head = ['augmentation', 'side', 'in the paper', *found]
    rows = [head, ['---'] * len(head)]
    for (kind, label), printed in LOCALISATION.items():
        cells = [
            '{mean_mm:.2f} ± {sd_mm:.2f}'.format(**here.loc[kind, label])
            if (kind, label) in here.index
            else MISSING
            for here in found.values()
        ]
        rows.append([kind, {'L': 'left', 'R': 'right'}[label[0]], printed, *cells])
    return lines(rows)


def whole_heads(docs: Path) -> str:
    """Say how large the experiment on whole heads was, and whether augmentation helps there."""
    tables = docs / 'tables'
    facts = json.loads((tables / 'locus_coeruleus_whole.json').read_text(encoding='utf-8'))
    kept = facts['Participants'] - facts['HeldOut']
    schedule, network = facts['Recipe']['schedule'], facts['Recipe']['network']
    effects = [
        f'{row.with_mm:.1f} against {row.without_mm:.1f} mm, 95 % interval of the difference '
        f'{row.ci_low_mm:.1f} to {row.ci_high_mm:.1f} mm ({row.label})'
        for row in read(tables / 'locus_coeruleus_whole_augmentation.tsv').itertuples()
    ]
    return (
        f'neuromelanin simulated in {facts["Participants"]} real heads, {kept} in '
        f'{facts["Folds"]} folds and {facts["HeldOut"]} held out, exact points instead of a '
        f"rater's, {schedule['epochs']} epochs, voxels of {facts['VoxelSize']:g} mm of which the "
        f'network computes at {facts["VoxelSize"] * network["block"]:g} mm. At this size it '
        'cannot see the nucleus: all that can be told is whether it finds the brainstem. With '
        f'augmentation and without: {"; ".join(effects)}. An interval that holds 0 may be chance.'
    )


def segmentation(docs: Path) -> str:
    """Write the median overlap and the ICC of each way to segment."""
    overlap = read(docs / 'tables' / 'locus_coeruleus_segmentation.tsv')
    agreement = read(docs / 'tables' / 'locus_coeruleus_icc_mean.tsv')
    head = ['way', 'Dice here, left / right', 'FDR here, left / right']
    head += [f'ICC of {kind}, paper / here' for kind in ('medians', 'maxima')]
    rows = [head, ['---'] * len(head)]
    for way, printed in AGREEMENT.items():
        row = [way.upper()]
        for measure in ('dice', 'fdr'):
            some = overlap[(overlap['method'] == way) & (overlap['measure'] == measure)]
            row.append(' / '.join(f'{m:.2f}' for m in some.sort_values('hemisphere')['median']))
        both = agreement[(agreement['method'] == way) & (agreement['hemisphere'] == 'both')]
        icc = both.set_index('measure')['icc']
        for measure, value in zip(('cr_median', 'cr_maximum'), printed, strict=True):
            row.append(f'{value:.2f} / {icc.get(measure, float("nan")):.2f}')
        rows.append(row)
    return lines(rows)


def write_page(docs: Path) -> str:
    """Fill the template from the tables in a folder of documentation."""
    tables = {n: read(docs / 'tables' / f'group_ixi26_table{n}.tsv') for n in (2, 3, 4, 5)}
    predictions = docs / 'tables' / 'crossval_ixi26_predictions.tsv'
    facts = json.loads(predictions.with_suffix('.json').read_text(encoding='utf-8'))
    paper = published()
    judged = [[c.claim, f'**{c.verdict}**', c.found, c.paper] for c in claims(tables)]
    fair = opponents(tables[2])
    rows = read(predictions)
    done = extent(rows, facts)
    return TEMPLATE.read_text(encoding='utf-8').format(
        setting=setting(facts, done, tables),
        claims=lines(judged),
        ensembles=ensembles(tables[4]),
        size=size(facts),
        done=done,
        table1=beside(paper[1], counts(rows, tables[2]), lambda row: row['cell']),
        gyri=gyri(read(docs / 'tables' / 'group_ixi26_gyri.tsv'), SHARES),
        table2=beside(paper[2], tables[2], mean_cell),
        opponents=fair and f'Not in the paper, mm:\n\n{fair}',
        table3=beside(paper[3], tables[3], lambda row: z_cell(row, signed=False, names=NAMES)),
        table4=beside(paper[4], tables[4], short_cell),
        table5=beside(paper[5], tables[5], lambda row: z_cell(row, signed=True, names={})),
        localisation=localisation(docs),
        whole_heads=whole_heads(docs),
        segmentation=segmentation(docs),
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--docs', type=Path, default=DOCS, help='of the tables, and of the page')
    docs = parser.parse_args().docs
    print(write_text(docs / 'paper.md', write_page(docs)))


if __name__ == '__main__':
    main()
