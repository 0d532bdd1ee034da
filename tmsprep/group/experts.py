"""Consensus of the raters of each image of a run, and their distance from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tmsprep.bids.names import ImageRef
from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.evaluation.errors import errors_against_consensus, expert_variability
from tmsprep.group.derivatives import Derivatives, Geometry
from tmsprep.group.issues import Issue
from tmsprep.group.points import AGREEMENT_COLUMNS, agreement_table, consensus_points
from tmsprep.group.raters import RaterPoints, rater_table, read_raters
from tmsprep.imaging.read import ImageError, read_geometry
from tmsprep.protocols import Protocol
from tmsprep.tables import COLUMNS as TABLE_COLUMNS
from tmsprep.tables import Column, column

#: Columns of the table of experts, in its order.
COLUMNS: dict[str, Column] = {
    **{name: TABLE_COLUMNS[name] for name in ('label', 'hemisphere', 'region', 'x', 'y', 'z')},
    'status': column('What the raters agree on', **CONSENSUS_STATUSES),
    'n_raters': AGREEMENT_COLUMNS['n_raters'],
    'agreeing': column('Names of the raters whose mean the point is'),
    'variability_mm': column(
        'Mean distance of the raters from their consensus (Baxter et al. 2021, Table 2, Expert '
        'Var.), with those who are too far off to be in it; n/a for the point of one rater. They '
        "made that consensus, so it underestimates an expert's error",
        'mm',
    ),
}


class Experts(NamedTuple):
    """Points of raters of the images of a run.

    Parameters
    ----------
    tables : dict
        Name of an image to its table, see `expert_table`.
    raters : dict
        Name of an image to the names of its raters.
    geometry : dict
        Name of an image to its grid, for all whose header can be read.
    issues : list of Issue
        What is wrong with files and points.
    """

    tables: dict[str, pd.DataFrame]
    raters: dict[str, list[str]]
    geometry: dict[str, Geometry]
    issues: list[Issue]


def collect_experts(
    images: Mapping[str, Sequence[ImageRef]],
    folder: Path,
    bids_dir: Path,
    protocol: Protocol,
    threshold_mm: float,
    wanted: Sequence[str] = (),
) -> Experts:
    """Read and check the raters' points of some images; only headers of these are read.

    Parameters
    ----------
    images : mapping
        For each participant's label the images of the run.
    folder : Path
        Files of points, see `tmsprep.bids.annotations.find_annotations`.
    bids_dir : Path
        The data set.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Largest distance between raters who agree.
    wanted : sequence of str
        Labels of participants without 'sub-'; empty for all.

    Raises
    ------
    BidsError
        If the folder is missing or holds no file of points.
    """
    geometry = _geometry([image for several in images.values() for image in several])
    there = {subject: list(several) for subject, several in images.items() if several}
    derivatives = Derivatives(images=there, geometry=geometry)
    read, issues = read_raters(folder, bids_dir, derivatives, protocol, wanted)
    by_image: dict[str, list[RaterPoints]] = {}
    for points in read:
        if points.file.image.stem in geometry:
            by_image.setdefault(points.file.image.stem, []).append(points)
    tables = {
        name: expert_table(several, protocol, threshold_mm) for name, several in by_image.items()
    }
    raters = {name: [p.file.rater for p in several] for name, several in by_image.items()}
    return Experts(tables, raters, geometry, issues)


def _geometry(images: Sequence[ImageRef]) -> dict[str, Geometry]:
    """Read the grids; an unreadable image is left out, as it fails later with a better message."""
    found = {}
    for image in images:
        try:
            shape, affine, _ = read_geometry(image.path)
        except (ImageError, OSError):
            continue
        found[image.stem] = Geometry(shape, affine)
    return found


def expert_table(
    raters: Sequence[RaterPoints], protocol: Protocol, threshold_mm: float
) -> pd.DataFrame:
    """Consensus of the raters of one image, one row per target of the protocol.

    Parameters
    ----------
    raters : sequence of RaterPoints
        Points of one image.
    protocol : Protocol
        The targets, in order.
    threshold_mm : float
        Largest distance between raters who agree.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`; the point is in mm, RAS+, scanner frame of the image.
    """
    agreements = agreement_table(raters, protocol, threshold_mm)
    points = pd.concat([rater_table(raters), consensus_points(agreements)], ignore_index=True)
    errors = expert_variability(errors_against_consensus(points))
    variability = errors.groupby('label')['error_mm'].mean()
    table = agreements.assign(
        hemisphere=[target.hemisphere for target in protocol.targets],
        region=[target.region for target in protocol.targets],
        agreeing=agreements['agreeing'].replace('', 'n/a'),
        variability_mm=agreements['label'].map(variability),
    )
    return table[list(COLUMNS)]
