from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.bids.names import Layout
from tmsprep.running.locks import (
    LOCK_NAME,
    TAKEN,
    InUseError,
    claim_level,
    claim_participants,
    lock_labels,
    short_lock,
)

HOLD = """
import sys
from pathlib import Path
from tmsprep.running.locks import lock_labels
with lock_labels(Path(sys.argv[1]), sys.argv[2:]) as held:
    print(*sorted(held), flush=True)
    sys.stdin.readline()
"""


def hold(folder: Path, *labels: str) -> subprocess.Popen:
    """Let another process hold labels until it reads a line or is killed."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(folder), *labels],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline().split() == sorted(labels)
    return process


def test_held_elsewhere(tmp_path: Path) -> None:
    other = hold(tmp_path, '01', '02')
    with lock_labels(tmp_path, ['01', '02', '03']) as held:
        assert held == {'03'}
    with lock_labels(tmp_path / 'another', ['01']) as held:
        assert held == {'01'}
    # The system takes the locks back, however a process ends.
    other.kill()
    other.wait()
    with lock_labels(tmp_path, ['01', '02', '03']) as held:
        assert held == {'01', '02', '03'}
    assert [path.name for path in tmp_path.glob('*.lock')] == [LOCK_NAME]
    assert (tmp_path / LOCK_NAME).stat().st_size == 0


def test_short_lock(tmp_path: Path) -> None:
    with lock_labels(tmp_path, ['01']) as held:
        with short_lock(tmp_path, 'descriptions'):
            assert held == {'01'}
        other = subprocess.run(
            [sys.executable, '-c', HOLD, str(tmp_path), '01', '02'],
            input='\n',
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert other.stdout.split() == ['02']


def test_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Participants of other runs are left out, and partial files of the others are removed."""
    monkeypatch.setattr(logging.getLogger('tmsprep'), 'propagate', True)
    layout, work = Layout(tmp_path / 'out', 'tms'), tmp_path / 'work'
    partial = {
        label: layout.report(label).with_name(f'.0123abcd.{layout.report(label).name}')
        for label in ('01', '02', '03')
    }
    partial['04'] = layout.out_dir / 'sub-01' / 'anat' / '.0123abcd.sub-01_targets.tsv'
    for path in partial.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    others = [hold(layout.out_dir / 'logs', '02'), hold(work, '03')]
    with claim_participants(layout, work, {'01': [], '02': [], '03': []}) as claimed:
        assert claimed == {'01': []}
    assert [label for label, path in partial.items() if path.exists()] == ['02', '03']
    for other in others:
        other.communicate('\n')
    assert {r.getMessage() for r in caplog.records} == {f'sub-02: {TAKEN}', f'sub-03: {TAKEN}'}


HOLD_LEVEL = """
import sys
from pathlib import Path
from tmsprep.bids.names import Layout
from tmsprep.running.locks import claim_level
with claim_level(Layout(Path(sys.argv[1]), 'tms'), Path(sys.argv[2]), 'train'):
    print('held', flush=True)
    sys.stdin.readline()
"""


def test_level(tmp_path: Path) -> None:
    """The second run is refused and told of the first; a killed one leaves nothing in the way."""
    out, work = tmp_path / 'out', tmp_path / 'work'
    other = subprocess.Popen(
        [sys.executable, '-c', HOLD_LEVEL, str(out), str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert other.stdout.readline() == 'held\n'
    named = f'process {other.pid} on {socket.gethostname()}, since'
    for folder, paths in (
        (out / 'logs', (out, tmp_path / 'other')),
        (work, (tmp_path / 'other', work)),
    ):
        with (
            pytest.raises(InUseError, match=f'{folder}: {named}') as raised,
            claim_level(Layout(paths[0], 'tms'), paths[1], 'train'),
        ):
            pass
        assert 'is running train for protocol-tms here; wait for it to end' in str(raised.value)
    # Another level or protocol writes other files.
    with claim_level(Layout(out, 'tms'), work, 'crossval'):
        pass
    with claim_level(Layout(out, 'afids'), work, 'train'):
        pass
    other.kill()
    other.wait()
    (note,) = (out / 'logs').glob('in_use_*.json')
    assert json.loads(note.read_text())['pid'] == other.pid
    partial = out / '.0123abcd.train_protocol-tms_log.tsv'
    partial.touch()
    with claim_level(Layout(out, 'tms'), work, 'train'):
        assert json.loads(note.read_text())['pid'] == os.getpid()
        assert not partial.exists()
    assert [p.name for p in (out / 'logs').iterdir()] == [LOCK_NAME]


@pytest.mark.parametrize(
    'text', ['', '{"host": "a"', '[1]', '{"host": "a", "pid": 1, "since": "\\u001b[2J"}']
)
def test_damaged_note(tmp_path: Path, text: str) -> None:
    """What says who holds a level is read in the folder of outputs, which others may write."""
    held = hold(tmp_path / 'out' / 'logs', 'train_protocol-tms')
    (tmp_path / 'out' / 'logs' / 'in_use_train_protocol-tms.json').write_text(text)
    with (
        pytest.raises(InUseError, match='logs: another run is running train for protocol-tms'),
        claim_level(Layout(tmp_path / 'out', 'tms'), tmp_path / 'work', 'train'),
    ):
        pass
    held.communicate('\n')
