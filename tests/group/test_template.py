"""Points on the glass brain, against transforms that are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.run import main
from tmsprep.group.analysis import GroupRequest
from tmsprep.group.collect import collect_group
from tmsprep.group.template import InTemplate, template_points
from tmsprep.methods import methods_of
from tmsprep.phantoms import write_dataset
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.frames import write_linear

if TYPE_CHECKING:
    from conftest import Study

ATLAS = 'MNI152NLin2009aSym'
TO_TEMPLATE, FROM_TEMPLATE = (ATLAS, 'T1w'), ('T1w', ATLAS)

# Moves points of the T1w to the template: a quarter turn about z, a tenth larger, and a shift.
MOTION = np.array([[0, -1.1, 0, 5], [1.1, 0, 0, -7], [0, 0, 1.1, 11], [0, 0, 0, 1.0]])


def transform_path(study: Study, image: ImageRef, spaces: tuple[str, str]) -> Path:
    names = {'from': spaces[0], 'to': spaces[1], 'mode': 'image'}
    return study.layout.derivative(image, 'xfm', '.h5', **names)


def name_atlas(study: Study, image: ImageRef, atlas: str) -> None:
    path = study.layout.table(image, 'syn').with_suffix('.json')
    content = {**json.loads(path.read_text()), 'Atlas': {'Name': atlas}}
    path.write_text(json.dumps(content))


def register(study: Study, stem: str, motion: np.ndarray = MOTION) -> ImageRef:
    """Write what a registration with the default atlas leaves, both ways."""
    image = study.outputs(stem, cnn=study.moved((0, 0, 3)), syn=study.moved((4, 0, 0)))
    name_atlas(study, image, ATLAS)
    write_linear(motion, transform_path(study, image, TO_TEMPLATE))
    write_linear(np.linalg.inv(motion), transform_path(study, image, FROM_TEMPLATE))
    return image


def moved(study: Study, *, annotated: bool = False) -> InTemplate:
    return template_points(study.collect(annotated=annotated))


def said(result: InTemplate) -> list[tuple[str, str]]:
    return [(issue.who, issue.severity) for issue in result.issues]


def test_known_motion(study: Study) -> None:
    register(study, 'sub-01')
    register(study, 'sub-02_ses-A', np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 9)
    study.rater('sub-01', 'ann', study.truth)
    result = moved(study, annotated=True)
    assert result.space == ATLAS
    assert result.issues == []
    table = result.points.set_index(['image', 'method', 'label'])[['x', 'y', 'z']]
    # LA is (-30, 10, 20): turned (-10, -30, 20), larger (-11, -33, 22), shifted by (5, -7, 11).
    expected = {
        ('sub-01', 'rater-ann', 'LA'): (-6, -40, 33),
        ('sub-01', 'consensus', 'LA'): (-6, -40, 33),
        ('sub-01', 'cnn', 'LA'): (-6, -40, 36.3),
        ('sub-01', 'syn', 'LA'): (-6, -35.6, 33),
        ('sub-01', 'cnn', 'M'): (49, -7, 69.3),
        ('sub-02_ses-A', 'cnn', 'LA'): (-21, 10, 23),
        ('sub-02_ses-A', 'syn', 'RA'): (44, 11, 20),
    }
    for key, point in expected.items():
        np.testing.assert_allclose(table.loc[key], point, atol=0.05)
    assert len(table) == 4 * 3 + 2 * 3


def test_raters_beside_stated_points(study: Study) -> None:
    """As in tables of the participant level, which state where their points are there."""
    register(study, 'sub-01')
    study.rater('sub-01', 'ann', study.truth)
    group = study.collect()
    points = group.points.copy()
    methods = points['method'].isin(['cnn', 'syn'])
    points.loc[methods, ['mni_x', 'mni_y', 'mni_z']] = 1.0
    atlas = replace(group.request.protocol, atlas={'image': ATLAS, 'points': ''})
    request = replace(group.request, protocol=atlas)
    result = template_points(replace(group, points=points, request=request))
    assert result.issues == []
    table = result.points.set_index(['method', 'label'])[['x', 'y', 'z']]
    assert table.loc['syn', 'LA'].tolist() == [1, 1, 1]
    np.testing.assert_allclose(table.loc['rater-ann', 'LA'], (-6, -40, 33), atol=0.05)
    assert len(table) == 4 * 3


def test_warp_and_affine(study: Study) -> None:
    """As registrations write them; the field is 2 mm to the left everywhere (LPS: +2)."""
    import ants

    image = register(study, 'sub-01')
    field = np.zeros((30, 30, 30, 3), np.float32)
    field[..., 0] = 2
    vectors = ants.from_numpy(field, (-150.0,) * 3, (10.0,) * 3, has_components=True)
    warp = ants.transform_from_displacement_field(vectors)
    path = transform_path(study, image, TO_TEMPLATE)
    linear = ants.read_transform(str(path))
    ants.write_transform(ants.compose_ants_transforms([warp, linear]), str(path))
    table = moved(study).points.set_index(['method', 'label'])[['x', 'y', 'z']]
    # -2 mm along x before the quarter turn is -2.2 mm along y after it.
    np.testing.assert_allclose(table.loc['cnn', 'LA'], (-6, -42.2, 36.3), atol=0.05)


def test_missing_points(study: Study) -> None:
    image = register(study, 'sub-01')
    study.outputs('sub-01', cnn={'LA': (1, 2, 3)}, syn=study.truth)
    name_atlas(study, image, ATLAS)
    result = moved(study)
    assert result.points['method'].value_counts().to_dict() == {'syn': 3, 'cnn': 1}
    assert result.points[['x', 'y', 'z']].notna().all(axis=None)


def test_no_registration(study: Study) -> None:
    register(study, 'sub-01')
    study.outputs('sub-02', cnn=study.truth)
    study.outputs('sub-03_ses-A', cnn=study.truth)
    study.outputs('sub-03_ses-B', cnn=study.truth)
    study.rater('sub-04', 'ann', study.truth)
    (study.bids / 'sub-04').mkdir()
    result = moved(study, annotated=True)
    assert set(result.points['participant_id']) == {'sub-01'}
    assert said(result) == [('sub-02', 'note'), ('sub-03', 'note'), ('sub-04', 'note')]
    assert 'no registration to MNI152NLin2009aSym' in result.issues[0].message


def test_no_registration_at_all(study: Study) -> None:
    study.outputs('sub-01', cnn=study.truth, syn=study.truth)
    assert moved(study) == (None, ATLAS, [])


def test_other_atlas_or_image(study: Study) -> None:
    register(study, 'sub-01')
    name_atlas(study, register(study, 'sub-02'), 'atlas')
    # The image was replaced, and only the network has run on the new one.
    replaced = register(study, 'sub-03')
    for ending in ('.tsv', '.json'):
        study.layout.table(replaced, 'syn').with_suffix(ending).unlink()
    failed = study.outputs('sub-04', cnn=study.truth, syn={})
    name_atlas(study, failed, ATLAS)
    write_linear(MOTION, transform_path(study, failed, TO_TEMPLATE))
    result = moved(study)
    assert set(result.points['participant_id']) == {'sub-01'}
    assert said(result) == [('sub-02', 'note'), ('sub-03', 'note'), ('sub-04', 'note')]


def test_damaged_transform(study: Study) -> None:
    import ants

    register(study, 'sub-01')
    path = transform_path(study, register(study, 'sub-02'), TO_TEMPLATE)
    field = ants.from_numpy(
        np.zeros((9, 9, 9, 3), np.float32), (0.0,) * 3, (1.0,) * 3, has_components=True
    )
    warp = ants.transform_from_displacement_field(field)
    ants.write_transform(ants.compose_ants_transforms([warp]), str(path))
    path.write_bytes(path.read_bytes()[:-1000])
    transform_path(study, register(study, 'sub-03'), TO_TEMPLATE).write_text('not a transform')
    result = moved(study)
    assert set(result.points['participant_id']) == {'sub-01'}
    assert said(result) == [('sub-02', 'warning'), ('sub-03', 'warning')]
    assert str(path) in result.issues[0].message
    assert 'register again' in result.issues[0].message


def test_in_report(full: Callable[[], Study], capsys: pytest.CaptureFixture[str]) -> None:
    study = full()
    line = [study.bids, study.out, 'group', '--protocol', study.protocol_file]
    assert main([str(word) for word in line]) == 0
    path = study.out / 'group_protocol-toy.html'
    assert 'in the space MNI152NLin2009aSym' not in path.read_text()
    register(study, 'sub-01')
    assert main([str(word) for word in line]) == 0
    report = path.read_text()
    assert 'Points of all participants in the space MNI152NLin2009aSym' in report
    assert 'sub-02: an image has no registration' in capsys.readouterr().err
    table = pd.read_csv(study.layout.level('group', 'participants'), sep='\t')
    assert table['outcome'].tolist() == ['complete', 'complete']


@pytest.mark.slow
def test_real_registration(tmp_path: Path, tmsprep: Callable) -> None:
    data_set = write_dataset(tmp_path / 'bids', [2], ['007'], voxel_size=(2.0, 2.0, 2.0))
    out = tmp_path / 'out'
    options = ('--sloppy', '--localizers', 'syn', '-w', tmp_path / 'work')
    done = tmsprep(data_set, out, 'participant', *options)
    assert done.returncode == 0, done.stderr
    protocol = load_protocol('tms')
    methods = tuple(methods_of(protocol))
    request = GroupRequest(Layout(out, 'tms'), protocol, methods, data_set)
    table = template_points(collect_group(request)).points.set_index('label')
    atlas = default_atlas(protocol).points.reindex(list(table.index))
    apart = np.linalg.norm(table[['x', 'y', 'z']].to_numpy() - atlas.coordinates, axis=1)
    assert apart.max() < 0.5
    assert tmsprep(data_set, out, 'group').returncode == 0
    assert 'in the space MNI152NLin2009aSym' in (out / 'group_protocol-tms.html').read_text()


def test_many_images(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ('01', '02', '03', '04', '05'):
        register(study, f'sub-{label}')
    monkeypatch.setattr('tmsprep.group.template.MOST_IMAGES', 3)
    result = moved(study)
    assert result.points['participant_id'].unique().tolist() == ['sub-01', 'sub-03', 'sub-05']
    assert said(result) == [('all', 'note')]
    assert 'shows 3 of 5 images' in result.issues[0].message
