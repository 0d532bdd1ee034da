"""The raters of the images of a run: their consensus, and how far they are from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tmsprep.bids.names import ImageRef
from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.evaluation.variability import expert_variability
from tmsprep.group.agreements import agreement_table, consensus_points
from tmsprep.group.derived import Derived, Geometry
from tmsprep.group.issues import Issue
from tmsprep.group.points import point_table
from tmsprep.group.raters import RaterPoints, rater_table, read_raters
from tmsprep.imaging.read import ImageError, read_geometry
from tmsprep.protocols import Protocol
from tmsprep.tables import COLUMNS as TARGET_COLUMNS

COLUMNS: dict[str, dict[str, Any]] = {
    **{name: TARGET_COLUMNS[name] for name in ('label', 'hemisphere', 'region', 'x', 'y', 'z')},
    'status': {'Description': 'What the raters agree on', 'Levels': CONSENSUS_STATUSES},
    'n_raters': {'Description': 'How many raters gave a usable point'},
    'agreeing': {'Description': 'Names of the raters whose mean the point is'},
    'variability_mm': {
        'Description': 'Mean distance of the raters from their consensus (Baxter et al. 2021, '
        'Table 2, Expert Var.), with those who are too far off to be in it; n/a for the point of '
        "one rater. They made that consensus, so it is too small as a measure of an expert's "
        'error',
        'Units': 'mm',
    },
}
"""The columns of the experts' table, for its sidecar."""


class Experts(NamedTuple):
    """What the raters say about the images of a run.

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
        For each participant's label the images of this run.
    folder : Path
        Files of points, see `tmsprep.bids.annotations.find_annotations`.
    bids_dir : Path
        The data set.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Largest distance between raters who agree.
    wanted : sequence of str
        Labels of participants; nobody for all.

    Raises
    ------
    BidsError
        If the folder is missing or holds no file of points.
    """
    geometry = _geometry([image for several in images.values() for image in several])
    there = {subject: list(several) for subject, several in images.items() if several}
    derived = Derived(point_table([]), there, geometry, [])
    read, issues = read_raters(folder, bids_dir, derived, protocol, wanted)
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
    """Read the grids; an image that cannot be read fails by itself, with a better message."""
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
    """Give the raters' consensus on one image, one row per target of the protocol.

    Parameters
    ----------
    raters : sequence of RaterPoints
        All of one image.
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
