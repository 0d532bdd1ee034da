from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from export.test_files import POINTS, raw_image, reference, rows
from report_data import FakeOutput, Page

from tmsprep.cli.run import main
from tmsprep.formats.slicer import read_markups
from tmsprep.tables import read_json

DECIDED = {
    'label': 'LDLPFC',
    **{'x': '-41.5', 'y': '30', 'z': '35', 'decision': 'moved', 'reviewer': 'A. B.'},
    **{'date': '2030-01-31', 'comment': 'n/a', 'method': 'n/a', 'image_sha256': 'abc'},
    **{'status': 'moved', 'software_version': '1'},
}


@pytest.fixture
def fake(tmp_path: Path) -> FakeOutput:
    """Outputs of two participants, as an earlier run left them."""
    out = FakeOutput(tmp_path / 'out')
    (tmp_path / 'out').mkdir()
    description = '{"GeneratedBy": [{"Name": "tmsprep"}]}'
    (tmp_path / 'out' / 'dataset_description.json').write_text(description)
    for image in ('sub-01', 'sub-02'):
        out.table(image, 'cnn', rows(), SoftwareVersion='1', **reference())
    return out


def nav(fake: FakeOutput, subject: str) -> Path:
    return fake.root / f'sub-{subject}' / 'nav' / f'sub-{subject}_protocol-tms'


def test_all_participants(fake: FakeOutput) -> None:
    assert main([str(fake.root), 'export']) == 0
    for subject in ('01', '02'):
        assert len(read_json(nav(fake, subject) / 'export.json')['Points']) == 2
        assert fake.layout.report(subject).is_file()


def test_one_participant(fake: FakeOutput) -> None:
    assert main([str(fake.root), 'export', '--participant-label', 'sub-02']) == 0
    assert not nav(fake, '01').exists()
    assert nav(fake, '02').is_dir()


def test_review_put_beside_the_tables(fake: FakeOutput) -> None:
    """The reviewer's point replaces the network's one in the files, and needs no check."""
    fake.table('sub-01', 'reviewed', [DECIDED]).with_suffix('.json').unlink()
    assert main([str(fake.root), 'export', '--participant-label', '01']) == 0
    folder = nav(fake, '01')
    points = read_markups(folder / f'{folder.name}_slicer.mrk.json')
    np.testing.assert_array_equal(points['LDLPFC'], [-41.5, 30, 35])
    text = (folder / f'{folder.name}_brainsight-v14.txt').read_text()
    assert str(POINTS['LDLPFC'][0][0]) not in text


def test_review_that_became_unusable(fake: FakeOutput, capsys: pytest.CaptureFixture[str]) -> None:
    fake.table('sub-01', 'reviewed', [DECIDED])
    assert main([str(fake.root), 'export']) == 0
    assert 'A. B.' in fake.layout.report('01').read_text()
    table = fake.table('sub-01', 'reviewed', [{**DECIDED, 'date': '20300131'}])
    capsys.readouterr()
    assert main([str(fake.root), 'export']) == 1
    text = capsys.readouterr().err
    assert "'20300131' is no date" in text
    assert 'nothing to export' not in text
    assert [path.name for path in nav(fake, '01').iterdir()] == ['README.txt']
    assert (nav(fake, '02') / 'export.json').is_file()
    page = fake.layout.report('01').read_text()
    assert f'{table.name}, line 2: &#39;20300131&#39; is no date' in page
    assert '<div class="summary bad">' in page


def test_one_failure_stops_no_other(fake: FakeOutput, capsys: pytest.CaptureFixture[str]) -> None:
    fake.table('sub-01', 'cnn', rows(), SoftwareVersion='1')
    assert main([str(fake.root), 'export']) == 1
    message = 'sub-01 failed: files for navigators: sub-01: its sidecars do not say the grid'
    assert message in capsys.readouterr().err
    assert nav(fake, '02').is_dir()


def test_nothing_to_export(fake: FakeOutput, tmp_path: Path) -> None:
    assert main([str(fake.root), 'export', '--participant-label', '9']) == 2
    assert main([str(fake.root), 'export', '--protocol', 'afids']) == 2
    (tmp_path / 'raw').mkdir()
    (tmp_path / 'raw' / 'dataset_description.json').write_text('{"Name": "raw"}')
    assert main([str(tmp_path / 'raw'), 'export']) == 2


def test_dry_run(fake: FakeOutput) -> None:
    assert main([str(fake.root), 'export', '--dry-run']) == 0
    assert not nav(fake, '01').exists()


def test_image_that_was_replaced(fake: FakeOutput, capsys: pytest.CaptureFixture[str]) -> None:
    """No files of its former points, a report that says so in red, and an exit code."""
    assert main([str(fake.root), 'export']) == 0
    raw_image(fake.root / 'sourcedata' / 'raw')
    description = fake.root / 'dataset_description.json'
    described = read_json(description) | {'DatasetLinks': {'raw': 'sourcedata/raw'}}
    description.write_text(json.dumps(described))
    capsys.readouterr()
    assert main([str(fake.root), 'export']) == 1
    assert not nav(fake, '01').exists()
    assert nav(fake, '02').is_dir()
    words = (
        'sub-01/anat/sub-01_T1w.nii.gz was replaced: its checksum is no longer that of the image '
        'in which the points here were localised. Run the participant level on it again, or put '
        'the former image back'
    )
    assert f'sub-01 failed: files for navigators: {words}' in capsys.readouterr().err
    page = Page(fake.layout.report('01'))
    assert 'class="summary bad"' in page.source
    assert f'No stimulation targets: {words}. There are no files for navigators' in page.text
    assert 'desc-cnn_targets.tsv' in page.text
    assert str(POINTS['RDLPFC'][0][2]) not in page.text


def test_reports_of_an_image_that_was_replaced(fake: FakeOutput, tmp_path: Path) -> None:
    """--reports-only leaves no files of the former points either, wherever the data set is."""
    assert main([str(fake.root), 'export']) == 0
    raw_image(tmp_path / 'raw')
    (tmp_path / 'raw' / 'dataset_description.json').write_text('{"Name": "raw"}')
    command = [str(tmp_path / 'raw'), str(fake.root), 'participant', '--reports-only']
    command += ['--localizers', 'cnn', '--skip-bids-validation', '-w', str(tmp_path / 'work')]
    assert main(command) == 1
    assert not nav(fake, '01').exists()
    assert 'class="summary bad"' in fake.layout.report('01').read_text()


def test_warnings_are_counted(fake: FakeOutput, capsys: pytest.CaptureFixture[str]) -> None:
    """As at the end of the participant level, which wrote the tables."""
    assert main([str(fake.root), 'export', '--participant-label', '01']) == 0
    *_, before, last = capsys.readouterr().err.splitlines()
    assert before.endswith(
        'WARNING 3 of 4 targets carry a warning: sub-01 RDLPFC near_edge (cnn); sub-01 LOFC '
        'failed (cnn); sub-01 ROFC wrong_side (cnn)'
    )
    assert last.endswith('1 participant; look at 3 targets with a warning, named above')


def test_fail_on_warning(fake: FakeOutput) -> None:
    command = [str(fake.root), 'export', '--participant-label', '01', '--fail-on-warning']
    assert main(command) == 3
    assert nav(fake, '01').is_dir()
    good = {'LDLPFC': ((-40.0, 30.0, 35.0), 'ok')}
    fake.table('sub-01', 'cnn', rows(good), SoftwareVersion='1', **reference())
    assert main(command) == 0


def test_no_usable_point(fake: FakeOutput, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that hold no point are no success, nor a reason to stop the others."""
    useless = {'LDLPFC': ((40.0, 30.0, 35.0), 'wrong_side'), 'LOFC': (None, 'failed')}
    fake.table('sub-01', 'cnn', rows(useless), SoftwareVersion='1', **reference())
    assert main([str(fake.root), 'export']) == 1
    assert 'sub-01 failed: sub-01: no point may be used' in capsys.readouterr().err
    assert nav(fake, '02').is_dir()


@pytest.mark.parametrize(
    ('former', 'new', 'why'),
    [
        ('LDLPFC\tL\tLDLPFC\t-40.0', 'LDLPFC\tL\tLDLPFC\t1000', 'lies outside the image'),
        ('RDLPFC\t', 'LDLPFC\t', "'LDLPFC' appears twice"),
        ('ROFC\tR\tROFC\t29.0\t36.5\t-14.0\twrong_side\tn/a\n', '', r'lacks 1 target .*\(ROFC\)'),
        ('-40.0', 'x', 'is not a number'),
    ],
)
def test_damaged_table(
    fake: FakeOutput, capsys: pytest.CaptureFixture[str], former: str, new: str, why: str
) -> None:
    """Its image has no files for navigators, and a red report; the other participant has them."""
    assert main([str(fake.root), 'export']) == 0
    path = fake.path('sub-01', 'cnn', 'targets.tsv')
    text = path.read_text()
    assert former in text
    path.write_text(text.replace(former, new))
    assert main([str(fake.root), 'export']) == 1
    assert re.search(rf'sub-01 failed: .*desc-cnn_targets.tsv .*{why}', capsys.readouterr().err)
    assert not nav(fake, '01').exists()
    assert nav(fake, '02').is_dir()
    page = Page(fake.layout.report('01'))
    assert re.search(
        rf'No stimulation targets: .*desc-cnn_targets.tsv cannot be used: .*{why}', page.text
    )
    assert str(fake.root) not in page.text
    assert 'No warnings' not in page.text
