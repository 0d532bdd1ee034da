from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from tmsprep.running.heartbeat import Heartbeat, _Step, describe


def test_says_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while this process computes in C, as all of its threads wait then."""
    log = tmp_path / 'tmsprep.log'
    monkeypatch.setattr(logging.getLogger('tmsprep'), 'handlers', [logging.FileHandler(log)])
    heartbeat = Heartbeat(0.2)
    heartbeat.begin('sub_01_T1w: short')
    heartbeat.end('sub_01_T1w: short')
    heartbeat.begin('sub_01_T1w: long')
    for _ in range(300):
        if 'still running' in log.read_text():
            break
        time.sleep(0.1)
    heartbeat.close()
    lines = log.read_text().splitlines()
    assert all(line.endswith('INFO still running: sub_01_T1w: long, 0 min') for line in lines)
    assert lines


def test_describe() -> None:
    steps = {f'sub-{n}': _Step(60.0 * n, '', '') for n in range(6)}
    assert describe(steps, now=330.0, least_s=60) == (
        'still running: sub-0, 5 min; sub-1, 4 min; sub-2, 3 min; sub-3, 2 min; and 1 more'
    )
    assert describe(steps, now=50.0, least_s=60) == ''


def test_stage_of_a_method(tmp_path: Path) -> None:
    """The stage of a registration is read from what ANTs prints; a method may tell nothing."""
    folder = tmp_path / 'key' / 'transforms'
    folder.mkdir(parents=True)
    (folder / 'ants.log').write_text(
        'Stage 1\n  iterations = 100x70x20\n*** Running SyN registration (var = 3) ***\n'
        'XXDIAGNOSTIC,Iteration,metricValue\n 1DIAGNOSTIC,     1, -9.1e-01, inf, \n'
        'XXDIAGNOSTIC,Iteration,metricValue\n 1DIAGNOSTIC,     1, -9.1e-01, inf, \n'
        ' 1DIAGNOSTIC,     2, -9.2e-01, inf, \n'
    )
    steps = {'a': _Step(0.0, 'syn', str(tmp_path)), 'b': _Step(1.0, 'cnn', str(tmp_path))}
    assert describe(steps, now=90.0, least_s=60) == (
        'still running: a, 1 min (SyN, level 2 of 3, iteration 2 of at most 70); b, 1 min'
    )
