from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hpc.slurm_local import LocalSlurm

from tmsprep.formats.targets_tsv import read_targets

CHECKOUT = Path(__file__).parents[2]
LABELS = [f'0{i}' for i in range(1, 9)]

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def submit(slurm: LocalSlurm, settings: Path, *options: str) -> str:
    """Run submit.sh, and return what it said."""
    run = subprocess.run(
        [CHECKOUT / 'hpc' / 'submit.sh', *options, settings],
        env={**slurm.environment, 'PYTHONPATH': str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def states(slurm: LocalSlurm, since: int) -> dict[str, list[tuple[str, str]]]:
    """State and exit code of each job by its name, without the first jobs of this Slurm."""
    found: dict[str, list[tuple[str, str]]] = {}
    for job in slurm.completed()[since:]:
        found.setdefault(job['Name'], []).append((job['JobState'], job['ExitCode']))
    return {name: sorted(jobs) for name, jobs in found.items()}


def table(out: Path, label: str) -> Path:
    return out / f'sub-{label}' / 'anat' / f'sub-{label}_protocol-tms_desc-cnn_targets.tsv'


def newest(out: Path) -> Path:
    return max((out / 'logs' / 'slurm').iterdir(), key=lambda path: path.stat().st_mtime)


def listed(path: Path) -> list[str]:
    """Participants in a table of those that are not done."""
    return [line.split('\t')[0] for line in path.read_text().splitlines()[1:]]


def test_array(slurm: LocalSlurm, settings: Path, bids: Path, tmp_path: Path) -> None:
    out, before = tmp_path / 'my out', len(slurm.completed())
    image = bids / 'sub-05' / 'anat' / 'sub-05_T1w.nii.gz'
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    assert 'participants: 8, tasks: 3;' in submit(slurm, settings)
    slurm.wait()

    failed = ('FAILED', '1:0')
    assert states(slurm, before) == {
        'tmsprep': [('COMPLETED', '0:0'), ('COMPLETED', '0:0'), failed],
        'tmsprep-group': [failed],
    }
    assert [label for label in LABELS if table(out, label).is_file()] == [
        label for label in LABELS if label != '05'
    ]
    assert read_targets(table(out, '06')).found.all()
    assert (out / 'group_protocol-tms.html').is_file()
    submission = newest(out)
    assert listed(submission / 'failed.tsv') == ['sub-05']
    log = next(submission.glob('tmsprep-group-*.out')).read_text()
    assert 'participants that are not done: 1' in log
    assert 'sub-05\tfailed: conform: ' in log
    assert list((tmp_path / 'scratch').iterdir()) == []

    written = {label: table(out, label).stat().st_mtime_ns for label in LABELS if label != '05'}
    image.write_bytes(whole)
    before = len(slurm.completed())
    assert 'participants: 1, tasks: 1;' in submit(slurm, settings)
    slurm.wait()
    assert states(slurm, before) == {
        'tmsprep': [('COMPLETED', '0:0')],
        'tmsprep-group': [('COMPLETED', '0:0')],
    }
    assert (newest(out) / 'tasks.txt').read_text() == 'sub-05\n'
    assert table(out, '05').is_file()
    assert written == {label: table(out, label).stat().st_mtime_ns for label in written}
    assert 'all participants are done' in submit(slurm, settings)


def test_cancelled_task(slurm: LocalSlurm, settings: Path, tmp_path: Path) -> None:
    out, scratch = tmp_path / 'my out', tmp_path / 'scratch'
    submit(slurm, settings)
    end = time.monotonic() + 60
    while len(list(scratch.glob('*/tmsprep-*/tms_wf'))) < 1 and time.monotonic() < end:
        time.sleep(0.1)
    jobs = (newest(out) / 'jobs.txt').read_text().split()
    subprocess.run(['scancel', *jobs], env=slurm.environment, check=True)
    slurm.wait()
    assert list(scratch.iterdir()) == []
    left = submit(slurm, settings, '--dry-run')
    finished = [label for label in LABELS if (out / f'sub-{label}_protocol-tms.html').is_file()]
    assert len(finished) < len(LABELS)
    assert all(f'sub-{label}\t' in left for label in LABELS if label not in finished)


def run_with_plugin(slurm: LocalSlurm, tmp_path: Path, *arguments: object) -> str:
    """Run tmsprep with Nipype's Slurm plugin, without any variable that names the user."""
    plugin = tmp_path / 'slurm.yml'
    # Nipype meets "-e" in this and names no log.
    plugin.write_text('plugin: SLURM\nplugin_args: {sbatch_args: --time=7 --exclusive=user}\n')
    environment = {**slurm.environment, 'PYTHONPATH': str(CHECKOUT)}
    unknown = ('LOGNAME', 'USER', 'LNAME', 'USERNAME')
    run = subprocess.run(
        [sys.executable, '-m', 'tmsprep', *map(str, arguments), '--use-plugin', plugin],
        cwd=tmp_path,
        env={name: value for name, value in environment.items() if name not in unknown},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


def asked(slurm: LocalSlurm, since: int) -> dict[str, str]:
    """CPUs and memory of the jobs, by the names of their nodes."""
    for job in slurm.completed()[since:]:
        assert (job['JobState'], job['TimeLimit']) == ('COMPLETED', '7')
    return {
        job['Name'].split('.')[0]: job['Tres'].split(',node')[0]
        for job in slurm.completed()[since:]
    }


def test_plugin(slurm: LocalSlurm, bids: Path, shipped_weights: Path, tmp_path: Path) -> None:
    before = len(slurm.completed())
    chosen = ('--participant-label', '01', '02', '--localizers', 'cnn', '--weights')
    work = tmp_path / 'work'
    log = run_with_plugin(
        *(slurm, tmp_path, bids, tmp_path / 'out', 'participant'),
        *(*chosen, shipped_weights, '-w', work),
    )
    assert 'finished without errors: 2 participants' in log
    assert asked(slurm, before) == {
        'conform': 'cpu=1,mem=1000M',
        'cnn': 'cpu=1,mem=1000M',
        'derivatives': 'cpu=1,mem=1000M',
        'figures': 'cpu=1,mem=1000M',
    }
    assert len(slurm.completed()) - before == 8
    assert len(list(work.glob('tmsprep-*/tms_wf/batch/slurm-*.out'))) == 8


def test_plugin_crossval(slurm: LocalSlurm, bids: Path, head: Path, tmp_path: Path) -> None:
    truth = head / 'derivatives' / 'truth' / 'sub-01' / 'anat' / 'sub-01_desc-truth_targets.tsv'
    points = tmp_path / 'points'
    points.mkdir()
    for label in ('01', '02'):
        # Files with the same points are refused.
        text = truth.read_text().replace('.', f'.{label[1]}')
        (points / f'sub-{label}_desc-me_targets.tsv').write_text(text)
    before = len(slurm.completed())
    run_with_plugin(
        *(slurm, tmp_path, bids, tmp_path / 'out', 'crossval', '--annotations', points),
        *('--participant-label', '01', '02', '--recipe', 'quick', '--steps', 1),
        *('--folds', 2, '--repetitions', 1, '-w', tmp_path / 'work'),
    )
    jobs = asked(slurm, before)
    assert jobs['shared_rep1_fold01'] == jobs['shared_rep1_fold02'] == 'cpu=1,mem=2000M'
    assert jobs['prepare_sub_01'] == 'cpu=1,mem=1000M'
    assert (tmp_path / 'out' / 'crossval_protocol-tms_predictions.tsv').is_file()
