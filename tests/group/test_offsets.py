"""The registration with offsets of other participants, against offsets that were put in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation

from tmsprep.cli.run import main
from tmsprep.group.analysis import Group
from tmsprep.methods import get_method
from tmsprep.methods.resources import ResourceError
from tmsprep.methods.syn.group import with_offsets
from tmsprep.methods.syn.offsets import shifted
from tmsprep.points import PointSet
from tmsprep.registration.frames import write_linear
from tmsprep.registration.transforms import move_coordinates

if TYPE_CHECKING:
    from conftest import Study

ATLAS = 'MNI152NLin2009aSym'

# mm, in the atlas: where the raters put the target, seen from the point of the atlas.
OFFSET = {'LA': (4.0, -3, 0), 'RA': (-4.0, -3, 0), 'M': (0.0, 0, 5)}


def head(number: int) -> np.ndarray:
    """Matrix that moves points of the atlas to a head: turned, larger, shifted."""
    turned = Rotation.from_euler('xyz', [3 * number, -5, 6 * number], degrees=True)
    return from_matvec((1 + 0.02 * number) * turned.as_matrix(), [number, -5, 2])


def moved(matrix: np.ndarray, points: dict[str, tuple]) -> dict[str, tuple]:
    return {label: tuple(apply_affine(matrix, point)) for label, point in points.items()}


def register(study: Study, number: int, **name: str) -> None:
    """Write points by the atlas and what its registration leaves, and a rater with offsets."""
    stem, matrix = f'sub-{number:02d}', head(number)
    image = study.outputs(stem, cnn={}, syn=moved(matrix, study.truth))
    path = study.layout.table(image, 'syn').with_suffix('.json')
    path.write_text(json.dumps({**json.loads(path.read_text()), 'Atlas': {'Name': ATLAS, **name}}))
    for spaces, way in (('T1w', ATLAS), matrix), ((ATLAS, 'T1w'), np.linalg.inv(matrix)):
        names = {'from': spaces[0], 'to': spaces[1], 'mode': 'image'}
        write_linear(way, study.layout.derivative(image, 'xfm', '.h5', **names))
    places = {label: np.add(point, OFFSET[label]) for label, point in study.truth.items()}
    study.rater(stem, 'ann', moved(matrix, places))


@pytest.fixture
def registered(study: Study) -> Callable[[int], Study]:
    def make(number: int) -> Study:
        for i in range(1, number + 1):
            register(study, i)
        return study

    return make


def extend(study: Study) -> tuple[Group, pd.DataFrame]:
    """Return the group with offsets, and its new rows by image and label."""
    # Not in a process of its own, which takes seconds to start.
    group = with_offsets('syn', study.collect(), move_coordinates)
    rows = group.points[group.points['method'] == 'syn+offset']
    return group, rows.set_index(['image', 'label'])


def distances(group: Group, method: str) -> np.ndarray:
    """From the consensus, mm: one row per image."""
    found = group.points[group.points['method'] == method].sort_values(['image', 'label'])
    other = group.points[group.points['method'] == 'consensus'].sort_values(['image', 'label'])
    apart = found[['x', 'y', 'z']].to_numpy() - other[['x', 'y', 'z']].to_numpy()
    return np.linalg.norm(apart, axis=1).reshape(-1, 3)


def test_offset_in_the_atlas(registered: Callable[[int], Study]) -> None:
    """The same vector in the atlas is another one in each head, and is found in all."""
    group, rows = extend(registered(4))
    # 5 mm in the atlas are 5.1 to 5.4 mm in the heads, which are larger.
    larger = 5 * np.array([1.02, 1.04, 1.06, 1.08])
    expected = np.repeat(larger[:, None], 3, axis=1)
    np.testing.assert_allclose(distances(group, 'syn'), expected, atol=0.01)
    np.testing.assert_allclose(distances(group, 'syn+offset'), 0, atol=0.01)
    assert set(rows['status']) == {'shifted'}
    assert group.points['method'].unique().tolist() == [
        *('cnn', 'syn', 'syn+offset', 'rater-ann', 'consensus')
    ]


def test_judged_participant_has_no_part(registered: Callable[[int], Study]) -> None:
    """A rater of one participant who places a target elsewhere moves it in the others alone."""
    study = registered(4)
    study.rater('sub-01', 'ann', moved(head(1), {'LA': (-26.0, 7, 32), 'M': (0.0, -40, 55)}))
    _, rows = extend(study)
    own = apply_affine(head(1), np.add(study.truth['LA'], OFFSET['LA']))
    np.testing.assert_allclose(
        rows.loc[('sub-01', 'LA'), ['x', 'y', 'z']].tolist(), own, atol=0.01
    )
    # 12 mm higher in one of three others.
    other = apply_affine(head(2), np.add(study.truth['LA'], (4, -3, 4)))
    np.testing.assert_allclose(
        rows.loc[('sub-02', 'LA'), ['x', 'y', 'z']].tolist(), other, atol=0.01
    )


def test_too_few(registered: Callable[[int], Study]) -> None:
    """A target with three references is moved where the participant has none."""
    study = registered(4)
    places = {k: np.add(study.truth[k], OFFSET[k]) for k in ('LA', 'RA')}
    study.rater('sub-04', 'ann', moved(head(4), places))
    group, rows = extend(study)
    assert rows['status'].xs('M', level='label').tolist() == [*['not_shifted'] * 3, 'shifted']
    assert set(rows['status'].drop(index='M', level='label')) == {'shifted'}
    np.testing.assert_allclose(
        rows.loc[('sub-01', 'M'), ['x', 'y', 'z']].tolist(),
        apply_affine(head(1), study.truth['M']),
        atol=0.01,
    )
    said = [(i.who, i.severity) for i in group.issues if 'syn+offset' in i.message]
    assert said == [(f'sub-0{n}', 'note') for n in (1, 2, 3)]
    assert 'M as by syn' in group.issues[-1].message


def test_three_participants(registered: Callable[[int], Study]) -> None:
    group, rows = extend(registered(3))
    assert rows.empty
    assert 'in 4 participants, and there are 3' in group.issues[-1].message


def test_without_transforms(registered: Callable[[int], Study]) -> None:
    """The mean vector of the others along the axes of the images, and it is said so."""
    study = registered(5)
    for path in study.out.rglob('sub-05*_xfm.h5'):
        path.unlink()
    for path in study.out.rglob('sub-04*from-T1w*_xfm.h5'):
        path.write_text('damaged')
    group, rows = extend(study)
    statuses = rows['status'].xs('LA', level='label').tolist()
    assert statuses == ['shifted', 'shifted', 'shifted', 'shifted_in_image', 'shifted_in_image']
    vectors = [head(n)[:3, :3] @ OFFSET['LA'] for n in (1, 2, 3, 4)]
    expected = apply_affine(head(5), study.truth['LA']) + np.mean(vectors, axis=0)
    np.testing.assert_allclose(
        rows.loc[('sub-05', 'LA'), ['x', 'y', 'z']].tolist(), expected, atol=0.01
    )
    said = {i.who: (i.severity, i.message) for i in group.issues if 'axes of' in i.message}
    assert said['sub-05'][0] == 'note'
    assert 'the outputs lack the transforms' in said['sub-05'][1]
    assert said['sub-04'][0] == 'warning'


def test_another_atlas_apart(registered: Callable[[int], Study]) -> None:
    """Points of another atlas image of the same name say nothing about this one."""
    study = registered(4)
    register(study, 5, SHA256='other')
    _, rows = extend(study)
    assert rows['status'].xs('LA', level='label').tolist() == [*['shifted'] * 4, 'not_shifted']


def test_no_raters(study: Study) -> None:
    register(study, 1)
    group = study.collect(annotated=False)
    assert get_method('syn').extend_group(group) is group


def test_in_tables_and_report(registered: Callable[[int], Study]) -> None:
    study = registered(4)
    line = [study.bids, study.out, 'group', '--protocol', study.protocol_file]
    assert main([str(word) for word in (*line, '--annotations', study.points)]) == 0

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(study.layout.level('group', name), sep='\t')

    errors = read('errors').groupby('method')['error_mm'].mean()
    assert errors['syn'] == pytest.approx(5.25, abs=0.01)
    assert errors['syn+offset'] == pytest.approx(0, abs=0.01)
    two = read('table2').query('label == "MEAN"').set_index('column')
    assert two.loc['Reg. + Offset Error', 'mean_mm'] == pytest.approx(0, abs=0.01)
    three = read('table3').query('label == "MEAN" and column == "Reg. vs. Reg. + Offset"')
    assert three['winner'].tolist() == ['syn+offset']
    assert three['difference_mm'].tolist() == pytest.approx([5.25], abs=0.01)
    sidecar = json.loads(study.layout.level('group', 'targets', '.json').read_text())
    assert {'shifted', 'shifted_in_image', 'not_shifted'} <= set(sidecar['status']['Levels'])
    report = study.layout.level('group', extension='.html').read_text()
    assert 'Atlas (SyN) + offset' in report
    assert 'A fair opponent has that vector too' in report


@pytest.fixture
def trained(registered: Callable[[int], Study]) -> Callable[..., tuple[Study, list[str]]]:
    """Return a study whose protocol has an atlas, and the command that trains its offsets."""

    def make(number: int) -> tuple[Study, list[str]]:
        study = registered(number)
        rows = [f'{label}\t{x}\t{y}\t{z}\n' for label, (x, y, z) in study.truth.items()]
        (study.protocol_file.parent / 'toy.tsv').write_text('label\tx\ty\tz\n' + ''.join(rows))
        text = study.protocol_file.read_text()
        atlas = f'[atlas]\nimage = "{ATLAS}"\npoints = "toy.tsv"\n'
        study.protocol_file.write_text(text.replace('[[targets]]', f'{atlas}[[targets]]', 1))
        line = [study.bids, study.out, 'train', '--protocol', study.protocol_file]
        line += ['--annotations', study.points, '--localizers', 'syn', '-w', study.out / 'work']
        return study, [str(word) for word in line]

    return make


def test_train(
    trained: Callable[..., tuple[Study, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The offsets that were put in come out, and move the points of the atlas."""
    study, line = trained(4)
    path = study.layout.level('train', 'offsets')
    assert main([*line, '--dry-run']) == 0
    assert not path.exists()
    assert main([*line, '--steps', '7']) == 0
    assert '--steps: not used, as syn is trained' in capsys.readouterr().err
    table = pd.read_csv(path, sep='\t').set_index('label')
    for label, offset in OFFSET.items():
        found = table.loc[label, ['offset_x', 'offset_y', 'offset_z']].tolist()
        assert found == pytest.approx(offset, abs=0.01)
    assert table['people'].tolist() == [4, 4, 4]
    np.testing.assert_allclose(table[['before_mm', 'after_mm']], [[5, 0]] * 3, atol=0.01)
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert sidecar['MeanBefore'] == pytest.approx(5, abs=0.01)
    assert sidecar['TargetsNotHelped'] == []
    options = {'atlas_offsets': path}
    found = get_method('syn').resources(study.protocol, options)['offsets']
    assert found['participants'] == 4
    atlas = PointSet.from_mapping(study.truth)
    places = {label: np.add(study.truth[label], OFFSET[label]) for label in study.truth}
    expected = PointSet.from_mapping(places).coordinates
    np.testing.assert_allclose(shifted(atlas, found).coordinates, expected, atol=0.01)
    # Other points of the atlas: the offsets are not theirs.
    (study.protocol_file.parent / 'toy.tsv').write_text('label\tx\ty\tz\nLA\t1\t2\t3\n')
    with pytest.raises(ResourceError, match='made for another atlas'):
        get_method('syn').resources(study.protocol, options)


def test_train_without_use(
    trained: Callable[..., tuple[Study, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Raters on alternating sides of a target have a mean offset that helps nobody."""
    study, line = trained(4)
    for number, side in enumerate((1, -1, 1, -1), 1):
        apart = {'M': (6 * side, 0, 0), 'LA': (4, 0, 0)}
        places = {label: np.add(study.truth[label], mm) for label, mm in apart.items()}
        study.rater(f'sub-{number:02d}', 'ann', moved(head(number), places))
    assert main(line) == 0
    table = pd.read_csv(study.layout.level('train', 'offsets'), sep='\t').set_index('label')
    # The mean of the others lies 2 mm on the other side.
    assert table.loc['M', ['before_mm', 'after_mm']].tolist() == pytest.approx([6, 8], abs=0.01)
    assert table.loc['RA'].isna().sum() == 6
    log = capsys.readouterr().err
    assert 'all: M: the offset does not help' in log
    assert 'RA: no offset, as not more than 3 participants' in log
    assert 'the offsets help: mean 5.00 mm before, 4.00 mm after' in log


def test_train_with_too_few(
    trained: Callable[..., tuple[Study, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    study, line = trained(3)
    assert main(line) != 0
    assert '3 participants with points of raters' in capsys.readouterr().err
    assert not study.layout.level('train', 'offsets').exists()


def test_offsets_of_the_same_people(registered: Callable[[int], Study]) -> None:
    """The group level warns of points that were moved by offsets before."""
    study = registered(1)
    (path,) = study.out.rglob('*desc-syn_targets.json')
    entry = {'AtlasOffsets': {'File': 'offsets.tsv'}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **entry}))
    group, _ = extend(study)
    said = [i for i in group.issues if 'points have the offsets of offsets.tsv' in i.message]
    assert [(i.who, i.severity) for i in said] == [('sub-01', 'warning')]
