"""Points into any file that is understood."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tmsprep.formats.brainsight import SYSTEM, write_brainsight
from tmsprep.formats.errors import PointsFileError
from tmsprep.formats.parsing import check_writable
from tmsprep.formats.slicer_write import write_fcsv, write_markups
from tmsprep.formats.targets_tsv import write_table
from tmsprep.points import PointSet


def write_points(path: Path, points: PointSet, frame: str = 'LPS', system: str = SYSTEM) -> Path:
    """Write named points; the extension says which format. `read_points` reads them back.

    Parameters
    ----------
    path : Path
        Ends in ``.tsv``, ``.mrk.json``, ``.fcsv`` or ``.txt`` (Brainsight).
    points : PointSet
        mm, RAS+, in the scanner frame of the image; written to a tenth of a micrometre. A missing
        point is ``n/a`` in a table and undefined in ``.mrk.json``; the others leave it out.
    frame : str
        Of Slicer's files: 'LPS' or 'RAS'.
    system : str
        Of Brainsight's files, see `tmsprep.formats.brainsight.write_brainsight`.

    Returns
    -------
    Path
        The file, which is there whole or not at all.

    Raises
    ------
    PointsFileError
        If the extension or the frame is unknown, or the format cannot hold a name.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith('.tsv'):
        return _write_tsv(path, points)
    if name.endswith('.mrk.json'):
        return write_markups(path, points, frame)
    if name.endswith('.fcsv'):
        return write_fcsv(path, points, frame)
    if name.endswith('.txt'):
        return write_brainsight(path, points, system)
    raise PointsFileError(
        f'{path}: unknown kind of file; give one of .tsv, .mrk.json, .fcsv, .txt (Brainsight)'
    )


def _write_tsv(path: Path, points: PointSet) -> Path:
    check_writable(points.labels, path)
    table = pd.DataFrame(points.coordinates, columns=['x', 'y', 'z'])
    table.insert(0, 'label', points.labels)
    return write_table(path, table)
