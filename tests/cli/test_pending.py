from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tmsprep.bids import ImageRef
from tmsprep.cli.pending import main, pending
from tmsprep.config import RunConfig
from tmsprep.failures import record_error, record_problems

HEADER = 'label\tx\ty\tz\tstatus\n'
IMAGES = (
    'sub-01/anat/sub-01_T1w.nii.gz',
    'sub-02/ses-A/anat/sub-02_ses-A_T1w.nii.gz',
    'sub-02/ses-B/anat/sub-02_ses-B_T1w.nii.gz',
)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    for name in IMAGES:
        path = tmp_path / 'bids' / name
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1000, 1000))
    (tmp_path / 'bids' / 'dataset_description.json').write_text('{"Name": "n"}')
    return RunConfig(tmp_path / 'bids', tmp_path / 'out', work_dir=tmp_path / 'work')


def finish(config: RunConfig, method: str, status: str = 'ok') -> None:
    """Write what a run leaves, as far as it is looked at."""
    for name in IMAGES:
        path = table(config, name, method)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{HEADER}A\t1\t2\t3\tok\nB\t1\t2\t3\t{status}\n')
        (config.out_dir / f'{Path(name).parts[0]}.html').touch()


def table(config: RunConfig, name: str, method: str) -> Path:
    return config.out_dir / name.replace('_T1w.nii.gz', f'_desc-{method}_targets.tsv')


def test_at_first_nobody_is_done(config: RunConfig) -> None:
    assert pending(config) == {'01': 'not run', '02': 'not run'}


def test_everybody_is_done(config: RunConfig) -> None:
    finish(config, 'cnn')
    assert set(pending(config)) == {'01', '02'}
    finish(config, 'syn')
    assert pending(config) == {}


def test_a_table_of_one_session_is_missing(config: RunConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    table(config, IMAGES[2], 'syn').unlink()
    assert pending(config) == {'02': 'no sub-02_ses-B_desc-syn_targets.tsv'}


def test_a_record_of_a_failure_counts_more_than_tables(config: RunConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    image = ImageRef.from_path(config.bids_dir, config.bids_dir / IMAGES[0])
    record_error(config.out_dir, image, 'syn', {'message': 'no\nbrain', 'traceback': ''})
    record_problems(config.out_dir, '02', ['a link that leads nowhere'])
    assert pending(config) == {
        '01': 'failed: syn: no\nbrain',
        '02': 'failed: input: a link that leads nowhere',
    }


def test_a_run_that_was_killed_while_it_repeated_a_failed_one(config: RunConfig) -> None:
    finish(config, 'cnn')
    finish(config, 'syn', status='failed')
    assert pending(config)['01'] == 'sub-01_desc-syn_targets.tsv says failed'


def test_a_run_that_was_killed_before_its_report(config: RunConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    (config.out_dir / 'sub-02.html').unlink()
    assert pending(config) == {'02': 'stopped before the report'}


def test_an_image_that_changed_is_done_again(config: RunConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    (config.bids_dir / IMAGES[0]).touch()
    os.utime(table(config, IMAGES[0], 'cnn'), (2000, 2000))
    assert pending(config)['01'] == 'sub-01_T1w.nii.gz is younger than sub-01_desc-cnn_targets.tsv'


def test_the_other_protocol_has_its_own_outputs_and_failures(config: RunConfig) -> None:
    other = replace(config, protocol='locus-coeruleus', localizers=('cnn',))
    for method in config.localizers:
        finish(config, method)
    image = ImageRef.from_path(config.bids_dir, config.bids_dir / IMAGES[0])
    error = {'message': 'no weights', 'traceback': ''}
    record_error(config.out_dir, image, 'coeruleus_locate', error)
    assert pending(config) == {}
    assert pending(other) == {
        '01': 'failed: coeruleus_locate: no weights',
        '02': 'stopped before the report',
    }
    finish(config, 'coreunet')
    (config.out_dir / 'sub-02_protocol-locuscoeruleus.html').touch()
    assert pending(other)['02'] == 'no sub-02_ses-A_desc-lpp_segmentation.tsv'


def test_the_table_that_is_printed(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    record_problems(config.out_dir, '01', ['two\nlines'])
    arguments = [str(config.bids_dir), str(config.out_dir), 'participant']
    arguments += ['--participant-label', 'sub-01', '-w', str(config.work_dir)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        'participant_id\treason\nsub-01\tfailed: input: two lines\n'
    )
    # Asking changes nothing.
    assert sorted(path.name for path in config.out_dir.iterdir()) == ['logs']
    assert not config.work_dir.exists()
