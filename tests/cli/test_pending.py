from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.pending import main, pending
from tmsprep.config import ParticipantConfig
from tmsprep.failures import record_error, record_problems

HEADER = 'label\tx\ty\tz\tstatus\n'
IMAGES = (
    'sub-01/anat/sub-01_T1w.nii.gz',
    'sub-02/ses-A/anat/sub-02_ses-A_T1w.nii.gz',
    'sub-02/ses-B/anat/sub-02_ses-B_T1w.nii.gz',
)


@pytest.fixture
def config(tmp_path: Path) -> ParticipantConfig:
    for name in IMAGES:
        path = tmp_path / 'bids' / name
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1000, 1000))
    (tmp_path / 'bids' / 'dataset_description.json').write_text('{"Name": "n"}')
    return ParticipantConfig(
        tmp_path / 'bids', tmp_path / 'out', localizers=('cnn', 'syn'), work_dir=tmp_path / 'work'
    )


def finish(config: ParticipantConfig, method: str, status: str = 'ok') -> None:
    """Write what a run leaves, as far as it is looked at."""
    for name in IMAGES:
        path = table(config, name, method)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{HEADER}A\t1\t2\t3\t{status}\nB\t1\t2\t3\t{status}\n')
        layout(config).report(Path(name).parts[0].removeprefix('sub-')).touch()


def table(config: ParticipantConfig, name: str, method: str) -> Path:
    return layout(config).table(image_of(config, name), method)


def layout(config: ParticipantConfig) -> Layout:
    return Layout(config.out_dir, config.protocol)


def image_of(config: ParticipantConfig, name: str) -> ImageRef:
    return ImageRef.from_path(config.bids_dir, config.bids_dir / name)


def test_not_run(config: ParticipantConfig) -> None:
    assert pending(config) == {'01': 'not run', '02': 'not run'}


def test_done(config: ParticipantConfig) -> None:
    finish(config, 'cnn')
    assert set(pending(config)) == {'01', '02'}
    finish(config, 'syn')
    assert pending(config) == {}


def test_missing_table(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    table(config, IMAGES[2], 'syn').unlink()
    assert pending(config) == {'02': 'no sub-02_ses-B_protocol-tms_desc-syn_targets.tsv'}


def test_records(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    names, image = layout(config), image_of(config, IMAGES[0])
    record_error(names, image, 'syn', {'message': 'no\nbrain', 'traceback': ''})
    record_problems(names, '02', ['a link that leads nowhere'])
    assert pending(config) == {
        '01': 'failed: syn: no\nbrain',
        '02': 'failed: input: a link that leads nowhere',
    }


def test_all_targets_failed(config: ParticipantConfig) -> None:
    finish(config, 'cnn')
    finish(config, 'syn', status='failed')
    assert pending(config)['01'] == (
        'sub-01_protocol-tms_desc-syn_targets.tsv: no point may be used (2 failed)'
    )


def test_missing_report(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    layout(config).report('02').unlink()
    assert pending(config) == {'02': 'stopped before the report'}


def test_changed_image(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    os.utime(config.bids_dir / IMAGES[0], (3000, 3000))
    os.utime(table(config, IMAGES[0], 'cnn'), (2000, 2000))
    younger = 'sub-01_T1w.nii.gz is younger than sub-01_protocol-tms_desc-cnn_targets.tsv'
    assert pending(config) == {'01': younger}


def test_other_protocol(config: ParticipantConfig) -> None:
    options = {'segmentation': ('lpp',)}
    other = replace(
        config,
        protocol='locus-coeruleus',
        localizers=('coreunet',),
        method_options=options,
    )
    for method in config.localizers:
        finish(config, method)
    error = {'message': 'no weights', 'traceback': ''}
    record_error(layout(other), image_of(config, IMAGES[0]), 'coreunet', error)
    assert pending(config) == {}
    assert pending(other) == {
        '01': 'failed: coreunet: no weights',
        '02': 'stopped before the report',
    }
    finish(other, 'coreunet')
    stem = 'sub-02_ses-A_protocol-locuscoeruleus'
    assert pending(other)['02'] == f'no {stem}_desc-lpp_segmentation.tsv'


def test_one_failed_target(config: ParticipantConfig) -> None:
    """An atlas may lack a target: an array job that is repeated would not find it either."""
    for method in config.localizers:
        finish(config, method)
    path = table(config, IMAGES[0], 'syn')
    path.write_text(path.read_text().replace('ok', 'failed', 1))
    assert pending(config) == {}


def test_printed_table(config: ParticipantConfig, capsys: pytest.CaptureFixture[str]) -> None:
    record_problems(layout(config), '01', ['two\nlines'])
    arguments = [str(config.bids_dir), str(config.out_dir), 'participant']
    arguments += ['--participant-label', 'sub-01', '-w', str(config.work_dir)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        'participant_id\treason\nsub-01\tfailed: input: two lines\n'
    )
    # Asking changes nothing.
    assert sorted(path.name for path in config.out_dir.iterdir()) == ['logs']
    assert not config.work_dir.exists()
