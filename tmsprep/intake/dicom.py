"""Convert DICOM files by dcm2niix, which the extra ``dicom`` installs."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

from dcm2niix import bin as program

from tmsprep.bids.names import natural_key
from tmsprep.imaging.nifti_file import open_nifti
from tmsprep.imaging.scanner_frame import ImageError
from tmsprep.intake.archive import unpack
from tmsprep.intake.series import Series
from tmsprep.intake.source import DEEPEST, IntakeError, Kind
from tmsprep.tables import read_json
from tmsprep.text import shown

#: Longest conversion, s: an examination of 30,000 files takes about a minute.
LONGEST = 3600

#: Neither the user's defaults (-g i) nor names of patients in names of files (-f %s: the number
#: of the series); sidecars with all fields (-ba n), which are filtered afterwards.
_OPTIONS = (*('-g', 'i', '-b', 'y', '-ba', 'n', '-z', 'n', '-f', '%s'), *('-w', '2', '-v', 'n'))


def convert(source: Path, kind: Kind, folder: Path) -> list[Series]:
    """Convert all series of an examination.

    Parameters
    ----------
    source : Path
        A folder of DICOM files, a zip file of them, or one file of many frames.
    kind : Kind
        Which of these it is.
    folder : Path
        Existing empty folder that nobody else can read; it takes one uncompressed NIfTI file per
        series, and sidecars that name the patient.

    Returns
    -------
    list of Series
        In the order of their numbers.

    Raises
    ------
    IntakeError
        If dcm2niix is not installed, finds nothing to convert, or the zip file cannot be unpacked.
    """
    program = _program()
    made = folder / 'converted'
    made.mkdir()
    if kind is Kind.ZIP:
        unpacked = folder / 'unpacked'
        unpacked.mkdir()
        unpack(source, unpacked)
        where = [str(unpacked)]
    elif kind is Kind.DICOM_FILE:
        where = ['-s', 'y', str(source)]
    else:
        where = ['-d', str(DEEPEST), str(source)]
    said = _run([program, *_OPTIONS, '-o', str(made), *where], source)
    found = [series for path in made.glob('*.nii') if (series := _describe(path))]
    if not found:
        raise IntakeError(f'{source}: dcm2niix found no image in these DICOM files: {said}')
    return sorted(found, key=lambda series: natural_key(series.name))


def _program() -> str:
    spec = importlib.util.find_spec('dcm2niix')
    if spec is None:
        raise IntakeError(
            'DICOM files are converted by dcm2niix, which is not installed; run: pip install '
            "'tmsprep[dicom]'"
        )
    return str(program)


def _run(command: list[str], source: Path) -> str:
    """Run the converter; return the end of what it says."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IntakeError(
            f'{source}: dcm2niix took over {LONGEST // 60} minutes; give the folder of the T1w '
            'series alone'
        ) from error
    except OSError as error:
        raise IntakeError(
            f'{command[0]}: cannot be started ({error}); install it again'
        ) from error
    text = (done.stdout + done.stderr).decode(errors='replace').strip()
    return shown(text[-1000:])


def _describe(path: Path) -> Series | None:
    """Read the grid of a converted image; None if it is none that can be localised in."""
    try:
        with open_nifti(path) as file:
            header = file.header
            shape = tuple(int(n) for n in header.get_data_shape())
            edges = tuple(float(edge) for edge in header.get_zooms()[:3])
    except ImageError:
        return None
    if len(shape) < 3:
        return None
    return Series(
        path.stem,
        path,
        shape,
        (edges[0], edges[1], edges[2]),
        read_json(path.with_suffix('.json')),
    )
