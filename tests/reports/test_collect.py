from __future__ import annotations

from pathlib import Path

import pytest
from report_data import FakeOutput, make_row

from tmsprep.files import text_sha256
from tmsprep.reports.collect import collect_subject, index_subject, read_targets


def test_index(output):
    output.table('sub-01_run-1', 'cnn', [make_row('LA')])
    output.figure('sub-01_run-1', 'LA')
    output.error('sub-01_run-1_T1w', 'cnn')
    output.error('sub-01', 'input')
    FakeOutput(output.root, 'afids').table('sub-01_run-1', 'cnn', [make_row('1')])
    items = [(i.kind, i.what, i.image) for i in index_subject(output.layout, '01')]
    assert items == [
        ('table', 'cnn', 'sub-01_run-1'),
        ('figure', 'LA', 'sub-01_run-1'),
        ('error', 'input', ''),
        ('error', 'cnn', 'sub-01_run-1'),
    ]


def test_sessions_and_runs(output):
    for image in ('sub-01_ses-B_run-2', 'sub-01_ses-A_run-1', 'sub-010'):
        output.table(image, 'cnn', [make_row('LA', (1, 2, 3))], Method='cnn')
        output.figure(image, 'LA')
    output.figure('sub-01_ses-A_run-1', 'overview')
    for subject in ('01', 'sub-01'):
        results = collect_subject(output.layout, subject, output.protocol)
        assert results.subject == 'sub-01'
        names = [image.name for image in results.images]
        assert names == ['sub-01_ses-A_run-1', 'sub-01_ses-B_run-2']
    first = results.images[0]
    assert first.tables['cnn'].sidecar == {'Method': 'cnn'}
    assert first.tables['cnn'].rows[0]['x'] == '1'
    assert sorted(first.figures) == ['LA', 'overview']
    assert first.image.folder.as_posix() == 'sub-01/ses-A'


def test_errors(output):
    output.table('sub-01_run-1', 'cnn', [make_row('LA')])
    output.error('sub-01_run-1_T1w', 'n1', image='sub-01_run-1_T1w.nii.gz')
    output.error('sub-01_run-2_T1w', 'n2')
    output.error('sub-01', 'n3')
    results = collect_subject(output.layout, '01', output.protocol)
    nodes = {image.name: [e.node for e in image.errors] for image in results.images}
    assert nodes == {'sub-01_run-1': ['n1'], 'sub-01_run-2': ['n2']}
    assert [(error.node, error.cure) for error in results.errors] == [('n3', '')]


def test_one_image_failed(output):
    old = output.table('sub-01_run-1', 'cnn', [make_row('LA')])
    output.table('sub-01_run-2', 'cnn', [make_row('LA')])
    output.error('sub-01_run-1_T1w', 'conform')
    first, second = collect_subject(output.layout, '01', output.protocol).images
    assert (first.tables, first.earlier) == ({}, [old])
    assert (list(second.tables), second.earlier) == (['cnn'], [])


def test_unreadable_files(output):
    output.table('sub-01', 'cnn', [make_row('LA', (1, 2, 3))])
    broken = output.table('sub-01', 'syn', [{'label': 'LA', 'x': 1}])
    record = output.error('sub-01_T1w', 'x')
    record.write_text('{"node": ')
    results = collect_subject(output.layout, '01', output.protocol)
    assert list(results.images[0].tables) == ['cnn']
    assert len(results.problems) == 2
    assert results.problems[0].startswith(broken.name)
    assert "'hemisphere'" in results.problems[0]
    assert results.problems[1].startswith(record.name)


def test_table_that_is_not_as_written(output):
    path = output.table('sub-01', 'cnn', [make_row('LA'), make_row('LB')], SoftwareVersion='1')
    output.table('sub-01', 'syn', [make_row('LA', (1, 2, 3))])
    output.table('sub-01_run-2', 'cnn', [make_row('LA')])
    path.write_text(path.read_text().replace('LB\t', 'LA\t'))
    results = collect_subject(output.layout, '01', output.protocol)
    assert results.problems == [
        f"{path.name} cannot be used: the point 'LA' appears twice. Remove one of them."
    ]
    first, second = results.images
    assert list(first.tables) == ['syn']
    assert [why.removesuffix('level again') for why in first.damaged] == [
        f'{results.problems[0]}. Restore it, or run the participant '
    ]
    assert not second.damaged


def test_sidecar_missing(output):
    path = output.table('sub-01', 'cnn', [make_row('LA')])
    path.with_suffix('.json').write_text('[]')
    with pytest.raises(ValueError, match='not a JSON object'):
        read_targets(path)
    path.with_suffix('.json').unlink()
    with pytest.raises(OSError, match='desc-cnn_targets'):
        read_targets(path)


def test_suffix_from_sidecar(output):
    path = {'Path': 'sub-01/anat/sub-01_UNIT1.nii.gz'}
    output.table('sub-01', 'cnn', [make_row('LA')], ReferenceImage=path)
    (image,) = collect_subject(output.layout, '01', output.protocol).images
    assert (image.image.suffix, image.image.stem) == ('UNIT1', 'sub-01')


def test_nothing(output):
    results = collect_subject(output.layout, '01', output.protocol)
    assert (results.images, results.errors, results.problems) == ([], [], [])


IMAGE = 'sub-01/anat/sub-01_T1w.nii.gz'


def of_image(output, method, content):
    """Write a table of an image with this content."""
    entry = {'Path': IMAGE, 'SHA256': text_sha256(content)}
    return output.table('sub-01', method, [make_row('LA', (1, 2, 3))], ReferenceImage=entry)


def raw(root: Path, content: str) -> Path:
    """Put an image into a data set."""
    path = root / IMAGE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return root


def test_image_that_was_replaced(output, tmp_path):
    """Points of a former image are not collected, and figures may show them."""
    old = of_image(output, 'cnn', 'former')
    of_image(output, 'syn', 'present')
    own = of_image(output, 'points', 'former')
    output.figure('sub-01', 'LA')
    (image,) = collect_subject(
        output.layout, '01', output.protocol, raw(tmp_path / 'raw', 'present')
    ).images
    assert list(image.tables) == ['syn']
    assert (image.points, image.figures, image.earlier) == (None, {}, [old, own])
    assert (image.replaced, image.figures_are_older) == (IMAGE, True)
    assert image.image.relative_path.as_posix() == IMAGE


def test_image_that_is_the_same(output, tmp_path):
    of_image(output, 'cnn', 'present')
    (image,) = collect_subject(
        output.layout, '01', output.protocol, raw(tmp_path / 'raw', 'present')
    ).images
    assert (list(image.tables), image.earlier, image.replaced) == (['cnn'], [], '')


def test_image_beside_the_outputs(output):
    """Where the description of the outputs says that the data set is."""
    of_image(output, 'cnn', 'former')
    raw(output.root / 'sourcedata' / 'my raw', 'present')
    links = '{"DatasetLinks": {"raw": "sourcedata/my%20raw"}}'
    (output.root / 'dataset_description.json').write_text(links)
    (image,) = collect_subject(output.layout, '01', output.protocol).images
    assert (image.tables, image.replaced) == ({}, IMAGE)


@pytest.mark.parametrize('links', ['{"DatasetLinks": {"raw": "https://e.org/x"}}', '{"Dat', '[]'])
def test_image_that_is_not_there(output, links):
    of_image(output, 'cnn', 'former')
    (output.root / 'dataset_description.json').write_text(links)
    (image,) = collect_subject(output.layout, '01', output.protocol).images
    assert (list(image.tables), image.replaced) == (['cnn'], '')


@pytest.mark.parametrize('path', ['../secret/sub-01_T1w.nii.gz', '/dev/zero', 'a\0b', 3, None])
def test_sidecar_that_names_another_file(output, tmp_path, path):
    """Only an image at its place in the data set is read."""
    raw(tmp_path / 'secret', 'present')
    (tmp_path / 'secret' / 'sub-01_T1w.nii.gz').write_text('present')
    entry = {'Path': path, 'SHA256': text_sha256('former')}
    output.table('sub-01', 'cnn', [make_row('LA')], ReferenceImage=entry)
    (image,) = collect_subject(output.layout, '01', output.protocol, tmp_path / 'raw').images
    assert (list(image.tables), image.replaced) == (['cnn'], '')
