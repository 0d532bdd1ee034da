"""The directory of files for neuronavigators of one image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.bids.names import Layout
from tmsprep.derivatives.earlier import EXPERT, REVIEWED
from tmsprep.disclaimer import disclaimer
from tmsprep.export.source import frame_in_words, grid_of, recommended_markers
from tmsprep.files import remove_inside
from tmsprep.formats import nibs_bids, sheet
from tmsprep.formats.left_out import LeftOut, in_one_line
from tmsprep.formats.markers import TOLERANCE_MM, Marker, largest_difference
from tmsprep.formats.navigators import Grid, NavigatorFile, Plan, plan_files, plan_slicer
from tmsprep.formats.parsing import PointsFileError
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import (
    ImageResults,
    TargetsTable,
    collect_subject,
    decisions_refused,
)
from tmsprep.reports.navigation import MANIFEST, image_in_words
from tmsprep.reports.styles import method_order, method_style
from tmsprep.tables import FRAME, write_json
from tmsprep.text import printable

logger = logging.getLogger(__name__)

README = 'README.txt'

_REFUSED = """\
There are no files for navigators here, as decisions of a reviewer cannot be used:
{}
Correct the table or delete it, then run the command export.
"""


def export_subject(
    layout: Layout, protocol: Protocol, subject: str, bids_dir: Path | None = None
) -> list[Path]:
    """Write the files for navigators of all images of one participant.

    Parameters
    ----------
    layout : Layout
        Output folder and protocol.
    protocol : Protocol
        The targets.
    subject : str
        Label of the participant, without ``sub-``.
    bids_dir : Path, optional
        The data set, to see whether its images were replaced, and for the codes of an image if
        outputs of an early version do not say them; where the outputs say it is, if not given.

    Returns
    -------
    list of Path
        The directories, see `Layout.navigation`; those of images without tables are deleted.
        Where decisions of a reviewer cannot be used, the directory holds the reason alone.

    Raises
    ------
    PointsFileError
        If a file cannot be written, or is not read back as it was written, or tables are damaged
        or of another image than the one that lies in the data set; there is no directory for that
        image then, but for the others.
    """
    # Those of images that have no tables any more, too.
    for outdated in layout.navigations(subject):
        remove_inside(outdated, layout.out_dir)
    written, problems = [], []
    for results in collect_subject(layout, subject, protocol, bids_dir).images:
        folder = layout.navigation(results.image)
        if results.replaced:
            problems.append(results.replaced_in_words)
            continue
        if results.damaged:
            problems += results.damaged
            continue
        if not _methods(results.tables):
            continue
        if refused := decisions_refused(results, layout, protocol):
            # The points may be those that the reviewer rejected or moved.
            logger.warning('%s: no files for navigators: %s', results.name, refused)
            write_text(folder / README, _REFUSED.format(refused))
            continue
        try:
            written.append(_export_image(folder, results, layout, protocol, bids_dir))
        except PointsFileError as error:
            # Half of the files would pass for all of them.
            remove_inside(folder, layout.out_dir)
            problems.append(str(error))
    if problems:
        raise PointsFileError('; '.join(problems))
    return written


def _export_image(
    folder: Path,
    results: ImageResults,
    layout: Layout,
    protocol: Protocol,
    bids_dir: Path | None,
) -> Path:
    grid = grid_of(folder.name, results, layout.out_dir, bids_dir)
    markers = recommended_markers(results.every_table, protocol)
    plan: Plan = [
        *plan_files(markers, grid),
        _nibs_bids(markers, grid, results),
        _sheet(markers, grid, results, protocol),
        *_of_methods(results.tables, protocol, grid),
    ]
    left_out = [planned for planned in plan if isinstance(planned, LeftOut)]
    files = [planned for planned in plan if isinstance(planned, NavigatorFile)]
    checked = {file: write_checked(folder, file) for file in files}
    where, given = printable(image_in_words(results, layout.out_dir)), _given(results.points)
    readme = _readme(grid, markers, files, left_out, protocol, where, given)
    write_text(folder / README, readme)
    content = {
        'Description': 'Files for neuronavigators, each read back and compared after writing',
        'Protocol': protocol.name,
        'Sources': [results.image.uri],
        'ReferenceImage': dict(results.reference),
        **_contents(markers, checked, left_out),
        'SoftwareVersion': __version__,
        'Disclaimer': disclaimer(protocol),
    }
    write_json(folder / MANIFEST, content)
    if left_out:
        words = in_one_line(left_out)
        logger.info('%s: no files for %s; %s has all', results.name, words, README)
    return folder


def _methods(tables: Mapping[str, TargetsTable]) -> list[str]:
    """Name the tables that are of methods, in order."""
    return [name for name in method_order(tables) if name not in (EXPERT, REVIEWED)]


def _contents(
    markers: Sequence[Marker], checked: Mapping[NavigatorFile, float], left_out: Sequence[LeftOut]
) -> dict[str, Any]:
    """List points and files for the manifest; `checked` is file to largest difference, mm."""
    return {
        'Tolerance_mm': TOLERANCE_MM,
        'Points': [
            {
                'Label': marker.label,
                'Name': marker.name,
                'Position': marker.target.tolist(),
                'Method': marker.method,
                'Status': marker.status,
            }
            for marker in markers
            if marker.found
        ],
        'Missing': [marker.label for marker in markers if not marker.found],
        'Marked': [marker.label for marker in markers if marker.warning],
        'Files': [
            {
                'Path': file.name,
                'System': file.system,
                'Format': file.format,
                'Frame': file.frame,
                'Points': sum(marker.found for marker in file.markers),
                'Difference_mm': round(difference, 6),
            }
            for file, difference in checked.items()
        ],
        'LeftOut': [{'System': left.what, 'Reason': left.reason} for left in left_out],
    }


def write_checked(folder: Path, file: NavigatorFile) -> float:
    """Write a file, read it back, and return the largest difference in mm.

    Raises
    ------
    PointsFileError
        If it cannot be written or read, or differs by more than `TOLERANCE_MM`; it is deleted.
    """
    path = folder / file.name
    file.write(path)
    try:
        difference = largest_difference(file.markers, file.read(path), file.holds)
        if not difference <= TOLERANCE_MM:
            raise PointsFileError(f'its numbers differ by {difference:.4g} mm')
    except PointsFileError as error:
        path.unlink(missing_ok=True)
        raise PointsFileError(
            f'{path}: read back, it is not what was written, so it is deleted: {error}. Please '
            'report this.'
        ) from error
    return difference


def _nibs_bids(markers: Sequence[Marker], grid: Grid, results: ImageResults) -> NavigatorFile:
    task = '' if 'task' in results.image.entities else '_task-plan'
    name = f'nibs-bids/{results.name}{task}_markers.tsv'
    system = nibs_bids.coordinate_system(results.image.uri, frame_in_words(grid))

    def write(path: Path) -> Path:
        described = path.name.removesuffix('_markers.tsv') + '_coordsystem.json'
        write_json(path.with_name(described), system)
        entries = {'Sources': [results.image.uri], 'NIBSBIDSDraft': nibs_bids.DRAFT, **FRAME}
        return nibs_bids.write_markers(path, markers, **entries)

    holds = ('target', 'entry', 'pose')
    return NavigatorFile(
        'NIBS-BIDS (BEP037)',
        f'draft {nibs_bids.DRAFT}',
        'RAS',
        name,
        markers,
        holds,
        write,
        nibs_bids.read_markers,
    )


def _sheet(
    markers: Sequence[Marker], grid: Grid, results: ImageResults, protocol: Protocol
) -> NavigatorFile:
    def write(path: Path) -> Path:
        return sheet.write_sheet(
            path,
            markers,
            heading=results.name.replace('_', ' '),
            frame=f'its {frame_in_words(grid)}',
            uri=results.image.uri,
            sha256=str(results.reference.get('SHA256', 'not known')),
            disclaimer=disclaimer(protocol),
        )

    return NavigatorFile(
        'Systems that are typed into',
        'page to read or print',
        'RAS and LPS',
        f'{grid.name}_sheet.html',
        markers,
        ('target', 'entry'),
        write,
        sheet.read_sheet,
    )


def _of_methods(
    tables: Mapping[str, TargetsTable], protocol: Protocol, grid: Grid
) -> list[NavigatorFile]:
    """Plan a point list for Slicer for each method, if there are several, to compare them."""
    names = _methods(tables)
    if len(names) < 2 or (grid.forms is not None and grid.forms.differ(grid.shape)):
        return []
    return [
        plan_slicer(
            recommended_markers({name: tables[name]}, protocol),
            f'slicer-methods/{grid.name}_desc-{name}.mrk.json',
            f'{grid.name} {name}',
            method_style(name).colour,
        )
        for name in names
    ]


def _given(points: TargetsTable | None) -> str:
    """Say which points are the user's own, and that they need not be of the last run."""
    if points is None:
        return ''
    space = points.sidecar.get('PointSpace')
    name = space.get('Name') if isinstance(space, dict) else 'a template'
    return (
        f'Given in {printable(str(name))} by --point or --points: '
        f'{", ".join(printable(row["label"]) for row in points.rows)}. They are of the last run '
        'that had these options; later runs keep them. To be rid of them, delete '
        f'{points.path.name} and export again.'
    )


def _readme(
    grid: Grid,
    markers: Sequence[Marker],
    files: Sequence[NavigatorFile],
    left_out: Sequence[LeftOut],
    protocol: Protocol,
    where: str,
    given: str,
) -> str:
    """Say in words which file is for which system, and what to look at."""
    singly = [file for file in files if '/' in file.name and len(file.markers) == 1]
    lines = [
        f'Targets of {grid.name} for neuronavigators',
        '',
        f'Millimetres in the frame of the image, its {frame_in_words(grid)}.',
        f'Load the very same image, {where}, into the navigator.',
        'Check a target on it.',
        'Each file was read back after writing; the largest difference is in export.json.',
        '',
        *(f'{f.name}: {f.system}, {f.format}, {f.frame}' for f in files if f not in singly),
        *sorted({f'{Path(f.name).parent}/: as above, one target in each' for f in singly}),
        '',
        *(f'Not written for {left.what}: {left.reason}.' for left in left_out),
        *(f'No point: {m.label} ({m.name}). {m.reason}.' for m in markers if not m.found),
        *(f'Look at: {m.title} ({m.name}). {m.reason}.' for m in markers if m.warning),
        *([given] if given else []),
        '',
        disclaimer(protocol),
    ]
    return '\n'.join(lines) + '\n'
