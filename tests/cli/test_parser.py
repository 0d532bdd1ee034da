from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.cli.parser import parse_args
from tmsprep.config import RunConfig


@pytest.fixture
def bids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / 'bids'
    for folder in ('sub-01/ses-A/anat', 'sub-002/anat', 'derivatives'):
        (root / folder).mkdir(parents=True)
    description = {'Name': 'test', 'BIDSVersion': '1.9.0'}
    (root / 'dataset_description.json').write_text(json.dumps(description))
    (tmp_path / 'plugin.yml').write_text('plugin: Linear\n')
    for name in ('atlas.nii.gz', 'points.tsv', 'weights.safetensors'):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return root


def parse(*options: str) -> RunConfig:
    return parse_args(['bids', 'out', 'participant', *options])


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the one line that refused arguments."""
    with pytest.raises(SystemExit) as stop:
        parse_args(argv)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('tmsprep: error: ')
    assert err.count('\n') == 1
    return err


def test_defaults(bids: Path) -> None:
    config = parse()
    assert config.bids_dir == bids
    assert config.out_dir == bids.parent / 'out'
    assert config.work_dir == bids.parent / 'work'
    assert config.localizers == ('cnn', 'syn')
    assert config.nprocs == len(os.sched_getaffinity(0)) or 'SLURM_CPUS_PER_TASK' in os.environ
    assert config.participant_label == config.session_label == ()
    assert config.bids_filters == {}
    assert not config.out_dir.exists()


@pytest.mark.usefixtures('bids')
def test_all_options_arrive(tmp_path: Path) -> None:
    (tmp_path / 'one').mkdir()
    line = (
        '--participant-label sub-01 002 01 --session-label ses-A --bids-filter-file t1w '
        '--skip-bids-validation --bids-database-dir db -w scratch --nprocs 4 --omp-nthreads 3 '
        '--mem 8GB --device cpu --random-seed 7 --sloppy --reports-only --dry-run --write-graph '
        '--stop-on-first-crash --use-plugin plugin.yml --localizers syn --protocol tms '
        '--weights weights.safetensors --atlas atlas.nii.gz --atlas-targets points.tsv '
        '--syn-preset paper --derivatives one -vv'
    )
    config = parse(*line.split())
    assert config.run_id
    assert config == RunConfig(
        bids_dir=tmp_path / 'bids',
        out_dir=tmp_path / 'out',
        participant_label=('01', '002'),
        session_label=('A',),
        bids_filters={
            't1w': {'datatype': 'anat', 'suffix': 'T1w', 'ceagent': None, 'part': [None, 'mag']}
        },
        skip_bids_validation=True,
        bids_database_dir=tmp_path / 'db',
        work_dir=tmp_path / 'scratch',
        nprocs=4,
        omp_nthreads=3,
        mem_gb=8.0,
        device='cpu',
        random_seed=7,
        sloppy=True,
        reports_only=True,
        dry_run=True,
        write_graph=True,
        stop_on_first_crash=True,
        use_plugin=tmp_path / 'plugin.yml',
        localizers=('syn',),
        weights=tmp_path / 'weights.safetensors',
        atlas=tmp_path / 'atlas.nii.gz',
        atlas_targets=tmp_path / 'points.tsv',
        syn_preset='paper',
        derivatives=(tmp_path / 'one',),
        verbose=2,
        run_id=config.run_id,
    )


@pytest.mark.usefixtures('bids')
def test_other_spellings() -> None:
    assert parse('--participant_label', '01', '--skip_bids_validation').skip_bids_validation
    assert parse('--participant_label=sub-002').participant_label == ('002',)
    assert parse('--session_label', 'A').session_label == ('A',)
    assert parse('--participant-label', '01', '--participant-label', '002').participant_label == (
        *('01', '002'),
    )
    assert parse('--nthreads', '2').nprocs == parse('--n-cpus', '2').nprocs == 2
    assert parse('--mem-mb', '4000').mem_gb == parse('--mem_mb', '4000').mem_gb == 4.0
    assert parse('--localizers', 'syn', 'cnn', 'syn').localizers == ('cnn', 'syn')


@pytest.mark.usefixtures('bids')
def test_threads_do_not_depend_on_the_number_of_cpus() -> None:
    assert parse('--nprocs', '1').omp_nthreads == 2
    assert parse('--nprocs', '32').omp_nthreads == 2


@pytest.mark.usefixtures('bids')
def test_command_line_overrides_the_file_which_overrides_defaults(tmp_path: Path) -> None:
    saved = parse('--mem', '2GB', '--participant-label', '01', '--random-seed', '5', '--sloppy')
    saved.to_toml(tmp_path / 'run.toml')
    config = parse('--config-file', 'run.toml', '--random-seed', '9')
    assert (config.mem_gb, config.participant_label, config.sloppy) == (2.0, ('01',), True)
    assert config.random_seed == 9
    assert config.run_id != saved.run_id
    (tmp_path / 'few.toml').write_text('device = "auto"\nparticipant_label = ["sub-002"]\n')
    assert parse('--config-file', 'few.toml').participant_label == ('002',)


@pytest.mark.usefixtures('bids')
def test_options_of_the_group_arrive(tmp_path: Path) -> None:
    (tmp_path / 'points').mkdir()
    (tmp_path / 'mine.tsv').touch()
    line = (
        '--annotations points --consensus-threshold 8 --agreement-overrides mine.tsv '
        '--equivalence-margin 2.5 --check-annotations'
    )
    config = parse_args(['bids', 'out', 'group', *line.split()])
    assert (config.analysis_level, config.annotations) == ('group', tmp_path / 'points')
    assert (config.consensus_threshold, config.equivalence_margin) == (8.0, 2.5)
    assert (config.agreement_overrides, config.check_annotations) == (tmp_path / 'mine.tsv', True)
    defaults = parse_args(['bids', 'out', 'group'])
    assert (defaults.equivalence_margin, defaults.check_annotations) == (3.0, False)


def test_the_group_needs_no_images_in_the_data_set(bids: Path) -> None:
    for folder in ('sub-01/ses-A/anat', 'sub-01/ses-A', 'sub-01', 'sub-002/anat', 'sub-002'):
        (bids / folder).rmdir()
    assert parse_args(['bids', 'out', 'group']).annotations is None


@pytest.mark.usefixtures('bids')
def test_options_of_learning_arrive(tmp_path: Path) -> None:
    (tmp_path / 'points').mkdir()
    line = (
        '--annotations points --consensus-threshold 8 --recipe quick --steps 7 --members 3 '
        '--residual none --folds 4 --repetitions 2'
    )
    train = parse_args(['bids', 'out', 'train', *line.split()])
    assert (train.analysis_level, train.annotations) == ('train', tmp_path / 'points')
    assert (train.recipe, train.steps, train.members) == ('quick', 7, 3)
    assert (train.folds, train.repetitions, train.residual) == (4, 2, ('none',))
    assert train.consensus_threshold == 8.0
    line = '--annotations points --residual separate none'
    crossval = parse_args(['bids', 'out', 'crossval', *line.split()])
    assert crossval.residual == ('separate', 'none')
    assert (crossval.recipe, crossval.steps, crossval.folds) == ('default', None, None)
    assert (crossval.repetitions, crossval.members, crossval.consensus_threshold) == (5, 1, 12.0)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('', 'required: bids_dir, out_dir, analysis_level'),
        ('bids out nonsense', "invalid choice: 'nonsense'"),
        ('bids out participant --participant 01', 'unrecognized arguments: --participant 01'),
        ('nowhere out participant', 'no such folder; the first argument is the BIDS data set'),
        ('bids/sub-01 out participant', 'give --skip-bids-validation'),
        ('bids bids participant', 'may not go into the data set itself'),
        ('bids bids/../bids participant', 'may not go into the data set itself'),
        ('bids bids/sub-01/out participant', 'folder of a participant'),
        ('bids atlas.nii.gz participant', 'atlas.nii.gz is not a folder'),
        ('bids atlas.nii.gz/out participant', 'atlas.nii.gz is not a folder'),
        ('bids out participant -w bids', '--work-dir'),
        ('bids out participant -w bids/work', 'elsewhere with -w'),
        ('bids out participant -w .', '--work-dir'),
        ('bids out participant -w out', 'is the output folder'),
        ('bids out participant --participant-label 1 02', 'no 1, 02 in'),
        ('bids out participant --participant-label 1 02', 'there are: 01, 002'),
        ('bids out participant --session-label B', 'no B for any of these participants'),
        ('bids out participant --session-label B', 'there are: A'),
        (
            'bids out participant --session-label A --bids-filter-file first_session',
            'give only one',
        ),
        (
            'bids out participant --bids-filter-file absent.json',
            'first_session, mp2rage_uni, neuromelanin, t1w',
        ),
        ('bids out participant --bids-filter-file bad.json', "'acq'; did you mean 'acquisition'"),
        ('bids out participant --config-file absent.toml', 'cannot be read as TOML'),
        ('bids out participant --config-file bad.toml', "unknown setting 'n_procs'"),
        ('bids out participant --config-file filter.toml', "unknown query 'bold'"),
        ('bids out participant --config-file device.toml', "--device 'tpu' is not known"),
        ('bids out participant --config-file ants.toml', "--localizers 'ants' is not known"),
        ('bids out participant --atlas atlas.nii.gz', 'give --atlas-targets as well'),
        ('bids out participant --atlas-targets points.tsv', 'give --atlas as well'),
        ('bids out participant --weights absent', '--weights: no file'),
        ('bids out participant --use-plugin absent', '--use-plugin: no file'),
        ('bids out participant --derivatives absent', '--derivatives: no folder'),
        ('bids out participant --protocol absent', "--protocol: no protocol 'absent'"),
        ('bids out participant --localizers ants', "invalid choice: 'ants'"),
        ('bids out participant --syn-preset slow', "invalid choice: 'slow'"),
        ('bids out participant --nprocs 0', '--nprocs must be 1 or more'),
        ('bids out participant --nprocs two', "'two' is not a whole number"),
        ('bids out participant --omp-nthreads 0', '--omp-nthreads must be 1 or more, not 0'),
        ('bids out participant --mem 8', 'did you mean 8GB?'),
        ('bids out participant --mem lots', 'write 8GB or 8000MB'),
        ('bids out participant --random-seed 0', '--random-seed must be from 1'),
        ('bids out participant --device tpu', "invalid choice: 'tpu'"),
        ('bids out train', 'train needs --annotations DIR: a folder with one file of points'),
        ('bids out crossval', 'crossval needs --annotations DIR'),
        ('bids out train --annotations absent', '--annotations: no folder'),
        ('bids out train --annotations bids --reports-only', 'train has no reports'),
        ('bids out train --annotations bids --recipe own', "invalid choice: 'own'"),
        ('bids out train --annotations bids --residual shared none', 'name one of shared'),
        ('bids out train --annotations bids --residual all', "invalid choice: 'all'"),
        ('bids out train --annotations bids --steps 0', '--steps must be 1 or more, not 0'),
        ('bids out train --annotations bids --members 0', '--members must be 1 or more'),
        ('bids out crossval --annotations bids --folds 1', '--folds must be 2 or more, not 1'),
        ('bids out crossval --annotations bids --repetitions 0', '--repetitions must be 1'),
        (
            'bids out crossval --annotations bids --weights weights.safetensors',
            'trains every network from nothing',
        ),
        ('bids out train --annotations bids --consensus-threshold 0', 'must be above 0 mm'),
        ('bids out train --annotations bids --consensus-threshold far', 'not a number of mm'),
    ],
)
def test_wrong_arguments_cost_one_line_and_code_2(
    bids: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    (bids.parent / 'bad.json').write_text('{"t1w": {"acq": "mprage"}}')
    (bids.parent / 'bad.toml').write_text('n_procs = 2')
    (bids.parent / 'device.toml').write_text('device = "tpu"')
    (bids.parent / 'ants.toml').write_text('localizers = ["ants", "cnn"]')
    (bids.parent / 'filter.toml').write_text('[bids_filters.bold]\ntask = "rest"')
    assert message in refusal(capsys, *line.split())


def test_empty_path_is_refused(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'empty path' in refusal(capsys, str(bids), '', 'participant')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_folder_that_may_not_be_written_to(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bids.parent / 'locked').mkdir(mode=0o500)
    message = refusal(capsys, 'bids', 'locked/out', 'participant')
    assert 'may not be written to' in message


def test_output_folder_of_another_program(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = bids / 'derivatives' / 'fmriprep'
    out.mkdir()
    description = {'GeneratedBy': [{'Name': 'fMRIPrep'}]}
    (out / 'dataset_description.json').write_text(json.dumps(description))
    assert 'holds fMRIPrep' in refusal(capsys, str(bids), str(out), 'participant')
    assert parse_args([str(bids), str(out / 'tmsprep'), 'participant']).out_dir == out / 'tmsprep'


def test_data_without_description_can_be_forced(
    bids: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bids / 'dataset_description.json').write_text('{"Name": ')
    assert 'cannot be read as JSON' in refusal(capsys, 'bids', 'out', 'participant')
    (bids / 'dataset_description.json').unlink()
    assert 'dataset_description.json' in refusal(capsys, 'bids', 'out', 'participant')
    assert parse('--skip-bids-validation').skip_bids_validation


def test_help_lists_only_what_works_and_loads_nothing_heavy() -> None:
    code = (
        'import sys; from tmsprep.cli.parser import build_parser\n'
        'try: build_parser().parse_args(["--help"])\n'
        'finally: print([m for m in ("numpy", "nibabel", "bids", "nipype", "torch", "ants", '
        '"matplotlib", "psutil", "pandas", "yaml") if m in sys.modules], file=sys.stderr)'
    )
    checkout = Path(__file__).resolve().parents[2]
    # CPU time, because the wall clock measures whatever else runs on the machine as well.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=checkout, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.stderr.strip() == '[]'
    assert '{participant,train,crossval,group}' in run.stdout
    assert '--participant-label' in run.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
