"""Points from any file that is understood."""

from __future__ import annotations

from pathlib import Path

from tmsprep.formats.brainsight import read_brainsight
from tmsprep.formats.errors import PointsFileError
from tmsprep.formats.slicer import read_fcsv, read_markups
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.points import PointSet

_READERS = {
    '.tsv': read_targets,
    '.mrk.json': read_markups,
    '.fcsv': read_fcsv,
    '.txt': read_brainsight,
}


def read_points(path: Path) -> PointSet:
    """Read named points; the extension says which format.

    Parameters
    ----------
    path : Path
        A table (``.tsv``), a file of 3D Slicer (``.mrk.json``, ``.fcsv``) or of
        Brainsight (``.txt``).

    Returns
    -------
    PointSet
        mm, RAS+.

    Raises
    ------
    PointsFileError
        If the file is missing, of an unknown kind, or not what its extension says.
    """
    path = Path(path)
    if not path.is_file():
        raise PointsFileError(f'file of points not found: {path}')
    for extension, reader in _READERS.items():
        if path.name.lower().endswith(extension):
            return reader(path)
    raise PointsFileError(f'{path}: unknown kind of file; give one of {", ".join(_READERS)}')
