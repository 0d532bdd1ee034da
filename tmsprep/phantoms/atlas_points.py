"""The atlas points that ship with the package."""

from __future__ import annotations

import csv
from importlib.resources import files

from tmsprep.points import PointSet

ATLAS_TABLE = 'atlas_targets_MNI152NLin2009aSym.tsv'


def atlas_rows() -> list[dict[str, str]]:
    """Rows of the shipped atlas table, column name to text, in protocol order."""
    text = (files('tmsprep.data') / ATLAS_TABLE).read_text(encoding='utf-8')
    return list(csv.DictReader(text.splitlines(), delimiter='\t'))


def atlas_points() -> PointSet:
    """Atlas points in mm, RAS+ of the template."""
    return PointSet.from_mapping(
        {row['label']: [float(row[axis]) for axis in 'xyz'] for row in atlas_rows()}
    )
