"""Convert DICOM files by dcm2niix, which the extra ``dicom`` installs."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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


#: Warnings of dcm2niix (1.0.20260724), before it names a series, that slices are missing or
#: unevenly spaced.
_BROKEN = ('Interslice distance varies', 'Missing images')

_CONVERTED = re.compile(r'Convert \d+ DICOM as (.+) \(\d+x\d+x\d+x\d+\)')


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
    broken = broken_series(said)
    found = [
        series
        for path in made.glob('*.nii')
        if (series := _describe(path, broken.get(path.stem, '')))
    ]
    if not found:
        why = shown(said.strip()[-1000:])
        raise IntakeError(f'{source}: dcm2niix found no image in these DICOM files: {why}')
    if kind is Kind.DICOM_FILE and all(series.slices < 2 for series in found):
        raise IntakeError(
            f'{source}: one slice; give the folder that holds all files of the series: '
            f'{source.parent}'
        )
    return sorted(tell_apart(found), key=lambda series: natural_key(series.name))


def broken_series(said: str) -> dict[str, str]:
    r"""Find the series whose slices do not make up a volume, in what dcm2niix says.

    It converts them all the same, as if slices that are missing had never been there, so that what
    is behind them is in the wrong place.

    Parameters
    ----------
    said : str
        Its output, in which the warnings about a series stand before the line that names it.

    Returns
    -------
    dict
        Name of a series to the warning.

    Examples
    --------
    >>> broken_series(
    ...     'Warning: Interslice distance varies in this volume\n'
    ...     'Convert 47 DICOM as /tmp/7 (60x50x47x1)\n'
    ...     'Convert 50 DICOM as /tmp/8 (60x50x50x1)'
    ... )
    {'7': 'Interslice distance varies in this volume'}
    """
    found, warning = {}, ''
    for line in said.splitlines():
        if line.startswith('Warning: ') and any(words in line for words in _BROKEN):
            warning = warning or line.removeprefix('Warning: ')
        elif converted := _CONVERTED.match(line):
            if warning:
                found[Path(converted[1]).name] = shown(warning, most=120)
            warning = ''
    return found


def tell_apart(found: Sequence[Series]) -> list[Series]:
    """Give numbers to the images that have the number of their series in common.

    dcm2niix gives the bare number to the first and adds a letter for the others, in the order of
    their files, so that the number alone would choose one of them without a question.

    Parameters
    ----------
    found : sequence of Series
        With the names of dcm2niix: '401' and '401a'.

    Returns
    -------
    list of Series
        With the names '401-1' and '401-2' instead, of which none is a number alone.
    """
    numbers = {series.name: re.sub(r'(?<=\d)[a-z]+$', '', series.name) for series in found}
    shared = Counter(numbers.values())
    count: Counter[str] = Counter()
    named = []
    # In the order of the letters, of which the 27th image has two.
    for series in sorted(found, key=lambda series: (len(series.name), series.name)):
        number = numbers[series.name]
        count[number] += 1
        alone = shared[number] == 1
        named.append(series if alone else replace(series, name=f'{number}-{count[number]}'))
    return named


def _program() -> str:
    try:
        from dcm2niix import bin as program
    except ImportError as error:
        raise IntakeError(
            'DICOM files are converted by dcm2niix, which is not installed; run: pip install '
            "'tmsprep[dicom]'"
        ) from error
    return str(program)


def _run(command: list[str], source: Path) -> str:
    """Run the converter; return what it says."""
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
    return (done.stdout + done.stderr).decode(errors='replace')


def _describe(path: Path, broken: str) -> Series | None:
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
    # The sidecar is written last, and not at all where the conversion fails.
    sidecar = path.with_suffix('.json')
    broken = broken or ('' if sidecar.is_file() else 'the conversion was not finished')
    return Series(
        path.stem, path, shape, (edges[0], edges[1], edges[2]), read_json(sidecar), broken
    )
