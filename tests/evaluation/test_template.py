from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.shape import protocol_shape
from tmsprep.evaluation.template import MNI, add_mni, estimate_places
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.template import TemplateMap, between

PROTOCOL = load_protocol('tms')
SHAPE = protocol_shape(PROTOCOL)
MATRIX = np.array([[0.9, 0.1, 0], [-0.1, 0.95, 0.05], [0, -0.05, 0.92]])
SHIFT = np.array([3.0, -20, 15])
POINTS = PointSet(SHAPE.labels, SHAPE.coordinates @ MATRIX.T + SHIFT)


def table(points: PointSet = POINTS, **statuses: str) -> pd.DataFrame:
    axes = dict(zip('xyz', points.coordinates.T, strict=True))
    status = [statuses.get(label, 'ok') for label in points.labels]
    return pd.DataFrame({'label': points.labels, **axes, 'status': status})


def way(space: str = 'MNI152NLin2009aSym') -> TemplateMap:
    """A registration that is known: points of the image are those of the template plus 10 mm."""
    return TemplateMap('syn', space, 'by shift', lambda p: p - 10.0, lambda p: p + 10.0)


def places(found: pd.DataFrame) -> np.ndarray:
    return found[list(MNI)].to_numpy()


def test_estimate_exact_for_affine() -> None:
    np.testing.assert_allclose(estimate_places(POINTS, SHAPE), SHAPE.coordinates, atol=1e-9)


def test_estimate_is_not_circular() -> None:
    """A point 20 mm off is 20 mm off in the template as well, and does not pull the others."""
    off = POINTS.coordinates.copy()
    off[3] += MATRIX @ [0.0, 20, 0]
    found = estimate_places(PointSet(POINTS.labels, off), SHAPE)
    np.testing.assert_allclose(found[3] - SHAPE.coordinates[3], [0, 20, 0], atol=1e-9)
    without = np.delete(SHAPE.coordinates, 3, axis=0)
    moved = PointSet(tuple(np.delete(SHAPE.labels, 3)), without)
    alone = estimate_places(PointSet(POINTS.labels, off), moved)
    np.testing.assert_allclose(alone[3], found[3], atol=1e-9)


def test_estimate_needs_others() -> None:
    eight = POINTS.reindex(POINTS.labels[:8])
    assert np.isnan(estimate_places(eight, SHAPE)).all()
    nine = estimate_places(POINTS.reindex(POINTS.labels[:9]), SHAPE)
    np.testing.assert_allclose(nine, SHAPE.coordinates[:9], atol=1e-9)


def test_no_estimate_from_a_plane() -> None:
    flat = PointSet(POINTS.labels, POINTS.coordinates * [1, 1, 0.01])
    assert np.isnan(estimate_places(flat, SHAPE)).all()


def test_through_registration() -> None:
    tables = {'cnn': table(), 'syn': table(PointSet(SHAPE.labels, SHAPE.coordinates + 10))}
    entries = add_mni(tables, PROTOCOL, way())
    np.testing.assert_allclose(places(tables['cnn']), POINTS.coordinates - 10)
    np.testing.assert_allclose(places(tables['syn']), SHAPE.coordinates)
    expected = {'Space': 'MNI152NLin2009aSym', 'Mapping': 'by shift', 'Estimated': False}
    assert entries == {'cnn': expected, 'syn': expected}


@pytest.mark.parametrize('registered', [True, False])
def test_unusable_points_have_none(registered: bool) -> None:
    tables = {'cnn': table(RLLIMBMC='wrong_side', RULIMBMC='unreliable', LDLPFC='disagreement')}
    add_mni(tables, PROTOCOL, way() if registered else None)
    without = np.isnan(places(tables['cnn'])).all(axis=1)
    assert tables['cnn']['label'][without].tolist() == ['RLLIMBMC', 'RULIMBMC']


def test_estimated_without_registration() -> None:
    tables = {'cnn': table()}
    entries = add_mni(tables, PROTOCOL, None)
    np.testing.assert_allclose(places(tables['cnn']), SHAPE.coordinates, atol=1e-9)
    assert entries['cnn']['Estimated'] is True
    assert str(entries['cnn']['Mapping']).startswith('estimated')


def test_registration_to_another_template() -> None:
    tables = {'cnn': table()}
    entries = add_mni(tables, PROTOCOL, way('MNI152NLin2009cAsym'))
    expected = between(POINTS.coordinates - 10, 'MNI152NLin2009cAsym', 'MNI152NLin2009aSym')
    np.testing.assert_allclose(places(tables['cnn']), expected)
    assert np.linalg.norm(expected - POINTS.coordinates + 10, axis=1).max() < 3
    assert entries['cnn']['Space'] == 'MNI152NLin2009aSym'
    assert 'then to MNI152NLin2009aSym (by an affine' in str(entries['cnn']['Mapping'])


def test_damaged_registration(caplog: pytest.LogCaptureFixture) -> None:
    def move(_points: np.ndarray) -> np.ndarray:
        raise ValueError('x.h5: damaged')

    tables = {'cnn': table()}
    broken = TemplateMap('syn', 'MNI152NLin2009aSym', '', move, move)
    with caplog.at_level(logging.WARNING):
        entries = add_mni(tables, PROTOCOL, broken)
    assert entries['cnn']['Estimated'] is True
    assert 'x.h5: damaged. Coordinates in MNI152NLin2009aSym are estimated' in caplog.text


def test_protocol_without_template() -> None:
    protocol = load_protocol('afids')
    tables = {'syn': table()}
    assert add_mni(tables, protocol, None) == {}
    assert MNI[0] not in tables['syn']


def test_damaged_table_of_the_protocol(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It costs the coordinates, not the points."""
    (tmp_path / 'atlas.tsv').write_text('label\tx\n')
    atlas = {'image': 'MNI152NLin2009aSym', 'points': 'atlas.tsv'}
    protocol = replace(PROTOCOL, atlas=atlas, folder=tmp_path)
    tables = {'cnn': table()}
    with caplog.at_level(logging.WARNING):
        add_mni(tables, protocol, None)
    assert np.isnan(places(tables['cnn'])).all()
    assert 'There are no MNI coordinates' in caplog.text
