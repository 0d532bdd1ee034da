"""What a cross-validation of the locus coeruleus left in the outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from tmsprep.bids.names import BidsError
from tmsprep.group.issues import Issue
from tmsprep.methods.duennwald2021.group_sources import (
    POINT_COLUMNS,
    SEGMENT_COLUMNS,
    Measured,
    as_numbers,
    no_segments,
    nothing,
)

POINTS, SEGMENTS, FOLDS = (
    *('crossval_points.tsv', 'crossval_segmentation.tsv'),
    'crossval_folds.tsv',
)
HELD_OUT = 'held out'
"""Role of those whom no network has seen."""

_FAILED, _NO_REFERENCE = 'failed', 'no_reference'


def read_crossval(out_dir: Path, wanted: Iterable[str] = ()) -> Measured:
    """Read the tables of a cross-validation; empty ones if there was none.

    Parameters
    ----------
    out_dir : Path
        Folder of the outputs.
    wanted : iterable of str
        Labels of participants; nobody for all.

    Raises
    ------
    BidsError
        If a table cannot be read or lacks a column.
    """
    path = Path(out_dir) / POINTS
    if not path.is_file():
        return nothing()
    chosen = {f'sub-{label}' for label in wanted}
    points = _read(path, POINT_COLUMNS, chosen)
    segments, folds = Path(out_dir) / SEGMENTS, Path(out_dir) / FOLDS
    roles = _roles(folds, chosen) if folds.is_file() else {}
    return Measured(
        points,
        _read(segments, SEGMENT_COLUMNS, chosen) if segments.is_file() else no_segments(),
        list(_issues(points, roles)),
        roles,
        _settings(path.with_suffix('.json')),
    )


def _read(path: Path, columns: tuple[str, ...], chosen: set[str]) -> pd.DataFrame:
    table = _table(path, columns)
    try:
        table = as_numbers(table, columns)
    except ValueError as error:
        raise _unreadable(path, error) from error
    return _of(table, chosen)


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        # Of the words only n/a is missing: a label may be 'NA'.
        table = pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise _unreadable(path, f'it has no column {missing[0]!r}')
    return table


def _unreadable(path: Path, why: object) -> BidsError:
    return BidsError(f'{path}: cannot be read ({why}). Run crossval again, or take the file away.')


def _of(table: pd.DataFrame, chosen: set[str]) -> pd.DataFrame:
    return table[table['participant'].isin(chosen)].reset_index(drop=True) if chosen else table


def _roles(path: Path, chosen: set[str]) -> dict[str, str]:
    folds = _of(_table(path, ('participant', 'role')), chosen)
    return dict(zip(folds['participant'], folds['role'].astype(str), strict=True))


def _settings(path: Path) -> dict[str, object]:
    """Read the sidecar without the columns' descriptions; nothing if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    known = content if isinstance(content, dict) else {}
    return {name: value for name, value in known.items() if name not in POINT_COLUMNS}


def _issues(points: pd.DataFrame, roles: Mapping[str, str]) -> Iterator[Issue]:
    """Say who ought to have been tested and was not, and which sides have no reference."""
    held_out = [who for who, role in roles.items() if role == HELD_OUT]
    tested = dict.fromkeys(held_out or roles)
    there = set(points['participant'])
    for who in tested:
        if who not in there:
            message = 'was to be tested in crossval, but its tables have no points; run it again'
            yield Issue(who.removeprefix('sub-'), message)
    failed = points[points['status'] == _FAILED]
    for who, rows in failed.groupby('participant', sort=False):
        images = ', '.join(dict.fromkeys(rows['image']))
        message = f'{images}: could not be used in crossval, whose log says why'
        if len(rows) < (points['participant'] == who).sum():
            message = f'{images}: {len(rows)} points were not localised in crossval'
        yield Issue(who.removeprefix('sub-'), message)
    silent = points[points['status'] == _NO_REFERENCE]
    for (who, label), _ in silent.groupby(['participant', 'label'], sort=False):
        message = f'the rater has no {label}: its error cannot be told'
        yield Issue(who.removeprefix('sub-'), message, 'note')
