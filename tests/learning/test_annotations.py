from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.bids import ImageQuery, ImageRef, find_images
from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.evaluation.shape import protocol_shape
from tmsprep.learning.annotations import AGREEMENT_COLUMNS, Annotations, collect_annotated
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.protocols.protocol import Target

# Three targets of a protocol that is not TMS.
PROTOCOL = Protocol(
    'toy',
    'Toy',
    'nobody',
    (
        Target('LA', 'L', 'a', 't', 'RA'),
        Target('RA', 'R', 'a', 't', 'LA'),
        Target('M', 'n/a', 'middle', 't'),
    ),
)
AFFINE = np.array([[-4.0, 0, 0, 80], [0, 4, 0, -100], [0, 0, 4, -60], [0, 0, 0, 1]])
GOOD = {'LA': (-30, 10, 20), 'RA': (31, 11, 20), 'M': (0, -40, 50)}


@pytest.fixture
def images(tmp_path: Path) -> dict[str, list[ImageRef]]:
    found = {}
    for label in ('01', '02', '03'):
        name = f'sub-{label}/anat/sub-{label}_T1w.nii.gz'
        path = tmp_path / 'bids' / name
        path.parent.mkdir(parents=True)
        data = np.zeros((40, 50, 40), np.uint8)
        nib.save(nib.Nifti1Image(data, AFFINE), path)
        found[label] = [ImageRef.from_path(tmp_path / 'bids', path)]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'points').mkdir()
    return tmp_path / 'points'


def table(path: Path, points: dict) -> None:
    rows = [f'{label}\t{x}\t{y}\t{z}\n' for label, (x, y, z) in points.items()]
    path.write_text('label\tx\ty\tz\n' + ''.join(rows))


def markups(path: Path, points: dict) -> None:
    control = [{'label': label, 'position': [-x, -y, z]} for label, (x, y, z) in points.items()]
    markup = {'type': 'Fiducial', 'coordinateSystem': 'LPS', 'controlPoints': control}
    path.write_text(json.dumps({'markups': [markup]}))


def fcsv(path: Path, points: dict) -> None:
    rows = [f'1,{x},{y},{z},0,0,0,1,1,1,0,{label},,\n' for label, (x, y, z) in points.items()]
    path.write_text('# CoordinateSystem = RAS\n' + ''.join(rows))


def moved(by: float, points: dict = GOOD) -> dict:
    return {label: (x, y + by, z) for label, (x, y, z) in points.items()}


def collect(images: dict, folder: Path) -> Annotations:
    return collect_annotated(images, folder, PROTOCOL)


def test_formats(images: dict, folder: Path) -> None:
    table(folder / 'sub-01_targets.tsv', GOOD)
    markups(folder / 'sub-02_points.mrk.json', moved(1))
    fcsv(folder / 'sub-03_points.fcsv', moved(2))
    found = collect(images, folder)
    assert (found.problems, found.notes) == ({}, [])
    assert [person.name for person in found.examples] == ['sub-01', 'sub-02', 'sub-03']
    for by, person in enumerate(found.examples):
        assert person.image == images[f'0{by + 1}'][0].path
        assert person.points.labels == PROTOCOL.labels
        np.testing.assert_allclose(person.points.coordinates, list(moved(by).values()))
    assert tuple(found.agreements.columns) == AGREEMENT_COLUMNS
    assert len(found.agreements) == 9
    assert set(found.agreements['status']) == {'single'}


def test_consensus(images: dict, folder: Path) -> None:
    table(folder / 'sub-01_desc-a_targets.tsv', GOOD)
    table(folder / 'sub-01_desc-b_targets.tsv', moved(6) | {'M': ('n/a',) * 3})
    table(folder / 'sub-01_desc-c_targets.tsv', moved(18) | {'M': (0, -20, 50)})
    (person,) = collect(images, folder).examples
    # b is 6 from a and 12 from c, a and c are 18 apart; of M there are two points 20 mm apart.
    expected = [(-30, 13, 20), (31, 14, 20), (math.nan,) * 3]
    np.testing.assert_allclose(person.points.coordinates, expected)
    found = collect(images, folder)
    rows = found.agreements.set_index('label')
    assert rows['n_raters'].to_dict() == {'LA': 3, 'RA': 3, 'M': 2}
    assert rows['agreeing'].to_dict() == {'LA': 'a b', 'RA': 'a b', 'M': ''}
    assert rows['status'].to_dict() == {'LA': 'consensus', 'RA': 'consensus', 'M': 'no_consensus'}
    assert rows.loc['LA', ['image', 'x', 'y', 'z']].to_list() == ['sub-01', -30, 13, 20]
    assert rows.loc[['M'], ['x', 'y', 'z']].isna().all(axis=None)
    assert 'sub-01_T1w.nii.gz: the raters do not agree on M; left out.' in found.notes


def test_bad_point(images: dict, folder: Path) -> None:
    table(folder / 'sub-01_targets.tsv', GOOD | {'M': (0, -40, 500)})
    found = collect(images, folder)
    (person,) = found.examples
    assert person.points.found.tolist() == [True, True, False]
    ((label, (message,)),) = found.problems.items()
    assert (label, message) == (
        '01',
        f'{folder / "sub-01_targets.tsv"}: M is outside the image; correct it, or write n/a.',
    )
    assert 'Images without points, not used: sub-02_T1w.nii.gz, sub-03' in found.notes[-1]


@pytest.mark.parametrize('matrix', [np.eye(3) / 10, np.diag([1, 1, -1]), np.eye(3)[[0, 2, 1]]])
def test_no_place_of_a_head(images: dict, folder: Path, matrix: np.ndarray) -> None:
    protocol = load_protocol('tms')
    places = protocol_shape(protocol)
    assert places is not None
    for name, points in (('01', places.coordinates), ('02', (places.coordinates + 1) @ matrix)):
        table(folder / f'sub-{name}_targets.tsv', dict(zip(places.labels, points, strict=True)))
    found = collect_annotated(images, folder, protocol)
    assert [person.name for person in found.examples] == ['sub-01']
    assert 'head' in found.problems['02'][0]
    assert set(found.problems) == {'02'}


def test_bad_file(images: dict, folder: Path) -> None:
    (folder / 'sub-01_targets.tsv').write_text('no table')
    table(folder / 'sub-02_targets.tsv', {'LA': (0, 0, 0), 'RA': ('n/a',) * 3})
    table(folder / 'sub-03_desc-a_targets.tsv', GOOD)
    (folder / 'sub-03_desc-b_targets.tsv').write_text('label\tx\n')
    table(folder / 'sub-9_targets.tsv', GOOD)
    found = collect(images, folder)
    assert [person.name for person in found.examples] == ['sub-03']
    assert set(found.problems) == {'01', '02', '03', '9'}
    assert 'needs the columns label, x, y, z' in found.problems['01'][0]
    assert 'LA is at (0, 0, 0)' in found.problems['02'][0]
    assert found.problems['02'][1].startswith('sub-02_T1w.nii.gz: no usable point is left')


def test_bad_image(images: dict, folder: Path) -> None:
    for rater in 'ab':
        table(folder / f'sub-01_desc-{rater}_targets.tsv', GOOD)
    table(folder / 'sub-02_targets.tsv', moved(1))
    images['01'][0].path.write_bytes(b'')
    found = collect(images, folder)
    assert [person.name for person in found.examples] == ['sub-02']
    (message,) = found.problems['01']
    assert message.startswith(f'{images["01"][0].path}: ')


def test_no_agreement(images: dict, folder: Path) -> None:
    table(folder / 'sub-01_desc-a_targets.tsv', GOOD)
    table(folder / 'sub-01_desc-b_targets.tsv', moved(15))
    found = collect(images, folder)
    assert found.examples == []
    assert 'agree on no point' in found.problems['01'][0]
    wide = collect_annotated(images, folder, PROTOCOL, threshold_mm=15)
    assert wide.examples[0].points.found.all()


def test_copied_file(images: dict, folder: Path) -> None:
    table(folder / 'sub-01_targets.tsv', GOOD)
    table(folder / 'sub-02_targets.tsv', GOOD | {'M': (1, -40, 50)})
    table(folder / 'sub-03_targets.tsv', moved(1))
    found = collect(images, folder)
    assert [person.name for person in found.examples] == ['sub-03']
    assert set(found.problems) == {'01', '02'}
    assert '2 points are the very same as in' in found.problems['01'][0]


@pytest.mark.shared
@pytest.mark.parametrize(
    ('name', 'people', 'known'), [('reference', 153, 1667), ('raters', 26, 0)]
)
def test_development_annotations(name: str, people: int, known: int) -> None:
    root = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'ixi'
    if not root.is_dir():
        pytest.skip('no development images beside the checkout')
    images = find_images(ImageQuery(root)).images
    found = collect_annotated(images, root / 'derivatives' / name, load_protocol('tms'))
    assert found.problems == {}
    assert len(found.examples) == people
    statuses = Counter(found.agreements['status'])
    assert set(statuses) <= set(CONSENSUS_STATUSES)
    assert statuses['single'] == known
