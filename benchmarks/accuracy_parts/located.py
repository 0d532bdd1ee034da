"""Points of one image by the methods themselves, as ``participant`` calls them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tmsprep.config import DEFAULT_THREADS
from tmsprep.interfaces.conform import Conform
from tmsprep.methods import get_method
from tmsprep.methods.base import Request, points_of
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.tables import read_json


@contextmanager
def request(
    image: Path, protocol: Protocol, method: str, weights: Path, earlier: Mapping[str, Outcome]
) -> Iterator[Request]:
    """Conform an image, and ask for the points of one method in it.

    Parameters
    ----------
    image : Path
        T1w.
    protocol : Protocol
        The targets.
    method : str
        Its name.
    weights : Path
        Of the localizer.
    earlier : mapping
        Outcomes of methods that ran before.
    """
    options = {'weights': weights} if method == 'cnn' else {}
    resources = get_method(method).resources(protocol, options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Conform(in_file=str(image)).run(cwd=name).outputs
        yield Request(
            Path(made.conformed),
            read_json(Path(made.properties)),
            protocol,
            resources,
            earlier,
            folder,
            threads=DEFAULT_THREADS,
        )


def locate(asked: Request, method: str) -> Outcome:
    """Localise without judging; a failure is an outcome. Its files are gone with the request."""
    try:
        outcome = get_method(method).locate(asked)
    except RuntimeError as error:
        outcome = Outcome.failed(method, error)
    return replace(outcome, files={})


def as_table(outcome: Outcome, protocol: Protocol) -> pd.DataFrame:
    """Make one row per target: label, x, y, z in mm, RAS+, further columns, failure."""
    points = points_of(outcome, protocol)
    rows = pd.DataFrame(points.coordinates, columns=['x', 'y', 'z'])
    rows.insert(0, 'label', protocol.labels)
    rows = rows.assign(**outcome.columns, **outcome.words)
    if outcome.error is not None:
        rows['failure'] = ' '.join(outcome.error['message'].split())
    return rows
