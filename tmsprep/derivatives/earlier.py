"""Read back what an earlier run wrote about one image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, Layout, may_be
from tmsprep.evaluation.status import GYRUS_UNKNOWN, NOT_VISIBLE, WRONG_GYRUS
from tmsprep.methods import get_method
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import COLUMNS, FRAME, TEXT_COLUMNS, all_points, read_json
from tmsprep.text import open_text

#: Value of the entity ``desc`` of the table of the raters' consensus.
EXPERT = 'expert'

#: Value of the entity ``desc`` of the table of a reviewer's decisions.
REVIEWED = 'reviewed'
#: The same of the table of points given in a template.
POINTS = 'points'

#: Status of points that need a look to the entry of the sidecar that lists their targets.
DOUBTS = {
    NOT_VISIBLE: 'NotVisible',
    WRONG_GYRUS: 'WrongGyrus',
    GYRUS_UNKNOWN: 'GyrusUnknown',
}

#: Columns that every table of targets begins with.
FIRST_COLUMNS = ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status')


def read_outcome(
    layout: Layout, image: ImageRef, method: str, protocol: Protocol
) -> Outcome | None:
    """Read the outcome of a method back from its table of an earlier run; None without one.

    Raises
    ------
    ValueError
        If the table is damaged.
    """
    path = layout.table(image, method)
    sidecar = read_json(path.with_suffix('.json'))
    if not (path.is_file() and sidecar):
        return None
    points = all_points(path)
    table = pd.read_csv(open_text(path), sep='\t', na_values=['n/a'], keep_default_na=False)
    table = table.set_index('label', drop=False).reindex(protocol.labels)
    described = {*COLUMNS, *get_method(method).columns} - set(FIRST_COLUMNS) - TEXT_COLUMNS
    columns = {
        name: [None if np.isnan(value) else value for value in table[name].astype(float).tolist()]
        for name in table.columns
        if name in described
    }
    apart = {*table.columns, *FRAME, 'Method', 'Description', 'MNI'}
    details = {key: value for key, value in sidecar.items() if key not in apart}
    return Outcome(
        method,
        points,
        columns,
        details,
        findings=details.get('Findings', []),
        unreliable=details.get('Unreliable', []),
        words={
            name: table[name].fillna('').tolist() for name in TEXT_COLUMNS & set(table.columns)
        },
        doubts={key: details[entry] for key, entry in DOUBTS.items() if entry in details},
        refused=bool(details.get('Refused')),
    )


def located_points(layout: Layout, image: ImageRef, methods: Iterable[str]) -> dict[str, PointSet]:
    """Read the points of one image that methods have left, mm, RAS+; unreadable ones are not."""
    found = {}
    for method in methods:
        try:
            found[method] = all_points(layout.table(image, method))
        except ValueError:
            continue
    return found


def is_own_table(path: Path) -> bool:
    """Tell whether this package has written a table, by its sidecar."""
    return may_be(path, Path.is_file) and 'SoftwareVersion' in read_json(path.with_suffix('.json'))


def sidecar_path(path: str | Path) -> Path:
    """Name the sidecar of a table, an image or a transform."""
    path = Path(path)
    return path.with_name(path.name.removesuffix('.gz')).with_suffix('.json')


def source_sha256(path: str | Path) -> str:
    """Checksum of the image that a derivative was made from, by its sidecar; '' if it has none."""
    image = read_json(sidecar_path(path)).get('ReferenceImage')
    return str(image.get('SHA256', '')) if isinstance(image, dict) else ''
