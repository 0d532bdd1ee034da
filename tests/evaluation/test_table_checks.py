from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.table_checks import check_table
from tmsprep.protocols import load_protocol
from tmsprep.tables import CHOSEN, read_json, write_json, write_table

PROTOCOL = load_protocol('tms')
LABELS = list(PROTOCOL.labels)
#: Voxels of 2 mm from -101 to 99 mm on each axis.
GRID = {'Shape': [100, 100, 100], 'Affine': [[2, 0, 0, -100], [0, 2, 0, -100], [0, 0, 2, -100],
                                              [0, 0, 0, 1]]}  # fmt: skip


def table(
    folder: Path,
    labels: list[str] = LABELS,
    first: tuple[float, float, float] = (0, 0, 0),
    status: str = 'ok',
    **entries: Any,
) -> Path:
    """Write points of which the first one is given, with its status."""
    points = np.zeros((len(labels), 3))
    points[0] = first
    rows = pd.DataFrame({'label': labels, **dict(zip('xyz', points.T, strict=True))})
    rows['status'] = [status, *['ok'] * (len(labels) - 1)]
    return write_table(folder / 'a.tsv', rows, 'points', {}, ReferenceImage=GRID, **entries)


def test_whole_table(tmp_path: Path) -> None:
    assert list(check_table(table(tmp_path), PROTOCOL).labels) == LABELS
    chosen = LABELS[2:4]
    check_table(table(tmp_path, chosen, **{CHOSEN: chosen}), PROTOCOL)


def test_lost_rows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf'a\.tsv: it lacks 1 target .*\({LABELS[1]}\)'):
        check_table(table(tmp_path, [LABELS[0], *LABELS[2:]]), PROTOCOL)
    with pytest.raises(ValueError, match=rf'lacks 1 target .*\({LABELS[3]}\)'):
        check_table(table(tmp_path, LABELS[2:3], **{CHOSEN: LABELS[2:4]}), PROTOCOL)


def test_repeated_and_unknown_rows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"a\.tsv: the point '{LABELS[0]}' appears twice"):
        check_table(table(tmp_path, [LABELS[0], LABELS[0], *LABELS[2:]]), PROTOCOL)
    with pytest.raises(ValueError, match=r'1 target that it was not written with \(M9\)'):
        check_table(table(tmp_path, [*LABELS, 'M9']), PROTOCOL)


def test_other_origin(tmp_path: Path) -> None:
    """A table of points of the user, and of another program, lists what it likes."""
    path = table(tmp_path, ['SMA'])
    assert check_table(path, PROTOCOL, every_target=False).labels == ('SMA',)
    sidecar = read_json(path.with_suffix('.json'))
    del sidecar['SoftwareVersion']
    write_json(path.with_suffix('.json'), sidecar)
    assert check_table(path, PROTOCOL).labels == ('SMA',)


@pytest.mark.parametrize('status', ['ok', 'near_edge', 'disagreement', 'x'])
def test_outside(tmp_path: Path, status: str) -> None:
    check_table(table(tmp_path, first=(98.9, 0, 0), status=status), PROTOCOL)
    path = table(tmp_path, first=(1000, 0, 0), status=status)
    words = rf'{LABELS[0]} at \(1000, 0, 0\) lies outside the image, but its status is {status}'
    with pytest.raises(ValueError, match=words):
        check_table(path, PROTOCOL)


@pytest.mark.parametrize('status', ['outside_image', 'unreliable', 'single'])
def test_outside_and_said_so(tmp_path: Path, status: str) -> None:
    check_table(table(tmp_path, first=(1000, 0, 0), status=status), PROTOCOL)


@pytest.mark.parametrize('shape', [None, [], [1, 2], 'x', [1e400, 1, 1]])
def test_damaged_grid(tmp_path: Path, shape: Any) -> None:
    """Without a grid nothing is known of the edge; the export says that it needs one."""
    path = table(tmp_path, first=(1000, 0, 0))
    sidecar = read_json(path.with_suffix('.json'))
    sidecar['ReferenceImage'] = {'Shape': shape, 'Affine': np.eye(4).tolist()}
    write_json(path.with_suffix('.json'), sidecar)
    check_table(path, PROTOCOL)
