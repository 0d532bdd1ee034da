from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.evaluation.significance import holm, person_pairs, stars, wilcoxon

# Fisher 1935, chapter 3: Darwin's cross- and self-fertilised maize, eighths of an inch.
MAIZE = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], float)

# Hollander and Wolfe 1973, page 29, in the documentation of R's wilcox.test, where V = 40.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

# Baxter et al. 2021, Table 3: z and stars of each pair of methods.
TABLE_3 = {
    'CNN vs. Reg.': (
        [3.74, 1.46, 0.55, 1.28, 0.89, 3.84, 3.65, 2.81, 0.85, 2.66, 3.04],
        ['**', '', '', '', '', '**', '**', '*', '', '*', '*'],
    ),
    'CNN vs. Expert': ([2.11, 1.64, 0.63, 1.23, 0.61, 2.12], [''] * 6),
}
# Baxter et al. 2021, Table 5, columns 1 to 3 (each printed three times), then the others.
ENSEMBLE = [4.45, 4.45, 4.28, 4.28, 4.19, 4.36, 4.45, 4.28, 4.45, 4.36, 4.45]
ENSEMBLE_STARS = ['***', '***', '**', '**', '**', '**', '***', '**', '***', '**', '***']


def two_sided(z: list[float]) -> np.ndarray:
    return 2 * scipy.stats.norm.sf(np.abs(z))


def test_maize_by_hand() -> None:
    # -48 and -67 have the ranks 10 and 14: 24 of 120, and z = (24 - 60) / sqrt(310).
    found = wilcoxon(MAIZE, np.zeros(15))
    assert found.n == 15
    assert found.z == pytest.approx(36 / np.sqrt(310))
    assert found.p == pytest.approx(0.04089, abs=1e-5)
    assert found.effect == pytest.approx((96 - 24) / 120)


def test_depression_scale() -> None:
    # z = (40 - 22.5) / sqrt(9 * 10 * 19 / 24).
    found = wilcoxon(BEFORE, AFTER)
    assert found.z == pytest.approx(17.5 / np.sqrt(71.25))
    assert found.effect == pytest.approx((40 - 5) / 45)


@pytest.mark.parametrize(('n', 'z'), [(26, 4.45), (24, 4.28), (23, 4.19)])
def test_the_papers_largest_z(n: int, z: float) -> None:
    # Table 5 cuts decimals: ensembles are better in all people.
    errors = np.linspace(1, 9, n)
    found = wilcoxon(errors, errors + np.arange(1, n + 1))
    assert np.trunc(100 * found.z) / 100 == -z
    assert found.effect == -1


@given(st.lists(st.integers(-6, 6), min_size=6, max_size=30))
def test_scipy_finds_the_same(values: list[int]) -> None:
    difference = np.array(values, float)
    found = wilcoxon(difference, np.zeros(len(values)))
    if np.count_nonzero(difference) < 6:
        assert np.isnan(found.p)
        return
    theirs = scipy.stats.wilcoxon(
        difference, zero_method='wilcox', correction=False, method='approx'
    )
    assert abs(found.z) == pytest.approx(-theirs.zstatistic)
    assert found.p == pytest.approx(theirs.pvalue)


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=20))
def test_exchanging_the_methods_changes_the_sign_only(values: list[float]) -> None:
    one, other = np.array(values), np.zeros(len(values))
    forth, back = wilcoxon(one, other), wilcoxon(other, one)
    np.testing.assert_allclose(
        [forth.z, forth.p, forth.effect], [-back.z, back.p, -back.effect], equal_nan=True
    )


def test_ties_that_differ_by_rounding_are_ties() -> None:
    first = np.array([0.1 + 0.2, 0.3, 1, 1, 1, 1])
    assert wilcoxon(first, np.zeros(6)) == wilcoxon(first.round(3), np.zeros(6))


@pytest.mark.parametrize(
    ('first', 'n', 'reason'),
    [
        ([], 0, 'no pairs'),
        ([np.nan], 0, 'no pairs'),
        ([3.0], 1, 'only one person'),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 7, 'all differences are zero'),
    ],
)
def test_no_test(first: list[float], n: int, reason: str) -> None:
    found = wilcoxon(np.array(first), np.zeros(len(first)))
    assert (found.n, found.reason) == (n, reason)
    assert np.isnan([found.z, found.p, found.effect]).all()


def test_five_people_have_a_z_and_no_p() -> None:
    # z = 7.5 / sqrt(13.75) = 2.02 would be 4.3 %, the exact test gives 6.25 %.
    found = wilcoxon(np.arange(1.0, 6), np.zeros(5))
    assert found.z == pytest.approx(7.5 / np.sqrt(13.75))
    assert np.isnan(found.p)
    assert found.effect == 1
    assert 'fewer than 6 people' in found.reason


def test_holm_by_hand() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 is raised to 0.06.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_does_not_count_tests_that_were_not_made() -> None:
    np.testing.assert_allclose(holm([np.nan, 0.02, 0.8, np.nan]), [np.nan, 0.04, 0.8, np.nan])
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).shape == (0,)


def test_holm_agrees_with_statsmodels() -> None:
    multipletests = pytest.importorskip('statsmodels.stats.multitest').multipletests
    p = np.random.default_rng(1).random(99) ** 4
    np.testing.assert_allclose(holm(p), multipletests(p, method='holm')[1])


@pytest.mark.parametrize('pair', TABLE_3)
def test_the_stars_of_table_3_are_those_of_one_family_per_pair(pair: str) -> None:
    z, expected = TABLE_3[pair]
    assert [stars(p) for p in holm(two_sided(z))] == expected


def test_the_stars_of_table_5_are_those_of_one_family() -> None:
    # The other 66 tests have |z| up to 2.11; where they are exactly does not matter.
    corrected = holm(two_sided(ENSEMBLE * 3 + [2.11] * 66))
    assert [stars(p) for p in corrected] == ENSEMBLE_STARS * 3 + [''] * 66


def test_limits_of_the_stars() -> None:
    given = [0.0009, 0.001, 0.0011, 0.01, 0.05, 0.0501, np.nan]
    assert [stars(p) for p in given] == ['***', '***', '**', '**', '*', '', '']


def errors(*rows: tuple) -> pd.DataFrame:
    columns = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
    return pd.DataFrame(rows, columns=columns)


def test_repetitions_then_images_are_averaged() -> None:
    table = errors(
        ('sub-1', 'a', 'cnn', 1, 'A', 2.0),
        ('sub-1', 'a', 'cnn', 2, 'A', 4.0),
        ('sub-1', 'a', 'cnn', 3, 'A', np.nan),
        ('sub-1', 'b', 'cnn', 1, 'A', 7.0),
        ('sub-1', 'a', 'syn', np.nan, 'A', 1.0),
        ('sub-1', 'b', 'syn', np.nan, 'A', 2.0),
        # An image and a person that only one method has are not compared.
        ('sub-1', 'c', 'cnn', 1, 'A', 99.0),
        ('sub-2', 'd', 'cnn', 1, 'A', 99.0),
        ('sub-1', 'a', 'cnn', 1, 'B', 99.0),
        ('sub-1', 'a', 'syn', np.nan, 'B', 99.0),
    )
    pairs = person_pairs(table, 'cnn', 'syn', ('A',))
    assert pairs.to_dict('index') == {'sub-1': {'first': 5.0, 'second': 1.5}}


def test_a_method_that_nobody_has_gives_no_pairs() -> None:
    table = errors(('sub-1', 'a', 'cnn', 1, 'A', 2.0))
    assert person_pairs(table, 'cnn', 'syn', ('A',)).empty
    assert person_pairs(table.iloc[:0], 'cnn', 'syn', ('A',)).empty


def false_positives(errors_mm: np.ndarray, *, pooled: bool) -> float:
    """Share of p <= 5 % in experiments of shape (experiments, people, repetitions)."""
    differences = errors_mm.reshape(len(errors_mm), -1) if pooled else errors_mm.mean(axis=2)
    return np.mean([wilcoxon(d, np.zeros(len(d))).p <= 0.05 for d in differences])


def test_pooled_repetitions_find_what_is_not_there() -> None:
    random = np.random.default_rng(1)
    person = random.normal(size=(400, 12, 1))
    differences = person + random.normal(size=(400, 12, 5))
    assert false_positives(differences, pooled=True) > 0.25
    assert false_positives(differences, pooled=False) < 0.08
