from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.cli.parser import build_parser, parse_args
from tmsprep.config import (
    SETTINGS,
    CrossvalConfig,
    GroupConfig,
    ParticipantConfig,
    TrainConfig,
)
from tmsprep.methods import method_names, method_options, register, unregister
from tmsprep.options import LEVELS, NamedPath


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
    (tmp_path / 'points').mkdir()
    monkeypatch.chdir(tmp_path)
    return root


def parse(*options: str) -> ParticipantConfig:
    config = parse_args(['bids', 'out', 'participant', *options])
    assert isinstance(config, ParticipantConfig)
    return config


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the one line that refuses arguments."""
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
    assert config.device in ('cpu', 'cuda')
    assert not config.out_dir.exists()


@pytest.mark.usefixtures('bids')
def test_participant_options(tmp_path: Path) -> None:
    line = (
        '--participant-label sub-01 002 01 --session-label ses-A --bids-filter-file t1w '
        '--skip-bids-validation --bids-database-dir db -w scratch --nprocs 4 --omp-nthreads 3 '
        '--mem 8GB --device cpu --random-seed 7 --sloppy --reports-only --dry-run --write-graph '
        '--stop-on-first-crash --use-plugin plugin.yml --localizers syn --protocol tms '
        '--weights weights.safetensors --atlas atlas.nii.gz --atlas-targets points.tsv '
        '--atlas-offsets points.tsv --syn-preset paper --derivatives points -vv'
    )
    config = parse(*line.split())
    assert config == ParticipantConfig(
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
        derivatives=(NamedPath(tmp_path / 'points'),),
        verbose=2,
        run_id=config.run_id,
        method_options={
            'weights': tmp_path / 'weights.safetensors',
            'atlas': tmp_path / 'atlas.nii.gz',
            'atlas_targets': tmp_path / 'points.tsv',
            'atlas_offsets': tmp_path / 'points.tsv',
            'syn_preset': 'paper',
        },
    )


@pytest.mark.usefixtures('bids')
def test_spellings() -> None:
    assert parse('--participant_label', '01', '--skip_bids_validation').skip_bids_validation
    assert parse('--participant_label=sub-002').participant_label == ('002',)
    assert parse('--session_label', 'A').session_label == ('A',)
    repeated = parse('--participant-label', '01', '--participant-label', '002')
    assert repeated.participant_label == ('01', '002')
    assert parse('--nthreads', '2').nprocs == parse('--n-cpus', '2').nprocs == 2
    assert parse('--mem-mb', '4000').mem_gb == parse('--mem_mb', '4000').mem_gb == 4.0
    assert parse('--localizers', 'syn', 'cnn', 'syn').localizers == ('cnn', 'syn')


@pytest.mark.usefixtures('bids')
def test_default_threads() -> None:
    assert parse('--nprocs', '1').omp_nthreads == 2
    assert parse('--nprocs', '32').omp_nthreads == 2


@pytest.mark.usefixtures('bids')
def test_file_and_command_line() -> None:
    saved = parse('--mem', '2GB', '--participant-label', '01', '--random-seed', '5', '--sloppy')
    saved.to_toml(Path('run.toml'))
    config = parse('--config-file', 'run.toml', '--random-seed', '9')
    assert (config.mem_gb, config.participant_label, config.sloppy) == (2.0, ('01',), True)
    assert config.random_seed == 9
    assert config.run_id != saved.run_id
    group = parse_args(['bids', 'out', 'group', '--config-file', 'run.toml'])
    assert (group.random_seed, 'sloppy' in group.options) == (5, False)


def test_group_options(bids: Path) -> None:
    (bids.parent / 'mine.tsv').touch()
    line = (
        '--annotations points --consensus-threshold 8 --agreement-overrides mine.tsv '
        '--equivalence-margin 2.5 --check-annotations'
    )
    config = parse_args(['bids', 'out', 'group', *line.split()])
    assert isinstance(config, GroupConfig)
    assert config.annotations == bids.parent / 'points'
    assert (config.consensus_threshold, config.equivalence_margin) == (8.0, 2.5)
    assert config.agreement_overrides == bids.parent / 'mine.tsv'
    assert config.check_annotations
    defaults = parse_args(['bids', 'out', 'group'])
    assert isinstance(defaults, GroupConfig)
    assert (defaults.equivalence_margin, defaults.check_annotations) == (3.0, False)


def test_group_without_images(bids: Path) -> None:
    for folder in ('sub-01/ses-A/anat', 'sub-01/ses-A', 'sub-01', 'sub-002/anat', 'sub-002'):
        (bids / folder).rmdir()
    assert parse_args(['bids', 'out', 'group']).annotations is None


def test_group_ignores_resources(bids: Path) -> None:
    """Options that cannot change results may stand in one list for all levels."""
    line = (
        f'-w {bids} --nprocs 4 --omp-nthreads 3 --mem 8GB --device cuda --use-plugin absent.yml '
        '--bids-database-dir db --write-graph --stop-on-first-crash'
    )
    config = parse_args(['bids', 'out', 'group', *line.split()])
    assert {'work_dir', 'nprocs', 'device', 'use_plugin'}.isdisjoint(config.options)


@pytest.mark.usefixtures('bids')
def test_train_options() -> None:
    line = (
        '--annotations points --consensus-threshold 8 --recipe quick --steps 7 --members 3 '
        '--residual none --weights weights.safetensors'
    )
    train = parse_args(['bids', 'out', 'train', *line.split()])
    assert isinstance(train, TrainConfig)
    assert train.annotations == Path('points').absolute()
    assert train.consensus_threshold == 8.0
    assert train.method_options == {
        'weights': Path('weights.safetensors').absolute(),
        **{'recipe': 'quick', 'steps': 7, 'members': 3, 'residual': ('none',)},
        **{'atlas': None, 'atlas_targets': None},
    }


@pytest.mark.usefixtures('bids')
def test_crossval_options() -> None:
    line = '--annotations points --residual separate none --folds 4'
    crossval = parse_args(['bids', 'out', 'crossval', *line.split()])
    assert isinstance(crossval, CrossvalConfig)
    assert (crossval.folds, crossval.repetitions) == (4, 5)
    assert crossval.method_options == {
        'recipe': 'default',
        'steps': None,
        'residual': ('separate', 'none'),
    }


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('', 'nothing to work on; type tmsprep BIDS_DIR OUT_DIR participant'),
        ('bids out nonsense', "'nonsense' is no analysis level; choose from participant, train"),
        ('bids out partcipant', "'partcipant' is no analysis level; did you mean participant?"),
        ('participant bids out', 'comes last; type tmsprep bids out participant'),
        ('bids participant out', 'comes last; type tmsprep bids out participant'),
        ('bids out', 'level is missing; type tmsprep bids out participant'),
        ('bids', 'level is missing; type tmsprep bids OUT_DIR participant'),
        (
            'bids participant',
            'BIDS_DIR OUT_DIR, and 1 are given (bids); type tmsprep BIDS_DIR OUT',
        ),
        ('bids out more group', 'and 3 are given (bids out more); type tmsprep BIDS_DIR OUT_DIR'),
        ('--participant 01', 'unknown option --participant; did you mean --participant-label?'),
        ('bids --localisers cnn out participant', 'did you mean --localizers?'),
        ('bids out participant --n_proc=2', 'unknown option --n-proc; did you mean --nprocs?'),
        ('bids out participant --qq', 'unknown option --qq (tmsprep participant --help lists'),
        ('nowhere out participant', 'no such folder; the first argument is the BIDS data set'),
        ('bids/sub-01 out participant', 'give --skip-bids-validation'),
        ('bids bids participant', 'may not go into the data set itself'),
        ('bids bids/../bids participant', 'may not go into the data set itself'),
        ('bids bids/sub-01/out participant', 'folder of a participant'),
        (
            'bids atlas.nii.gz participant',
            'outputs; to localise in it, type tmsprep atlas.nii.gz OUT',
        ),
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
        ('bids out participant --atlas atlas.nii.gz', '--atlas: give --atlas-targets as well'),
        ('bids out participant --atlas-targets points.tsv', 'give --atlas as well'),
        ('bids out participant --weights absent', '--weights: no file'),
        ('bids out participant --use-plugin absent', '--use-plugin: no file'),
        ('bids out participant --use-plugin bad.toml', 'names no plugin'),
        ('bids out participant --bids-database-dir bad.toml', 'bad.toml is not a folder'),
        ('bids out participant --derivatives absent', '--derivatives: no folder'),
        ('bids out participant --protocol absent', "--protocol: no protocol 'absent'"),
        ('bids out participant --protocol absent.toml', "--protocol: no protocol '/"),
        ('bids out participant --localizers ants', '--localizers ants: protocol tms has cnn, syn'),
        (
            'bids out participant --targets LDLPC',
            "--targets: no 'LDLPC' in protocol tms; did you mean LDLPFC? All are LOFC, ROFC,",
        ),
        ('bids out participant --targets ldlpfc', 'did you mean LDLPFC?'),
        ('bids out participant --targets X', "no 'X' in protocol tms; there are LOFC, ROFC, L"),
        ('bids out group --targets LDLPFC', '--targets is an option of participant, not of'),
        ('bids out participant --syn-preset slow', "invalid choice: 'slow'"),
        ('bids out participant --nprocs 0', '--nprocs must be 1 or more'),
        ('bids out participant --nprocs two', "'two' is not a whole number"),
        ('bids out participant --omp-nthreads 0', '--omp-nthreads must be 1 or more, not 0'),
        ('bids out participant --mem 8', 'did you mean 8GB?'),
        ('bids out participant --mem lots', 'write 8GB or 8000MB'),
        ('bids out participant --random-seed 0', '--random-seed must be from 1'),
        ('bids out participant --device tpu', "invalid choice: 'tpu'"),
        (
            'bids out participant --reports-only --annotations points',
            '--reports-only uses what is in OUT_DIR',
        ),
        ('bids out train', 'train needs --annotations DIR: a folder with one file of points'),
        ('bids out crossval', 'crossval needs --annotations DIR'),
        ('bids out train --annotations absent', '--annotations: no folder'),
        ('bids out train --annotations bids --recipe own', "invalid choice: 'own'"),
        (
            'bids out train --annotations bids --recipe duennwald2021',
            "--recipe: 'duennwald2021' is not known; choose from default, baxter2021, quick",
        ),
        ('bids out train --annotations bids --residual shared none', 'train takes one of shared'),
        ('bids out train --annotations bids --residual all', "invalid choice: 'all'"),
        ('bids out train --annotations bids --steps 0', '--steps must be 1 or more, not 0'),
        ('bids out train --annotations bids --members 0', '--members must be 1 or more'),
        ('bids out crossval --annotations bids --folds 1', '--folds must be 2 or more, not 1'),
        ('bids out crossval --annotations bids --repetitions 0', '--repetitions must be 1'),
        ('bids out train --annotations bids --consensus-threshold 0', 'must be above 0'),
        ('bids out train --annotations bids --consensus-threshold far', "'far' is not a number"),
        ('bids out group --check-annotations', '--check-annotations: give --annotations as well'),
    ],
)
def test_refusals(bids: Path, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    (bids.parent / 'bad.json').write_text('{"t1w": {"acq": "mprage"}}')
    (bids.parent / 'bad.toml').write_text('n_procs = 2')
    (bids.parent / 'filter.toml').write_text('[bids_filters.bold]\ntask = "rest"')
    assert message in refusal(capsys, *line.split())


@pytest.mark.usefixtures('bids')
@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('train --reports-only', '--reports-only is an option of participant, not of train;'),
        ('group --sloppy', '--sloppy is an option of participant, not of group; leave it out'),
        ('group --derivatives x', 'of participant and train and crossval, not of group;'),
        ('group --bids-filter-file t1w', '--bids-filter-file is an option of participant and'),
        ('participant --folds 3', '--folds is an option of crossval, not of participant;'),
        ('participant --members 3', '--members is an option of train, not of participant;'),
        ('train --members 2 --protocol locus-coeruleus', '--members has no use in protocol locus'),
        ('participant --segmentation pp', '--segmentation has no use in protocol tms; leave it'),
        ('participant --steps 3 --protocol locus-coeruleus', '--steps has no use in protocol'),
        (
            'train --weights weights.safetensors --protocol locus-coeruleus',
            '--weights is an option of participant, not of train; leave it out',
        ),
        (
            'crossval --weights weights.safetensors',
            'not of crossval, which trains every network from nothing; leave it out',
        ),
        ('participant --localizers syn --protocol locus-coeruleus', 'coeruleus has coreunet'),
    ],
)
def test_misplaced(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert message in refusal(capsys, 'bids', 'out', *line.split())


def test_empty_path(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'empty path' in refusal(capsys, str(bids), '', 'participant')
    assert 'empty path' in refusal(capsys, str(bids), 'out', 'participant', '-w', '')


def test_foreign_bytes(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b'\xe9t\xe9\x1b')
    bids.rename(bids.with_name(name))
    for line in ((name, 'out', 'participant'), (name, 'out', 'group')):
        message = refusal(capsys, *line)
        assert f'{bids.parent}/\\xe9t\\xe9\\x1b: this path has a byte that is not UTF-8' in message
    bids.with_name(name).rename(bids)
    for words in (('out', 'participant', '-w', name), (name, 'participant'), (name, 'group')):
        assert 'not UTF-8' in refusal(capsys, 'bids', *words)


@pytest.mark.parametrize(
    'label', ['a b', '01\n--sloppy', '../01', "it's", '', '-', 'ü', 'x' * 101]
)
@pytest.mark.parametrize('option', ['--participant-label', '--session-label'])
def test_odd_label(
    bids: Path, capsys: pytest.CaptureFixture[str], option: str, label: str
) -> None:
    kind = {'--participant-label': 'sub', '--session-label': 'ses'}[option]
    message = refusal(capsys, 'bids', 'out', 'participant', option, f'{kind}-{label}')
    assert 'not a BIDS label of a ' in message


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_unwritable_folder(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bids.parent / 'locked').mkdir(mode=0o500)
    message = refusal(capsys, 'bids', 'locked/out', 'participant')
    assert 'may not be written to' in message


def test_open_work_dir(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = bids.parent / 'work'
    work.mkdir()
    for level in ('participant', 'train', 'crossval'):
        annotated = () if level == 'participant' else ('--annotations', 'points')
        work.chmod(0o777)
        message = refusal(capsys, 'bids', 'out', level, *annotated)
        assert f'chmod o-w {work}' in message
        work.chmod(0o775)
        assert parse_args(['bids', 'out', level, *annotated]).out_dir == bids.parent / 'out'
    (work / f'tmsprep-{os.getuid()}').mkdir(mode=0o755)
    assert 'open to other users' in refusal(capsys, 'bids', 'out', 'participant')


def test_foreign_outputs(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = bids / 'derivatives' / 'fmriprep'
    out.mkdir()
    description = {'GeneratedBy': [{'Name': 'fMRIPrep'}]}
    (out / 'dataset_description.json').write_text(json.dumps(description))
    assert 'holds fMRIPrep' in refusal(capsys, str(bids), str(out), 'participant')
    assert parse_args([str(bids), str(out / 'tmsprep'), 'participant']).out_dir == out / 'tmsprep'


def test_missing_description(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bids / 'dataset_description.json').write_text('{"Name": ')
    assert 'cannot be read as JSON' in refusal(capsys, 'bids', 'out', 'participant')
    (bids / 'dataset_description.json').unlink()
    assert 'dataset_description.json' in refusal(capsys, 'bids', 'out', 'participant')
    assert parse('--skip-bids-validation').skip_bids_validation


TOY_METHOD = """
from tmsprep.methods.base import Method
from tmsprep.options import NamedPath, Option

class Toy(Method):
    name = 'toy'
    title = 'Toy'
    description = 'Nothing'
    options = (Option('toy_size', 'size of it', float, 2.0, above=0, levels=('participant',)),)

    def locate(self, request):
        raise NotImplementedError
"""
TOY_PROTOCOL = """
name = 'toys'
title = 'Toys'
source = 'none'
methods = ['toy']
targets = [{label = 'A', hemisphere = 'n/a', region = 'somewhere', type = 'none'}]
"""


@pytest.mark.usefixtures('bids')
def test_new_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method declares an option once: parser, help, settings file and checks follow."""
    (tmp_path / 'toy_method.py').write_text(TOY_METHOD)
    (tmp_path / 'toys.toml').write_text(TOY_PROTOCOL)
    monkeypatch.syspath_prepend(tmp_path)
    register('toy', 'toy_method:Toy')
    try:
        text = ' '.join(build_parser('participant').format_help().split())
        assert 'size of it (default: 2.0)' in text
        config = parse('--protocol', 'toys.toml', '--toy-size', '3')
        assert (config.localizers, config.method_options) == (('toy',), {'toy_size': 3.0})
        assert config.protocol == str(tmp_path / 'toys.toml')
        config.to_toml(tmp_path / 'run.toml')
        assert parse('--config-file', 'run.toml').method_options == {'toy_size': 3.0}
        assert 'has no use in protocol tms' in refusal(
            capsys, *['bids', 'out', 'participant', '--toy-size', '3']
        )
        assert '--toy-size must be above 0' in refusal(
            capsys, *['bids', 'out', 'participant', '--protocol', 'toys.toml', '--toy-size', '0']
        )
    finally:
        unregister('toy')


@pytest.mark.parametrize('level', LEVELS)
def test_help_texts(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a level shows its options, with their defaults, and no others."""
    with pytest.raises(SystemExit):
        parse_args([level, '--help'])
    words = capsys.readouterr().out
    text = ''.join(words.split())
    options = [option for option in SETTINGS.values() if option.help]
    options += [option for name in method_names() for option in method_options(name)]
    for option in options:
        has = level in {n for o in options if o.name == option.name for n in o.levels}
        assert bool(re.search(rf'{option.flag}(?![\w-])', words)) == has, option.name
        if level in option.levels:
            assert ''.join(option.describe().split()) in text
        if option.default not in (None, (), False) and option.type is not bool:
            assert '(default' in option.describe(), option.name


@pytest.mark.usefixtures('bids')
def test_targets() -> None:
    """Chosen targets are in the order of the protocol, once each."""
    given = ['--targets', 'RULIMBMC', 'LDLPFC', '--targets', 'LDLPFC']
    assert parse(*given).targets == ('LDLPFC', 'RULIMBMC')


@pytest.mark.parametrize(
    ('typed', 'offered'),
    [
        ('bids out par', 'participant'),
        ('bi', 'bids'),
        ('bids out participant --loc', '--localizers'),
        ('bids out participant --localizers cn', 'cnn'),
        ('bids out participant --targets LDL', 'LDLPFC'),
        ('bids out participant --atlas at', 'atlas.nii.gz'),
    ],
)
def test_completion(
    bids: Path, capsys: pytest.CaptureFixture[str], typed: str, offered: str
) -> None:
    """Bash is asked what it would offer."""
    pytest.importorskip('shtab')
    with pytest.raises(SystemExit):
        parse_args(['--print-completion', 'bash'])
    script = capsys.readouterr().out
    words = ['tmsprep', *typed.split()]
    script += f'COMP_WORDS=({" ".join(words)})\nCOMP_CWORD={len(words) - 1}\n'
    script += '_shtab_tmsprep; echo "${COMPREPLY[@]}"\n'
    command = ['bash', '-c', script]
    run = subprocess.run(command, cwd=bids.parent, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [offered]


def test_overview(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_args(['--help'])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert len(text.splitlines()) < 25
    assert all(level in text for level in LEVELS)


def test_help_is_light() -> None:
    """Nothing that takes long to import is imported to show it."""
    code = (
        'import sys; from tmsprep.cli.parser import parse_args\n'
        'try: parse_args(["participant", "--help"])\n'
        'finally: print([m for m in ("numpy", "nibabel", "bids", "nipype", "torch", "ants", '
        '"matplotlib", "psutil", "pandas", "yaml") if m in sys.modules], file=sys.stderr)'
    )
    checkout = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=checkout, check=True
    )
    assert run.stderr.strip() == '[]'
    assert 'tmsprep BIDS_DIR OUT_DIR participant' in run.stdout
    assert '--participant-label' in run.stdout
