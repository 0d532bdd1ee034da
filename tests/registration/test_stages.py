from __future__ import annotations

import os
from pathlib import Path

from tmsprep.registration.stages import describe, printed_to

# As ANTs 2.5 prints it; the metrics are cut off.
PRINTED = """  number of levels = 2
Stage 0 State
Stage 0
  iterations = 20x10
*** Running AffineTransform registration ***
DIAGNOSTIC,Iteration,metricValue,convergenceValue,ITERATION_TIME_INDEX,SINCE_LAST
 2DIAGNOSTIC,     1, -7.0e-01, inf, 1.6e-01, 1.6e-01,
 2DIAGNOSTIC,     2, -7.2e-01, inf, 2.1e-01, 5.4e-02,
DIAGNOSTIC,Iteration,metricValue,convergenceValue,ITERATION_TIME_INDEX,SINCE_LAST
 2DIAGNOSTIC,     1, -9.9e-01, inf, 1.5e+00, 5.5e-01,
Stage 1
  iterations = 6x4
*** Running SyN registration (varianceForUpdateField = 3.0, varianceForTotalField = 0.0) ***
XXDIAGNOSTIC,Iteration,metricValue,convergenceValue,ITERATION_TIME_INDEX,SINCE_LAST
 1DIAGNOSTIC,     1, -9.1e-01, inf, 9.2e-01, 9.2e-01,
 1DIAGNOSTIC,    12, -9.1e-01, inf, 1.9e+00, 1.0e+00,
"""


def test_stages_of_ants() -> None:
    lines = PRINTED.splitlines(keepends=True)
    said = [describe(''.join(lines[:n])) for n in (3, 5, 7, 8, 10, 13, 14, 16)]
    assert said == [
        '',
        'affine',
        'affine, level 1 of 2, iteration 1 of at most 20',
        'affine, level 1 of 2, iteration 2 of at most 20',
        'affine, level 2 of 2, iteration 1 of at most 10',
        'SyN',
        'SyN, level 1 of 2, iteration 0 of at most 6',
        'SyN, level 1 of 2, iteration 12 of at most 6',
    ]


def test_printed_to(tmp_path: Path) -> None:
    path = tmp_path / 'ants.log'
    with printed_to(path):
        os.write(1, b'from C\n')
        assert path.read_bytes() == b'from C\n'
    assert not path.exists()
