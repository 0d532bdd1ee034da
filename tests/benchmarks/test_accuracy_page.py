from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.points import PointSet

from accuracy_parts.cortex import nearest_mm
from accuracy_parts.figures import draw_strengths
from accuracy_parts.jobs import Job
from accuracy_parts.page import write_page
from accuracy_parts.pictures import cut_slices
from accuracy_parts.subjects import Subject
from accuracy_parts.summaries import (
    between_methods,
    by_corruption,
    by_motion,
    by_promise,
    by_target,
    describe,
    near_cortex,
)

FACTS = {
    'weights': 'made_up.safetensors',
    'sha256': 'abc123',
    'members': 'one network',
    'card': 'name: made up',
    'gyri_weights': 'none',
    'versions': 'Versions: none',
    'people': 4,
    'corrupted_people': 2,
    'syn_people': 1,
    'other_people': 2,
    'figure': '',
    'worst': '',
}


def rows(method: str, errors: list[float], **more: object) -> pd.DataFrame:
    """One target, one person per error; the radius is always 2.5 mm."""
    return pd.DataFrame(
        {
            'participant_id': [f'sub-{i}' for i in range(len(errors))],
            'method': method,
            'label': 'LOFC',
            'error_mm': errors,
            'has_reference': 1,
            'dispersion_mm': 0.5,
            'error90_mm': 2.5,
            **more,
        }
    )


@pytest.fixture
def spoilt() -> pd.DataFrame:
    low = {'corruption': 'rotation', 'strength': 'low', 'inconsistency_mm': 0.4}
    middle = {'corruption': 'rotation', 'strength': 'middle', 'inconsistency_mm': 0.8}
    parts = [rows('cnn', [1, 2], **low), rows('cnn', [3, 5], **middle), rows('syn', [7], **middle)]
    return pd.concat(parts, ignore_index=True)


def test_errors_described_by_hand() -> None:
    table = rows('cnn', [1.0, 2.0, 3.0, 14.0, np.nan])
    table.loc[len(table)] = {**table.loc[0], 'has_reference': 0, 'error_mm': 99.0}
    found = describe(table)
    assert (found['points'], found['failed']) == (5, 1)
    assert (found['mean'], found['median'], found['max']) == (5.0, 2.5, 14.0)
    assert found['sd'] == pytest.approx(np.sqrt((16 + 9 + 4 + 81) / 3))
    assert found['p95'] == pytest.approx(3 + 0.85 * 11)
    assert (found['within_10'], found['coverage']) == (0.75, 0.5)
    assert (found['dispersion'], found['radius']) == (0.5, 2.5)


def test_failed_method() -> None:
    found = describe(rows('syn', [np.nan, np.nan]))
    assert (found['points'], found['failed']) == (2, 2)
    assert np.isnan([found['mean'], found['within_10'], found['coverage']]).all()


def test_promise_by_hand() -> None:
    """Of four points one has no radius, and one of the others lies outside its ball."""
    table = rows('cnn', [1.0, 2.0, 3.0, 2.0], group='IXI, test', gyrus_mm=[0.0, 0.0, 2.6, 9.0])
    table['error90_mm'] = [2.5, 2.5, 2.5, np.nan]
    table['any_radius_mm'] = 2.5
    spoilt = rows('cnn', [1.0, 5.0], corruption='noise', strength='low').assign(any_radius_mm=3.0)
    found = by_promise(table, spoilt).set_index('group')
    assert found.loc['IXI, test'].tolist() == [4, 4, 0.75, 2.5, 2 / 3, 2 / 3, 1.0]
    assert found.loc['noise, low', ['promised', 'coverage']].tolist() == [1.0, 0.5]
    page = write_page({'promise': found.reset_index()}, FACTS)
    assert '(lowest 50.0 %; under it IXI, test, noise, low)' in page
    assert '| IXI, test | 4 | 4 | 75.0 % | 2.50 | 66.7 % | 66.7 % | 100.0 % |' in page


def test_syn_is_compared_on_the_same_people(spoilt: pd.DataFrame) -> None:
    table = by_corruption(spoilt).set_index(['strength', 'method'])['mean']
    assert table.to_dict() == {
        ('low', 'cnn'): 1.5,
        ('middle', 'cnn'): 4.0,
        ('middle', 'cnn-same-people'): 3.0,
        ('middle', 'syn'): 7.0,
    }


def test_motion_counts_the_network_alone(spoilt: pd.DataFrame) -> None:
    table = by_motion(spoilt)
    assert table[['motion', 'value', 'points', 'median']].to_numpy().tolist() == [
        ['rotation', 10, 2, 0.4],
        ['rotation', 20, 2, 0.8],
    ]


@pytest.fixture
def scanners() -> pd.DataFrame:
    """Two data sets with a person of the same name; SyN failed in the second."""
    key = ['dataset', 'participant_id', 'method', 'label', 'x', 'y', 'z', 'grey_mm', 'chance']
    n = np.nan
    content = [
        ('one', 'sub-01', 'cnn', 'LOFC', 1, 2, 3, 0.0, 0.7),
        ('one', 'sub-01', 'cnn', 'ROFC', 1, 2, 3, 2.5, 0.7),
        ('one', 'sub-01', 'syn', 'LOFC', 1, 5, 7, 2.0, 0.7),
        ('one', 'sub-01', 'syn', 'ROFC', 1, 2, 3, 0.0, 0.7),
        ('two', 'sub-01', 'cnn', 'LOFC', 0, 0, 0, 0.0, 0.8),
        ('two', 'sub-01', 'syn', 'LOFC', n, n, n, n, 0.8),
    ]
    return pd.DataFrame(content, columns=key)


def test_distance_between_methods(scanners: pd.DataFrame) -> None:
    table = between_methods(scanners).set_index(['dataset', 'label'])
    assert table.loc[('one', 'all'), ['failed', 'median', 'max']].tolist() == [0, 2.5, 5]
    assert table.loc[('one', 'LOFC'), 'median'] == 5
    assert table.loc[('two', 'all'), 'failed'] == 1
    assert ('two', 'ROFC') not in table.index


def test_share_near_cortex(scanners: pd.DataFrame) -> None:
    table = near_cortex(scanners, 2.0).set_index(['dataset', 'method'])
    assert table.loc[('one', 'cnn'), ['near', 'farthest', 'chance']].tolist() == [0.5, 2.5, 0.7]
    assert table.loc[('one', 'syn'), 'near'] == 1.0
    assert table.loc[('two', 'syn'), 'points'] == 0


def test_page_says_what_was_found(spoilt: pd.DataFrame, scanners: pd.DataFrame) -> None:
    tables = {
        'test': by_target(rows('cnn', [1.0, 2.0, 3.0, 14.0])),
        'corruptions': by_corruption(spoilt),
        'motion': by_motion(spoilt),
        'methods': between_methods(scanners),
        'cortex': near_cortex(scanners, 2.0),
    }
    page = write_page(tables, FACTS)
    assert 'mean error at most 2.0 mm: **missed** (5.00 mm)' in page
    assert 'no point over 10 mm: **missed** (worst 14.00 mm)' in page
    assert (
        'middle strength: **missed** (highest mean 4.00 mm, rotation; missed by rotation)' in page
    )
    assert '| CNN | LOFC | 4 | 0 | 5.00 |' in page
    assert '| rotation | middle | 20 ° | SyN | 1 | 0 | 7.00 |' in page
    assert '| rotation | 10 ° | 2 | 0.40 |' in page
    assert '| LOFC | 5.00 (5.00) | 1 failed |' in page
    assert '| ROFC | 0.00 (0.00) | – |' in page
    assert '| two | SyN | 1 | 0 | – | – | 80.0 % |' in page
    assert '**not human**' in page
    assert 'nan' not in page
    assert '{' not in page


def test_page_says_what_was_not_measured() -> None:
    page = write_page({}, FACTS)
    assert page.count('Not measured in this run.') == 15


def test_figure_has_a_panel_per_corruption(spoilt: pd.DataFrame, tmp_path: Path) -> None:
    path = draw_strengths(by_corruption(spoilt), 1.2, tmp_path / 'figure.svg')
    text = path.read_text(encoding='utf-8')
    assert '>rotation<' in text
    assert '>4.0<' in text
    again = draw_strengths(by_corruption(spoilt), 1.2, tmp_path / 'again.svg')
    assert again.read_bytes() == path.read_bytes()


def test_every_job_has_its_own_file(tmp_path: Path) -> None:
    person = Subject('ixi', 'sub-1', Path('T1w.nii.gz'), 0, PointSet.from_mapping({}, ('LOFC',)))
    jobs = [
        Job('located', person, 'cnn'),
        Job('located', person, 'syn'),
        Job('located', person, 'cnn', folder='other weights'),
        Job('corruptions', person, 'cnn', 'bias field', 'low'),
        Job('corruptions', person, 'cnn', 'bias field', 'middle'),
    ]
    paths = {job.path(tmp_path) for job in jobs}
    assert len(paths) == 5
    assert tmp_path / 'corruptions' / 'cnn' / 'ixi_sub-1_bias-field_low.tsv' in paths


def test_distance_to_grey_matter() -> None:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    grey = np.zeros((20, 20, 20), bool)
    grey[5] = True
    brain = np.zeros((20, 20, 20), np.uint8)
    brain[5:15] = 1
    points = PointSet(('a', 'b', 'c'), np.array([[-5, -9, 9], [-9.0, -9, 9], [np.nan] * 3]))
    distance, chance = nearest_mm(points, grey, nib.Nifti1Image(brain, affine))
    np.testing.assert_allclose(distance, [0, 4, np.nan], atol=1e-6)
    assert chance == pytest.approx(0.3)


def test_slices_are_centred_on_the_network() -> None:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    data = np.zeros((256, 256, 256), np.float32)
    data[100, 120, 130] = 5.0
    data[101:110, 120, 130] = 4.0
    cnn = PointSet(('a',), np.array([[-100.0, -120.0, 130.0]]))
    syn = PointSet(('a',), np.array([[-103.0, -120.0, 130.0]]))
    found = cut_slices(nib.Nifti1Image(data, affine), cnn, syn)
    middle = found['slices'].shape[1] // 2
    assert found['slices'][0, middle, middle] == 255
    assert found['slices'][0, middle - 1, middle] == 0
    np.testing.assert_allclose(found['syn'], [[3, 0, 0]])
