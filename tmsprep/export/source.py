"""What is exported: the recommended points of an image, and the image they are in."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.bids.description import linked_data
from tmsprep.bids.names import BidsError, ImageRef
from tmsprep.evaluation.recommendation import DECISION, Recommendation
from tmsprep.formats.markers import Marker
from tmsprep.formats.navigators import Grid
from tmsprep.formats.parsing import PointsFileError
from tmsprep.imaging.forms import Forms
from tmsprep.imaging.read import ImageError, read_forms
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import ImageResults, TargetsTable
from tmsprep.reports.first_screen import recommended
from tmsprep.reports.styles import method_style
from tmsprep.scalp.measure import SIDECAR_KEY
from tmsprep.scalp.pose import coil_pose
from tmsprep.text import printable

logger = logging.getLogger(__name__)


def recommended_markers(tables: Mapping[str, TargetsTable], protocol: Protocol) -> list[Marker]:
    """Make a marker of every target that the tables name, with the recommended point.

    Parameters
    ----------
    tables : mapping
        Method, or what else a table is called, to table.
    protocol : Protocol
        The targets.
    """
    return [_marker(one, tables) for one in recommended(tables, protocol)]


def _marker(one: Recommendation, tables: Mapping[str, TargetsTable]) -> Marker:
    if not one.usable:
        return Marker(one.label, name=one.name, status=one.status, reason=one.reason)
    row, scalp = _entry_of(one, tables)
    unusual = printable(scalp.get('Unusual', {}).get(one.label, ''))
    entry, normal, handle = (_vector(row, name) for name in ('entry', 'normal', 'handle'))
    return Marker(
        one.label,
        one.point,
        one.name,
        entry,
        _pose(entry, normal, handle),
        one.status,
        one.radius_mm,
        method_style(one.method).name,
        _warning(one) or ('entry' if unusual else ''),
        f'{one.reason}; entry: {unusual}' if unusual else one.reason,
        printable(scalp.get('Missing', {}).get(one.label, '')),
    )


def _warning(one: Recommendation) -> str:
    if one.warns:
        return one.status
    return 'second choice' if one.fallback and not one.decision else ''


def _entry_of(
    one: Recommendation, tables: Mapping[str, TargetsTable]
) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Return the row that says where the point is entered, and what its sidecar says of entries.

    A reviewer accepts the point of a method alone; its entry is in the table of the method. That
    of a moved point is in the table of decisions.
    """
    mine = tables.get(one.method)
    for table in (*([mine] if mine else []), *tables.values()):
        for row in table.rows:
            same = row.get('label') == one.label and np.array_equal(_vector(row, ''), one.point)
            without = DECISION in row and not np.isfinite(_vector(row, 'entry')).all()
            if same and 'entry_x' in row and not without:
                scalp = table.sidecar.get(SIDECAR_KEY)
                words = scalp if isinstance(scalp, dict) else {}
                return row, {k: v for k, v in words.items() if isinstance(v, dict)}
    return one.row, {}


def _pose(entry: np.ndarray, normal: np.ndarray, handle: np.ndarray) -> np.ndarray | None:
    """Return the pose of the coil, shape (4, 4); None if it is not known."""
    # Columns have four decimals, so directions of length 1 are a little off.
    if not all(abs(np.linalg.norm(direction) - 1) < 1e-2 for direction in (normal, handle)):
        return None
    pose = coil_pose(entry, normal, handle)
    return pose if np.isfinite(pose).all() else None


def _vector(row: Mapping[str, Any], name: str) -> np.ndarray:
    """Read three columns of a row, shape (3,); NaN if one of them is missing or no number.

    `name` is '' for the point itself.
    """
    try:
        vector = np.array([float(row[f'{name}_{axis}' if name else axis]) for axis in 'xyz'])
    except (KeyError, TypeError, ValueError):
        return np.full(3, np.nan)
    return vector if np.isfinite(vector).all() else np.full(3, np.nan)


def grid_of(name: str, results: ImageResults, out_dir: Path, bids_dir: Path | None) -> Grid:
    """Read the image's grid from a sidecar, and the codes of its header there or from the image.

    Parameters
    ----------
    name : str
        Beginning of the names of files.
    results : ImageResults
        Outputs of the image.
    out_dir : Path
        Output folder, which says where the data set is.
    bids_dir : Path or None
        The data set, if it is known.

    Raises
    ------
    PointsFileError
        If the sidecars do not say the grid.
    """
    reference = results.reference
    try:
        shape = tuple(int(n) for n in reference['Shape'])
        affine = np.array(reference['Affine'], dtype=np.float64)
        whole = len(shape) == 3 and min(shape) > 0 and affine.shape == (4, 4)
        if not whole or not math.isfinite(np.linalg.cond(affine)):
            raise ValueError
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        raise PointsFileError(
            f'{results.name}: its sidecars do not say the grid of the image, so no files for '
            'navigators can be written. Run the participant level again.'
        ) from None
    forms = Forms.from_entries(reference)
    return Grid(name, shape, affine, forms or _forms_of_image(results, out_dir, bids_dir))


def _forms_of_image(results: ImageResults, out_dir: Path, bids_dir: Path | None) -> Forms | None:
    """Read the forms from the image itself, if it is still the one that the points are in."""
    folder = bids_dir or linked_data(out_dir)
    if folder is None:
        return None
    try:
        image = ImageRef.from_path(folder, folder / results.image.relative_path)
        forms, sha256 = read_forms(image.path)
    except (BidsError, ImageError, OSError, ValueError) as error:
        logger.info('%s: the codes of its header are not known: %s', results.name, error)
        return None
    return forms if sha256 == results.reference.get('SHA256') else None


def frame_in_words(grid: Grid) -> str:
    """Say which form of the header the points are in."""
    if grid.forms is None:
        return 'affine, as nibabel reads it'
    which, code = grid.forms.in_use
    return f'{which} (code {code})'
