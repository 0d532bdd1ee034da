"""Named points in a file of any supported format."""

from __future__ import annotations

from pathlib import Path

from tmsprep.formats.brainsight import read_brainsight, write_brainsight
from tmsprep.formats.parsing import PointsFileError
from tmsprep.formats.slicer import read_fcsv, read_markups, write_fcsv, write_markups
from tmsprep.formats.targets_tsv import read_targets, write_tsv
from tmsprep.points import PointSet

_READERS = {
    '.tsv': read_targets,
    '.mrk.json': read_markups,
    '.fcsv': read_fcsv,
}
_EXTENSIONS = (*_READERS, '.txt')


def read_points(path: Path, codes: tuple[int, int] | None = None) -> PointSet:
    """Read named points; the extension determines the format.

    Parameters
    ----------
    path : Path
        A table (``.tsv``), a file of 3D Slicer (``.mrk.json``, ``.fcsv``) or of Brainsight
        (``.txt``).
    codes : tuple of int, optional
        qform_code and sform_code of the image, by which Brainsight names its frame.

    Returns
    -------
    PointSet
        mm, RAS+.

    Raises
    ------
    PointsFileError
        If the file is missing, of unknown format, of another frame than the image's, or not what
        its extension says.
    """
    path = Path(path)
    extension = _extension(path)
    if extension == '.txt':
        return read_brainsight(path, codes)
    return _READERS[extension](path)


def write_points(path: Path, points: PointSet, frame: str = 'LPS', system: str = '') -> Path:
    """Write named points in the format of the extension; `read_points` reads them back.

    Parameters
    ----------
    path : Path
        Ends in ``.tsv``, ``.mrk.json``, ``.fcsv`` or ``.txt`` (Brainsight).
    points : PointSet
        mm, RAS+, in the scanner frame of the image; written to a tenth of a micrometre. A missing
        point is ``n/a`` in a table and undefined in ``.mrk.json``; the others leave it out.
    frame : str
        Frame of a file for Slicer: 'LPS' or 'RAS'.
    system : str
        Frame of a file for Brainsight, which is that of the image: see
        `tmsprep.formats.brainsight.frame_name`.

    Returns
    -------
    Path
        The file, which is written whole or not at all.

    Raises
    ------
    PointsFileError
        If the extension or the frame is unknown, or not given for Brainsight, or the format cannot
        hold a name.
    """
    path = Path(path)
    extension = _extension(path)
    if extension == '.tsv':
        return write_tsv(path, points)
    if extension == '.txt':
        if not system:
            raise PointsFileError(
                f'{path}: Brainsight names a frame by the codes in the header of the image. Give '
                'that name, such as NIfTI:S:Scanner for sform_code 1.'
            )
        return write_brainsight(path, points, system)
    return (write_fcsv if extension == '.fcsv' else write_markups)(path, points, frame)


def _extension(path: Path) -> str:
    for extension in _EXTENSIONS:
        if path.name.lower().endswith(extension):
            return extension
    raise PointsFileError(f'{path}: unknown format; give one of {", ".join(_EXTENSIONS)}')
