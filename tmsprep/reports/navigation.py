"""Part of a participant's report: the files for neuronavigators of one image, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np

from tmsprep.bids.description import RAW
from tmsprep.bids.names import Layout, may_be
from tmsprep.evaluation.recommendation import Recommendation
from tmsprep.reports.collect import ImageResults
from tmsprep.reports.sections import Link, Number, Section, Table
from tmsprep.tables import read_json

#: What was written for navigators, and what was not; the last file of its directory, so that one
#: without is not complete.
MANIFEST = 'export.json'

#: Points of files for navigators are those of the report if they differ by less, mm.
SAME_MM = 0.001

_OUTDATED = """\
The files for navigators hold other points than this report: they are older or newer. Do not use \
them before the command `export` has written them again."""

_LOOK = """\
Look at every target in the viewer or the figures below; where you doubt it, open it above for \
its landmarks. Use none that you would not have set yourself."""

_LOAD = """\
Load {image}, and no other scan or copy, into {program}: the points hold in its frame alone."""

_TAKE = """\
Load the points from the [files for navigators](#{place}), or type them from the sheet that lies \
there."""

_COMPARE = """\
Compare one target on the screen of the navigator with this report, and check the side on the \
participant, before anything else."""

_TEXT = """\
In `{folder}`, beside this report. Every file was read back after it was written: the largest \
difference from the points is {largest:.6f} mm (allowed: {allowed:g} mm). Folders hold one target \
per file. A target with a warning says so in its name."""


def read_manifest(layout: Layout, image: ImageResults) -> dict[str, Any]:
    """Read what was written for navigators; empty if the directory is missing or incomplete."""
    return read_json(layout.navigation(image.image) / MANIFEST)


def navigation_section(
    image: ImageResults, layout: Layout, chosen: Sequence[Recommendation]
) -> Section | None:
    """List the files for navigators of one image, with links.

    Parameters
    ----------
    image : ImageResults
        The image.
    layout : Layout
        Names of the outputs.
    chosen : sequence of Recommendation
        Points of the report, with which those of the files are compared.

    Returns
    -------
    Section or None
        None if there are no complete files.
    """
    manifest = read_manifest(layout, image)
    files = _mappings(manifest.get('Files'))
    if not files:
        return None
    folder = layout.navigation(image.image).relative_to(layout.out_dir).as_posix()
    shown = [file for file in files if _is_whole(file)]
    rows: list[list[str | Link]] = [
        [
            str(file.get('System', '')),
            str(file.get('Format', '')),
            str(file.get('Frame', '')),
            Link(str(file['Path']), quote(f'{folder}/{file["Path"]}')),
        ]
        for file in shown
    ]
    left_out = [
        f'Not written for {left.get("System")}: {left.get("Reason")}.'
        for left in _mappings(manifest.get('LeftOut'))
    ]
    differences = [_number(file.get('Difference_mm')) for file in files]
    text = _TEXT.format(
        folder=folder, largest=max(differences), allowed=_number(manifest.get('Tolerance_mm'))
    )
    return Section(
        'Files for navigators',
        text=text,
        tables=[Table('', ['For', 'Format', 'Frame', 'File'], rows, ' '.join(left_out))],
        warnings=outdated(manifest, image, chosen),
        folded=True,
    )


def outdated(
    manifest: Mapping[str, Any], image: ImageResults, chosen: Sequence[Recommendation]
) -> list[str]:
    """Return a sentence if the files for navigators hold other points than the report.

    Parameters
    ----------
    manifest : mapping
        As `read_manifest` returns it.
    image : ImageResults
        The image of the report.
    chosen : sequence of Recommendation
        The points of the report.
    """
    written = {
        point.get('Label'): point.get('Position') for point in _mappings(manifest.get('Points'))
    }
    reference = manifest.get('ReferenceImage')
    sha256 = reference.get('SHA256') if isinstance(reference, dict) else None
    same = sha256 == image.reference.get('SHA256') and all(
        _agree(one, written.get(one.label)) for one in chosen
    )
    if same:
        return []
    return [_OUTDATED]


def image_in_words(image: ImageResults, out_dir: Path, quote: str = '') -> str:
    """Say where the image of points is, so that nobody looks for it beside the points.

    Parameters
    ----------
    image : ImageResults
        The image.
    out_dir : Path
        Output folder, which holds images that were given without a data set.
    quote : str
        What paths stand between.

    Returns
    -------
    str
        Its path from the output folder if it lies there, else its name and BIDS URI.
    """
    path = image.reference.get('Path')
    if not isinstance(path, str) or not path:
        return 'this image'
    copied = PurePosixPath(RAW, path)
    if '..' not in copied.parts and may_be(out_dir / copied, Path.is_file):
        return f'{quote}{copied}{quote}'
    return f'{quote}{image.image.path.name}{quote} ({quote}{image.image.uri}{quote})'


def next_steps(
    image: ImageResults,
    chosen: Sequence[Recommendation],
    navigation: Section | None,
    out_dir: Path,
) -> list[str]:
    """Say what to do with the points of one image; nothing if there are none.

    Parameters
    ----------
    image : ImageResults
        The image.
    chosen : sequence of Recommendation
        Its points.
    navigation : Section or None
        Result of `navigation_section`.
    out_dir : Path
        Output folder.
    """
    if not any(one.usable for one in chosen):
        return []
    name = image_in_words(image, out_dir, '`')
    if navigation is None:
        return [_LOOK, _LOAD.format(image=name, program='the program that uses the points')]
    steps = [_LOOK, _LOAD.format(image=name, program='the navigator')]
    if not navigation.warnings:
        steps.append(_TAKE.format(place=f'{image.name}-{navigation.place}'))
    return [*steps, _COMPARE]


def _mappings(value: object) -> list[Mapping[str, Any]]:
    """Objects of a list in a file that anybody may have written."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_whole(file: Mapping[str, Any]) -> bool:
    """Tell whether a file is inside its directory, and not one of a series of single targets."""
    path = PurePosixPath(str(file.get('Path', '..')))
    inside = not path.is_absolute() and '..' not in path.parts
    return inside and (len(path.parts) == 1 or file.get('Points') != 1)


def _number(value: object) -> float:
    number = Number.parse(str(value))
    return float('inf') if number is None else number.value


def _agree(one: Recommendation, position: object) -> bool:
    if not one.usable or position is None:
        return one.usable == (position is not None)
    try:
        return bool(np.allclose(one.point, np.array(position, float), rtol=0, atol=SAME_MM))
    except (TypeError, ValueError):
        return False
