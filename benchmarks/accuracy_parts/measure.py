"""Points of one image by the methods themselves, as ``participant`` calls them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pandas as pd

from tmsprep.config import DEFAULT_THREADS
from tmsprep.evaluation.conformal import ErrorRadius, is_outdated
from tmsprep.evaluation.status import RADIUS
from tmsprep.interfaces.conform import Conform
from tmsprep.methods import get_method
from tmsprep.methods.base import Request, points_of
from tmsprep.methods.baxter2021.radius import CALIBRATION
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.tables import read_json

PROTOCOL = load_protocol('tms')


def with_gyri(protocol: Protocol, weights: Path | None) -> Protocol:
    """Let a protocol judge points by the weights of a parcellation; None for no judge."""
    name = '' if weights is None else str(weights.resolve())
    return replace(protocol, gyri=name)


@contextmanager
def request(
    image: Path | nib.Nifti1Image, protocol: Protocol, localizer: Path
) -> Iterator[Request]:
    """Conform an image, and ask for the points in it.

    Parameters
    ----------
    image : Path or nibabel.Nifti1Image
        T1w.
    protocol : Protocol
        The targets.
    localizer : Path
        Weights of the network.

    Yields
    ------
    Request
        Of the network; see `asked_of`. Its files are there until the context is left.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if isinstance(image, nib.Nifti1Image):
            nib.save(image, folder / 'sub-01_T1w.nii')
            image = folder / 'sub-01_T1w.nii'
        made = Conform(in_file=str(image)).run(cwd=name).outputs
        resources = get_method('cnn').resources(protocol, {'weights': localizer})
        yield Request(
            Path(made.conformed),
            read_json(Path(made.properties)),
            protocol,
            resources,
            folder=folder,
            threads=DEFAULT_THREADS,
        )


def asked_of(method: str, asked: Request, earlier: Mapping[str, Outcome]) -> Request:
    """Turn the result of `request` into that of another method, after earlier ones."""
    if method == 'cnn':
        return asked
    folder = asked.folder / method
    folder.mkdir(exist_ok=True)
    resources = get_method(method).resources(asked.protocol, {})
    return replace(asked, resources=resources, earlier=earlier, folder=folder)


def locate(method: str, asked: Request) -> Outcome:
    """Localise without judging; a failure is an outcome."""
    try:
        return get_method(method).locate(asked)
    except RuntimeError as error:
        # Refused or given up: counted as failed, never left out.
        return Outcome.failed(method, error)


def as_table(outcome: Outcome, protocol: Protocol) -> pd.DataFrame:
    """Make one row per target: label, x, y, z in mm, RAS+, further columns, failure."""
    rows = as_rows(points_of(outcome, protocol)).assign(**outcome.columns, **outcome.words)
    if outcome.error is not None:
        rows['failure'] = ' '.join(outcome.error['message'].split())
    return rows


def with_promise(rows: pd.DataFrame, outcome: Outcome, status: Sequence[str]) -> pd.DataFrame:
    """Add the status, take back radii as ``participant`` does, and add what they would be.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result of `as_table`.
    outcome : Outcome
        The same.
    status : sequence of str
        Of each point.

    Returns
    -------
    pandas.DataFrame
        With ``any_radius_mm``: the radius of every point by the calibration, promised or not.
    """
    rows = rows.assign(status=status)
    content = outcome.extra.get(CALIBRATION)
    if content is None or is_outdated(content) or RADIUS not in rows:
        return rows
    spread = rows.get('dispersion_mm', pd.Series(0.0, rows.index)).astype(float)
    radii = ErrorRadius.from_dict(content).finite_radii(
        dict(zip(rows['label'], spread, strict=True))
    )
    held_back = rows['status'].ne('ok')
    return rows.assign(
        any_radius_mm=rows['label'].map(radii).astype(float),
        **{RADIUS: rows[RADIUS].astype(float).mask(held_back)},
    )


def as_rows(points: PointSet) -> pd.DataFrame:
    """One row per point: label, x, y, z in mm, RAS+."""
    rows = pd.DataFrame(points.coordinates, columns=['x', 'y', 'z'])
    rows.insert(0, 'label', points.labels)
    return rows


def as_points(rows: pd.DataFrame) -> PointSet:
    """Read the points back that `as_rows` wrote."""
    return PointSet(tuple(rows['label']), rows[['x', 'y', 'z']].to_numpy(float))
