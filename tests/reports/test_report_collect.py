from __future__ import annotations

import pytest

from tmsprep.reports.collect import collect_subject, read_targets


def test_sessions_and_runs_are_kept_apart_and_other_people_left_out(output, row):
    for image in ('sub-01_ses-B_run-2', 'sub-01_ses-A_run-1', 'sub-010'):
        output.table(image, 'cnn', [row('LA', (1, 2, 3))], Method='cnn')
        output.figure(image, 'LA')
    output.figure('sub-01_ses-A_run-1', 'overview')
    for subject in ('01', 'sub-01'):
        results = collect_subject(output.root, subject)
        assert results.subject == 'sub-01'
        assert [image.name for image in results.images] == [
            'sub-01_ses-A_run-1',
            'sub-01_ses-B_run-2',
        ]
    first = results.images[0]
    assert first.tables['cnn'].sidecar == {'Method': 'cnn'}
    assert first.tables['cnn'].rows[0]['x'] == '1'
    assert sorted(first.figures) == ['LA', 'overview']


def test_errors_go_to_the_image_they_name(output, row):
    output.table('sub-01_run-1', 'cnn', [row('LA')])
    output.error('sub-01', 'a', node='n1', image='/in/sub-01/anat/sub-01_run-1_T1w.nii.gz')
    output.error('sub-01', 'b', node='n2', image='sub-01_run-2_T1w.nii')
    output.error('sub-01', 'c', node='n3', image='')
    output.error('sub-01', 'd', node='n4')
    results = collect_subject(output.root, '01')
    nodes = {image.name: [e.node for e in image.errors] for image in results.images}
    assert nodes == {'sub-01_run-1': ['n1'], 'sub-01_run-2': ['n2']}
    assert [error.node for error in results.errors] == ['n3', 'n4']
    assert results.errors[0].cure == ''


def test_an_image_that_failed_leaves_the_other_images_alone(output, row):
    old = output.table('sub-01_run-1', 'cnn', [row('LA')])
    output.table('sub-01_run-2', 'cnn', [row('LA')])
    output.error('sub-01', 'a', node='conform', image='sub-01_run-1_T1w.nii.gz')
    first, second = collect_subject(output.root, '01').images
    assert (first.tables, first.earlier) == ({}, [old])
    assert (list(second.tables), second.earlier) == (['cnn'], [])


def test_an_unreadable_file_is_named_and_hides_nothing(output, row):
    output.table('sub-01', 'cnn', [row('LA', (1, 2, 3))])
    broken = output.table('sub-01', 'syn', [{'label': 'LA', 'x': 1}])
    (output.root / 'logs' / 'sub-01').mkdir(parents=True)
    (output.root / 'logs' / 'sub-01' / 'x.error.json').write_text('{"node": ')
    results = collect_subject(output.root, '01')
    assert list(results.images[0].tables) == ['cnn']
    assert len(results.problems) == 2
    assert results.problems[0].startswith(broken.name)
    assert "'hemisphere'" in results.problems[0]
    assert results.problems[1].startswith('x.error.json')


def test_a_table_needs_its_sidecar(output, row):
    path = output.table('sub-01', 'cnn', [row('LA')])
    path.with_suffix('.json').write_text('[]')
    with pytest.raises(ValueError, match='not a JSON object'):
        read_targets(path)
    path.with_suffix('.json').unlink()
    with pytest.raises(OSError, match='desc-cnn_targets'):
        read_targets(path)


def test_nothing_there_is_nothing(output):
    results = collect_subject(output.root, '01')
    assert (results.images, results.errors, results.problems) == ([], [], [])
