from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from formats.marker_data import GOOD, POSE, SHAPE, header, oblique
from report_data import HOSTILE, FakeOutput, Page

from tmsprep.bids.description import write_dataset_description
from tmsprep.bids.names import Layout
from tmsprep.derivatives.outdated import delete_outdated
from tmsprep.export.files import README, export_subject, write_checked
from tmsprep.files import file_sha256
from tmsprep.formats import PointsFileError
from tmsprep.formats.markers import Marker
from tmsprep.formats.navigators import plan_slicer
from tmsprep.formats.sheet import read_sheet, write_sheet
from tmsprep.formats.slicer import read_markups
from tmsprep.imaging.forms import Forms
from tmsprep.reports.collect import collect_subject
from tmsprep.reports.navigation import MANIFEST, read_manifest
from tmsprep.tables import read_json

POINTS = {
    'LDLPFC': ((-40.0, 30.0, 35.0), 'ok'),
    'RDLPFC': ((40.0, 30.0, 35.0), 'near_edge'),
    'LOFC': (None, 'failed'),
    'ROFC': ((29.0, 36.5, -14.0), 'wrong_side'),
}


def rows(points: Mapping[str, Any] = POINTS) -> list[dict[str, Any]]:
    table = []
    for label, (point, status) in points.items():
        place = dict(zip('xyz', point or ('n/a',) * 3, strict=True))
        table.append({'label': label, 'hemisphere': label[0], 'region': label, **place})
        table[-1] |= {'status': status, 'error90_mm': 4.5 if status == 'ok' else 'n/a'}
    return table


def reference(codes: tuple[int, int] | None = (1, 1), sha256: str = 'abc') -> dict[str, Any]:
    forms = {} if codes is None else Forms.of_header(header(*codes)).entries()
    entry = {'Path': 'sub-01/anat/sub-01_T1w.nii.gz', 'Shape': SHAPE, 'SHA256': sha256}
    return {'ReferenceImage': {**entry, 'Affine': oblique().tolist(), **forms}}


def output(root: Path, **sidecar: Any) -> FakeOutput:
    fake = FakeOutput(root)
    fake.table('sub-01', 'cnn', rows(), **{'SoftwareVersion': '1', **reference(), **sidecar})
    return fake


def export(fake: FakeOutput) -> Path:
    (folder,) = export_subject(fake.layout, fake.protocol, '01')
    return folder


def names(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    return {name.replace(folder.name, '*') for name in found}


def test_manifest(tmp_path: Path) -> None:
    fake = output(tmp_path)
    folder = export(fake)
    assert folder == tmp_path / 'sub-01' / 'nav' / 'sub-01_protocol-tms'
    (image,) = collect_subject(fake.layout, '01', fake.protocol).images
    manifest = read_manifest(fake.layout, image)
    assert [point['Label'] for point in manifest['Points']] == ['LDLPFC', 'RDLPFC']
    assert manifest['Points'][0]['Position'] == [-40, 30, 35]
    assert set(manifest['Missing']) == {'LOFC', 'ROFC'}
    assert manifest['Marked'] == ['RDLPFC']
    listed = {file['Path'] for file in manifest['Files']}
    beside = {README, MANIFEST, 'nibs-bids/sub-01_task-plan_markers.json'}
    beside |= {'nibs-bids/sub-01_task-plan_coordsystem.json'}
    assert {name.replace('*', folder.name) for name in names(folder)} == listed | beside
    assert all(file['Difference_mm'] <= 0.001 for file in manifest['Files'])
    assert {left['System'] for left in manifest['LeftOut']} == {
        'Localite TMS Navigator, InstrumentMarker',
        'Localite TMS Navigator, EntryTarget',
        'ANT visor2',
    }
    text = (folder / README).read_text()
    assert 'Not written for ANT visor2: no pose of the coil is known.' in text
    assert re.search(r'Look at: RDLPFC \(check: near_edge\)', text)
    assert re.search(r'No point: ROFC .*other side', text)


def test_wrong_points_are_no_numbers(tmp_path: Path) -> None:
    """The point on the wrong side stands in the table, and in no file."""
    folder = export(output(tmp_path))
    for path in folder.rglob('*.*'):
        assert '36.5' not in path.read_text(), path
    points = read_markups(folder / f'{folder.name}_slicer.mrk.json')
    assert not points.found[points.labels.index('ROFC')]


def test_coil(tmp_path: Path) -> None:
    """Entry, normal and handle of a coil above the vertex make its pose, 4 mm from the scalp."""
    fake = FakeOutput(tmp_path)
    table = rows({'LDLPFC': ((-10.0, 20.0, 70.5), 'ok'), 'LOFC': ((-29.0, 36.0, -14.0), 'ok')})
    for name, vector in (('entry', (-10, 20, 90)), ('normal', (0, 0, 1)), ('handle', (0, -1, 0))):
        table[0] |= {f'{name}_{axis}': value for axis, value in zip('xyz', vector, strict=True)}
        table[1] |= {f'{name}_{axis}': 'n/a' for axis in 'xyz'}
    fake.table('sub-01', 'cnn', table, **reference())
    folder = export(fake)
    left = [entry['System'] for entry in read_json(folder / MANIFEST)['LeftOut']]
    assert all(system.startswith('LOFC in ') for system in left)
    (coil,) = read_json(folder / f'{folder.name}_visor2.mrk')['TargetMarkers']
    np.testing.assert_allclose(coil['CoilTarget']['CoilPose']['RigidTransformMatrix4x4'], POSE)
    page = Page(folder / f'{folder.name}_sheet.html')
    assert page.numbers[-6:-3] == ['-10.0000', '20.0000', '90.0000']
    assert page.numbers[-3:] == ['10.0000', '-20.0000', '90.0000']


def test_doubtful_and_missing_entries(tmp_path: Path) -> None:
    """What the sidecar says of entries is said with the files."""
    fake = FakeOutput(tmp_path)
    table = rows({'LDLPFC': ((-10.0, 20.0, 70.5), 'ok'), 'LOFC': ((-29.0, 36.0, -14.0), 'ok')})
    for name, vector in (('entry', (-10, 20, 90)), ('normal', (0, 0, 1)), ('handle', (0, -1, 0))):
        table[0] |= {f'{name}_{axis}': value for axis, value in zip('xyz', vector, strict=True)}
        table[1] |= {f'{name}_{axis}': 'n/a' for axis in 'xyz'}
    scalp = {'Missing': {'LOFC': 'defaced\nhere'}, 'Unusual': {'LDLPFC': '2 mm from the scalp'}}
    fake.table('sub-01', 'cnn', table, Scalp=scalp, **reference())
    folder = export(fake)
    manifest = read_json(folder / MANIFEST)
    assert manifest['Marked'] == ['LDLPFC']
    assert 'LDLPFC (check: entry)' in (folder / f'{folder.name}_visor2.mrk').read_text()
    assert 'entry: 2 mm from the scalp.' in (folder / README).read_text()
    for left in manifest['LeftOut']:
        assert left['Reason'].endswith(r' is known (defaced\nhere)')


def test_same_bytes(tmp_path: Path) -> None:
    fake = output(tmp_path)
    folder = export(fake)
    first = {path: path.read_bytes() for path in folder.rglob('*.*')}
    assert {path: path.read_bytes() for path in export(fake).rglob('*.*')} == first


def test_no_qform(tmp_path: Path) -> None:
    folder = export(output(tmp_path, **reference((0, 2))))
    text = (folder / f'{folder.name}_brainsight-v14.txt').read_text()
    assert '# Coordinate system: NIfTI:S:Aligned\n' in text
    left = {entry['System']: entry['Reason'] for entry in read_json(folder / MANIFEST)['LeftOut']}
    assert 'qform_code is 0' in left['Readers of Brainsight text that want NIfTI:Q']
    assert 'qform_code is 0' in left['ANT visor2']


def raw_image(bids_dir: Path) -> Path:
    path = bids_dir / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    data = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    nib.save(nib.Nifti1Image(data, None, header(1, 1)), path)
    return path


def test_outputs_of_an_early_version(tmp_path: Path) -> None:
    """Their sidecars say no codes, which are read from the image if it is there."""
    raw = raw_image(tmp_path / 'raw')
    fake = output(tmp_path / 'out', **reference(None, file_sha256(raw)))
    write_dataset_description(tmp_path / 'out', tmp_path / 'raw', fake.protocol)
    assert '*_brainsight-v14.txt' in names(export(fake))
    raw.unlink()
    assert names(export(fake)) == {
        *(README, MANIFEST, '*_slicer.mrk.json', '*_invesalius.mkss', '*_navinibs.json'),
        *('*_sheet.html', 'nibs-bids/sub-01_task-plan_coordsystem.json'),
        *('nibs-bids/sub-01_task-plan_markers.tsv', 'nibs-bids/sub-01_task-plan_markers.json'),
    }
    assert (
        'codes of the header are not known'
        in (tmp_path / 'out' / 'sub-01' / 'nav' / 'sub-01_protocol-tms' / README).read_text()
    )


def test_image_that_was_replaced(tmp_path: Path) -> None:
    """No files of the points of the former image, though its header says all."""
    fake = output(tmp_path / 'out', **reference(sha256='of the former image'))
    folder = export(fake)
    raw_image(tmp_path / 'raw')
    with pytest.raises(PointsFileError, match=r'sub-01_T1w\.nii\.gz was replaced: its checksum'):
        export_subject(fake.layout, fake.protocol, '01', tmp_path / 'raw')
    assert not folder.exists()


def test_methods_in_files_of_their_own(tmp_path: Path) -> None:
    """The other method's points are in no file that a navigator takes for the recommended ones."""
    fake = output(tmp_path)
    other = {'LDLPFC': ((-40.75, 30.0, 35.0), 'ok'), 'LOFC': ((-25.0, 36.0, -14.0), 'ok')}
    fake.table('sub-01', 'syn', rows(other), SoftwareVersion='1', **reference())
    folder = export(fake)
    points = read_markups(folder / 'slicer-methods' / f'{folder.name}_desc-syn.mrk.json')
    np.testing.assert_array_equal(points['LDLPFC'], [-40.75, 30, 35])
    for path in folder.rglob('*.*'):
        assert ('40.75' in path.read_text()) is ('desc-syn' in path.name), path
    # The first method has no point here, so the other one's is recommended.
    (place,) = (p for p in read_json(folder / MANIFEST)['Points'] if p['Label'] == 'LOFC')
    assert place['Method'] != 'LOFC'
    assert '-25.0000' in (folder / f'{folder.name}_brainsight-v14.txt').read_text()


def test_given_points(tmp_path: Path) -> None:
    """Points that the user gave in a template go with the recommended ones."""
    fake = output(tmp_path)
    given = {'SMA': ((1.5, -6.25, 58.0), 'ok'), 'PMC': ((-18.0, -8.0, 60.0), 'off_cortex')}
    space = {'PointSpace': {'Name': 'MNI152NLin6Asym'}}
    path = fake.table('sub-01', 'points', rows(given), **space, **reference())
    text = (export(fake) / README).read_text()
    assert 'Given in MNI152NLin6Asym by --point or --points: SMA, PMC. They are of' in text
    assert f'delete {path.name} and export again' in text
    manifest = read_json(export(fake) / MANIFEST)
    assert [point['Label'] for point in manifest['Points']][-2:] == ['SMA', 'PMC']
    assert manifest['Marked'] == ['RDLPFC', 'PMC']
    for file in manifest['Files']:
        text = (tmp_path / 'sub-01' / 'nav' / 'sub-01_protocol-tms' / file['Path']).read_text()
        assert ('SMA' in text) is (file['Points'] > 1 or '_SMA' in file['Path'])


def test_readme_names_the_image(tmp_path: Path) -> None:
    fake = output(tmp_path)
    text = (export(fake) / README).read_text()
    assert 'same image, sub-01_T1w.nii.gz (bids:raw:sub-01/anat/sub-01_T1w.nii.gz), into' in text
    raw_image(tmp_path / 'sourcedata' / 'raw')
    text = (export(fake) / README).read_text()
    assert 'same image, sourcedata/raw/sub-01/anat/sub-01_T1w.nii.gz, into' in text


def test_sidecar_without_grid(tmp_path: Path) -> None:
    fake = output(tmp_path, ReferenceImage={'Path': 'sub-01/anat/sub-01_T1w.nii.gz'})
    with pytest.raises(PointsFileError, match='do not say the grid'):
        export(fake)


def test_file_that_is_not_what_was_written(tmp_path: Path) -> None:
    """A writer that errs by 2 micrometres leaves no file."""
    plan = plan_slicer([GOOD], 'a.mrk.json', 'a')
    moved = replace(GOOD, target=GOOD.target + np.array([0, 0, 0.002]))
    with pytest.raises(PointsFileError, match=r'a\.mrk\.json: read back.*differ by 0\.002 mm'):
        write_checked(tmp_path, replace(plan, markers=[moved]))
    assert list(tmp_path.iterdir()) == []


def test_files_of_another_image_go(tmp_path: Path) -> None:
    fake = output(tmp_path)
    folder = export(fake)
    (image,) = collect_subject(fake.layout, '01', fake.protocol).images
    delete_outdated(fake.layout, image.image, fake.protocol, 'abd')
    assert not folder.exists()


def test_files_without_tables_go(tmp_path: Path) -> None:
    fake = output(tmp_path)
    folder = export(fake)
    for path in (tmp_path / 'sub-01' / 'anat').iterdir():
        path.unlink()
    assert export_subject(fake.layout, fake.protocol, '01') == []
    assert not folder.exists()


def test_link_out_of_the_outputs(tmp_path: Path) -> None:
    fake = output(tmp_path / 'out')
    precious = tmp_path / 'elsewhere' / 'precious'
    precious.parent.mkdir()
    precious.touch()
    folder = tmp_path / 'out' / 'sub-01' / 'nav' / 'sub-01_protocol-tms'
    folder.parent.mkdir()
    folder.symlink_to(precious.parent)
    with pytest.raises(ValueError, match='remove the link'):
        export(fake)
    assert precious.exists()


def test_two_protocols_and_sessions(tmp_path: Path) -> None:
    fake = FakeOutput(tmp_path)
    for image in ('sub-01_ses-A_run-1', 'sub-01_ses-A_run-2'):
        fake.table(image, 'cnn', rows(), **reference())
    folders = export_subject(fake.layout, fake.protocol, '01')
    home = tmp_path / 'sub-01' / 'ses-A' / 'nav'
    assert folders == [home / f'sub-01_ses-A_run-{n}_protocol-tms' for n in (1, 2)]
    assert Layout(tmp_path, 'mytms').navigations('01') == []


def test_sheet(tmp_path: Path) -> None:
    folder = export(output(tmp_path))
    page = Page(folder / f'{folder.name}_sheet.html')
    assert '-40.0 30.0 35.0 40.0 -30.0 35.0 not known' in page.text
    assert page.numbers[:6] == [
        *('-40.0000', '30.0000', '35.0000'),
        *('40.0000', '-30.0000', '35.0000'),
    ]
    assert 'check: near_edge' in page.text
    assert page.text.count('no point') == 2
    assert not page.tags & {'script', 'img', 'link'}
    assert "default-src 'none'" in page.source


def test_sheet_of_entries(tmp_path: Path) -> None:
    marker = Marker('LA', np.array([-40.0, 30, 35]), entry=np.array([-50.0, 41.25, 52]))
    path = write_sheet(
        tmp_path / 'a.html', [marker], heading='a', frame='b', uri='c', sha256='d', disclaimer='e'
    )
    assert '-50.0 41.2 52.0 50.0 -41.2 52.0' in Page(path).text
    np.testing.assert_array_equal(read_sheet(path)[0].entry, [-50, 41.25, 52])
    path.write_text(path.read_text().replace('value="50.0000"', 'value="50.0400"'))
    with pytest.raises(PointsFileError, match='RAS and LPS are not the same point'):
        read_sheet(path)


def test_points_of_the_user(tmp_path: Path) -> None:
    fake = output(tmp_path)
    fake.table('sub-01', 'points', rows({'SMA': ((0.25, -6.0, 58.0), 'ok')}), **reference())
    folder = export(fake)
    points = read_markups(folder / f'{folder.name}_slicer.mrk.json')
    np.testing.assert_array_equal(points['SMA'], [0.25, -6, 58])
    assert read_json(folder / MANIFEST)['Points'][-1]['Position'] == [0.25, -6, 58]
    assert 'hold other points than this report' not in fake.write().text


def test_hostile_names(tmp_path: Path) -> None:
    fake = FakeOutput(tmp_path / 'out')
    table = rows()
    table.append({**table[0], 'label': '../../../x', 'region': HOSTILE})
    fake.table('sub-01', 'cnn', table, **reference())
    folder = export(fake)
    assert not list(tmp_path.rglob('x*'))
    page = Page(folder / f'{folder.name}_sheet.html')
    assert 'script' not in page.tags
    assert HOSTILE not in page.source
    table.append({**table[0], 'label': 'a"b'})
    fake.table('sub-01_run-2', 'cnn', table, **reference())
    with pytest.raises(PointsFileError, match=r'a"b.*cannot be written'):
        export(fake)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
