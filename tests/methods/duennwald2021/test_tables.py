from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.methods.duennwald2021.tables import (
    AUGMENTED,
    BOTH,
    NOT_AUGMENTED,
    augmentation_effect,
    axis_table,
    constant_errors,
    figure2,
    icc_table,
    localisation_errors,
    mean_icc,
    table1,
)

REFERENCE = (5.0, -37.0, -26.0)


def points(offsets: dict[tuple, tuple]) -> pd.DataFrame:
    """Table of points: (participant, fold, augmentation, label) to offset from the reference."""
    rows = []
    for (participant, fold, augmentation, label), offset in offsets.items():
        row = [f'{participant}_T1w', participant, fold, augmentation, label]
        rows.append([*row, *np.add(REFERENCE, offset), *REFERENCE, 'ok'])
    columns = 'image participant fold augmentation label x y z reference_x reference_y reference_z'
    return pd.DataFrame(rows, columns=[*columns.split(), 'status'])


ERRORS = localisation_errors(
    points(
        {
            ('a', 1, AUGMENTED, 'LLC'): (3, 4, 0),
            ('a', 2, AUGMENTED, 'LLC'): (0, 0, -1),
            ('b', 1, AUGMENTED, 'LLC'): (0, 0, 3),
            ('c', 1, AUGMENTED, 'LLC'): (np.nan, np.nan, np.nan),
            ('a', 1, NOT_AUGMENTED, 'LLC'): (0, 6, 0),
            ('b', 1, NOT_AUGMENTED, 'LLC'): (0, 6, 8),
            ('c', 1, NOT_AUGMENTED, 'LLC'): (0, 0, 1),
        }
    )
)


def test_errors() -> None:
    first = ERRORS.iloc[0]
    assert (first['dx_mm'], first['dy_mm'], first['dz_mm']) == (3, 4, 0)
    assert first['error_mm'] == 5
    assert first['error_vx'] == pytest.approx(5 / 0.75)
    assert ERRORS.iloc[3][['dx_mm', 'error_mm', 'error_vx']].isna().all()


def test_table_1_by_hand() -> None:
    table = table1(ERRORS).set_index(['augmentation', 'label'])
    row = table.loc[(AUGMENTED, 'LLC')]
    # 5, 1 and 3 mm.
    assert row['mean_mm'] == 3
    assert row['sd_mm'] == 2
    assert row['mean_vx'] == pytest.approx(4)
    assert row['sd_vx'] == pytest.approx(2 / 0.75)
    assert (row['n'], row['people'], row['missing']) == (3, 2, 1)
    assert row['ci_low_mm'] <= 3 <= row['ci_high_mm']
    # 6, 10 and 1 mm.
    assert table.loc[(NOT_AUGMENTED, 'LLC'), 'mean_mm'] == pytest.approx(17 / 3)


def test_augmentation_effect() -> None:
    row = augmentation_effect(ERRORS).iloc[0]
    # Participant a: (5 + 1) / 2 against 6, b: 3 against 10; c lacks one.
    assert (row['with_mm'], row['without_mm'], row['people']) == (3, 8, 2)
    assert row['ratio'] == 3 / 8
    assert row['difference_mm'] == -5
    assert row['ci_low_mm'] == pytest.approx(-7)
    assert row['ci_high_mm'] == pytest.approx(-3)


def test_axes_by_hand() -> None:
    table = axis_table(ERRORS).set_index(['augmentation', 'label', 'axis'])
    axial = table.loc[(AUGMENTED, 'LLC', 'axial')]
    # 0, -1 and 3: squares 0, 1 and 9.
    assert axial['mse_mm2'] == pytest.approx(10 / 3)
    assert axial['sd_mm2'] == pytest.approx(np.std([0, 1, 9], ddof=1))
    assert axial['mae_mm'] == pytest.approx(4 / 3)
    assert axial['bias_mm'] == pytest.approx(2 / 3)
    assert axial['n'] == 3
    assert table.loc[(AUGMENTED, 'LLC', 'sagittal'), 'mse_mm2'] == 3
    assert table.loc[(AUGMENTED, 'LLC', 'coronal'), 'mse_mm2'] == pytest.approx(16 / 3)


def test_constant_errors() -> None:
    rows = points({(who, 1, AUGMENTED, 'LLC'): (0, 0, 0) for who in 'abc'})
    rows[['reference_x', 'reference_y', 'reference_z']] = [[0, 0, 0], [0, 0, 3], [0, 0, 6]]
    row = constant_errors(rows).iloc[0]
    # From 4.5, 3 and 1.5.
    assert (row['mean_mm'], row['people']) == (3, 3)
    assert row['sd_mm'] == pytest.approx(np.std([4.5, 0, 4.5], ddof=1))


def segments() -> pd.DataFrame:
    """Five participants, one fold, two methods; the second one finds nothing in the last."""
    manual = [1.1, 1.2, 1.3, 1.15, 1.25]
    rows = []
    for method, shift in (('lpp', 0.0), ('npp', 0.1)):
        for side in 'LR':
            for i, ratio in enumerate(manual):
                lost = method == 'npp' and i == 4
                found = np.nan if lost else ratio + shift
                row = {'image': f'{i}', 'participant': f'{i}', 'fold': 1, 'method': method}
                row |= {'hemisphere': side, 'dice': 0 if lost else i / 4}
                row |= {'fdr': np.nan if lost else 1 - i / 4}
                row |= {'cr_median': found, 'cr_maximum': 1.4}
                rows.append(row | {'manual_cr_median': ratio, 'manual_cr_maximum': ratio})
    return pd.DataFrame(rows)


def test_figure_2_by_hand() -> None:
    table = figure2(segments()).set_index(['method', 'hemisphere', 'measure'])
    row = table.loc[('lpp', 'L', 'dice')]
    five = row[['minimum', 'quartile1', 'median', 'quartile3', 'maximum']]
    assert five.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert (row['mean'], row['n'], row['undefined']) == (0.5, 5, 0)
    lost = table.loc[('npp', 'R', 'fdr')]
    assert (lost['n'], lost['undefined'], lost['maximum']) == (4, 1, 1)
    assert table.loc[('npp', 'R', 'dice'), 'n'] == 5


def test_icc_by_fold_and_method() -> None:
    table = icc_table(segments())
    rows = table.set_index(['fold', 'method', 'hemisphere', 'measure'])
    same = rows.loc[(1, 'lpp', 'L', 'cr_median')]
    assert (same['icc'], same['n'], same['missing']) == (1, 5, 0)
    off = rows.loc[(1, 'npp', 'L', 'cr_median')]
    # 1.1, 1.2, 1.3, 1.15 and the same + 0.1: mean squares 2 * 0.021875 / 3, of methods 0.02,
    # rest 0: participants / (participants + 2 * methods / 4).
    square = 2 * 0.021875 / 3
    assert off['icc'] == pytest.approx(square / (square + 0.01))
    assert (off['n'], off['missing']) == (4, 1)
    assert rows.loc[(1, 'npp', BOTH, 'cr_median'), 'n'] == 8
    # The maximum is the same in all participants.
    assert rows.xs('cr_maximum', level='measure')['icc'].isna().all()


def test_mean_over_folds() -> None:
    iccs = pd.DataFrame(
        {
            'fold': [1, 2, 3],
            **{'method': 'lpp', 'hemisphere': 'L', 'measure': 'cr_median'},
            'icc': [0.9, 0.7, np.nan],
        }
    )
    row = mean_icc(iccs).iloc[0]
    assert row['icc'] == pytest.approx(0.8)
    assert (row['lowest'], row['highest'], row['folds'], row['undefined']) == (0.7, 0.9, 2, 1)


def test_empty_tables() -> None:
    errors = localisation_errors(points({}))
    for table in (table1(errors), axis_table(errors), augmentation_effect(errors)):
        assert len(table) == 0
    nothing = segments().iloc[:0]
    assert (
        len(figure2(nothing)) == len(icc_table(nothing)) == len(mean_icc(icc_table(nothing))) == 0
    )
