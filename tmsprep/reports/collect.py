"""Index of the output folder: tables, figures and errors of one participant and protocol."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from tmsprep.bids.description import linked_data
from tmsprep.bids.names import BidsError, ImageRef, Layout
from tmsprep.derivatives.earlier import EXPERT, POINTS, REVIEWED
from tmsprep.evaluation.table_checks import check_table
from tmsprep.failures import ErrorRecord, read_record
from tmsprep.files import file_sha256
from tmsprep.protocols import Protocol
from tmsprep.review import why_refused
from tmsprep.text import open_text, parse_json, read_text

_REQUIRED = ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status')
_Read = TypeVar('_Read')

_REPLACED = """\
{path} was replaced: its checksum is no longer that of the image in which the points here were \
localised. Run the participant level on it again, or put the former image back"""

_REMAKE = 'Restore it, or run the participant level again'


@dataclass(frozen=True)
class ReportItem:
    """One file that a report can show.

    Parameters
    ----------
    protocol : str
        Value of the entity ``protocol``.
    what : str
        Value of ``desc``, such as a method or a target; for an error the step.
    image : str
        Name of the image without its suffix; '' for an error of the whole participant.
    kind : str
        'table', 'figure' or 'error'.
    path : Path
        The file.
    """

    protocol: str
    what: str
    image: str
    kind: str
    path: Path


@dataclass(frozen=True)
class TargetsTable:
    """One method's targets in one image, as written: the cells are text, missing is 'n/a'."""

    path: Path
    rows: tuple[Mapping[str, str], ...]
    sidecar: Mapping[str, Any]


@dataclass(frozen=True)
class ImageResults:
    """Outputs of one image; `name` is its file name without suffix and extensions.

    `tables` and `figures` are those of its last run; `earlier` are tables that this run did not
    write again, or that are of a former image, which are not shown; `points` are points of the
    user's own, given in a template; `replaced` is the path of the image in the data set, if it is
    another one now than the one that `earlier` are of; `damaged` says of tables that cannot be
    used what is wrong with them, in words without a full stop.
    """

    name: str
    tables: Mapping[str, TargetsTable]
    figures: Mapping[str, Path]
    errors: Sequence[ErrorRecord] = ()
    earlier: Sequence[Path] = ()
    points: TargetsTable | None = None
    replaced: str = ''
    damaged: Sequence[str] = ()

    @property
    def every_table(self) -> Mapping[str, TargetsTable]:
        """Tables of methods, raters and reviewers, and of the user's own points."""
        return self.tables if self.points is None else {**self.tables, POINTS: self.points}

    @property
    def figures_are_older(self) -> bool:
        """Whether figures on disk may be of an earlier run, or of a former image."""
        return bool(self.replaced) or any(error.figures_are_older for error in self.errors)

    @property
    def replaced_in_words(self) -> str:
        """What to do about an image that was replaced, without a full stop; '' for others."""
        return _REPLACED.format(path=self.replaced) if self.replaced else ''

    @property
    def image(self) -> ImageRef:
        """The source, which need not exist; its path starts at the data set's root."""
        entities = dict(part.split('-', 1) for part in self.name.split('_') if '-' in part)
        usual = self.replaced or f'{self.name}_T1w.nii.gz'
        path = PurePosixPath(str(self.reference.get('Path', usual)))
        suffix = path.name.partition('.')[0].rpartition('_')[2]
        return ImageRef(Path(path), path, entities, suffix)

    @property
    def reference(self) -> Mapping[str, Any]:
        """Entry 'ReferenceImage' of the first sidecar that has one."""
        return next(filter(None, map(_reference, self.tables.values())), {})


@dataclass(frozen=True)
class SubjectResults:
    """Outputs of one participant; `problems` are files that could not be read."""

    subject: str
    images: Sequence[ImageResults]
    errors: Sequence[ErrorRecord]
    problems: Sequence[str]


def index_subject(layout: Layout, subject: str) -> list[ReportItem]:
    """List the tables, figures and error records of one participant, by name.

    Parameters
    ----------
    layout : Layout
        Output folder and protocol; files of other protocols are left out.
    subject : str
        Label of the participant, without ``sub-``.
    """
    folder, label = layout.out_dir / f'sub-{subject}', layout.label
    patterns = {
        'table': f'**/*_protocol-{label}_desc-*_targets.tsv',
        'figure': f'**/figures/*_protocol-{label}_desc-*_T1w.svg',
    }
    items = []
    for kind, pattern in patterns.items():
        for path in sorted(folder.glob(pattern)):
            image, _, rest = path.name.partition(f'_protocol-{label}_desc-')
            items.append(ReportItem(label, rest.rpartition('_')[0], image, kind, path))
    for path in layout.records(subject):
        name, _, rest = path.name.partition(f'_protocol-{label}_')
        # The suffix is the one part without a dash; input problems have none.
        image = name.rpartition('_')[0] if '-' not in name.rpartition('_')[2] else ''
        items.append(ReportItem(label, rest.partition('.')[0], image, 'error', path))
    return items


def collect_subject(
    layout: Layout, subject: str, protocol: Protocol, bids_dir: Path | None = None
) -> SubjectResults:
    """Read the derivatives and the error records of one participant.

    Parameters
    ----------
    layout : Layout
        Output folder and protocol.
    subject : str
        Label of the participant, with or without ``sub-``.
    protocol : Protocol
        The targets.
    bids_dir : Path, optional
        The data set; where the outputs say it is, if not given.

    Returns
    -------
    SubjectResults
        Its images in the order of their names. Tables and figures that a failed run did not
        write again are left out, and those of another image than the one that lies in the data
        set, by its checksum; nothing is said of an image that does not lie there. A file that
        cannot be read, and a table that is not what its sidecar says, become a problem, in words,
        and do not hide the others.
    """
    label = subject.removeprefix('sub-')
    items = index_subject(layout, label)
    problems: dict[ReportItem, str] = {}

    def read(kind: str, reader: Callable[[ReportItem], _Read]) -> list[tuple[ReportItem, _Read]]:
        found = []
        for item in items:
            # Decisions that are not used have no sidecar; `decisions_refused` says why.
            refused = item.what == REVIEWED and not item.path.with_suffix('.json').is_file()
            if item.kind == kind and not refused:
                try:
                    found.append((item, reader(item)))
                except (OSError, ValueError) as error:
                    # The report is passed on: no folders.
                    why = str(error).replace(str(item.path), item.path.name)
                    why = why.removeprefix(f'{item.path.name}: ')
                    problems[item] = f'{item.path.name} cannot be used: {why}'
        return found

    tables = read('table', lambda item: _read_whole(item, protocol))
    errors = read('error', lambda item: read_record(item.path))
    figures = [(item, item.path) for item in items if item.kind == 'figure']
    damaged = [(item, why) for item, why in problems.items() if item.kind == 'table']
    names = {item.image for item, _ in [*tables, *errors, *figures, *damaged] if item.image}
    data = bids_dir or linked_data(layout.out_dir)
    images = [
        _of_present_image(
            _image_results(
                name,
                {item.what: table for item, table in tables if item.image == name},
                {item.what: path for item, path in figures if item.image == name},
                [error for item, error in errors if item.image == name],
                [f'{why}. {_REMAKE}' for item, why in damaged if item.image == name],
            ),
            data,
        )
        for name in sorted(names)
    ]
    general = [error for item, error in errors if not item.image]
    return SubjectResults(f'sub-{label}', images, general, [*problems.values()])


def decisions_refused(image: ImageResults, layout: Layout, protocol: Protocol) -> str:
    """Say why decisions that lie beside the tables of an image are not used, in words.

    '' if they are used, or there are none. Else its points must not pass for decided ones.

    Parameters
    ----------
    image : ImageResults
        The image.
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    """
    if image.replaced or not image.tables or REVIEWED in image.tables:
        return ''
    return why_refused(layout, image.image, protocol)


def _image_results(
    name: str,
    tables: Mapping[str, TargetsTable],
    figures: Mapping[str, Path],
    errors: Sequence[ErrorRecord],
    damaged: Sequence[str],
) -> ImageResults:
    """Leave out tables and figures of an earlier run if the last one did not get that far.

    The image may have been replaced since, and a point of another image is a wrong point.
    """
    earlier: list[Path] = []
    tables = dict(tables)
    if any(error.tables_are_older for error in errors):
        # The raters' table is written before the first step.
        earlier = [table.path for method, table in tables.items() if method != EXPERT]
        tables = {}
    if any(error.figures_are_older for error in errors):
        figures = {}
    own = tables.pop(POINTS, None)
    return ImageResults(name, tables, figures, errors, earlier, own, damaged=damaged)


def _of_present_image(results: ImageResults, data: Path | None) -> ImageResults:
    """Leave out the tables of another image than the one that lies in the data set now.

    With them go the figures, as they show the points of several tables.
    """
    checksums = {
        name: sha256
        for name, table in results.every_table.items()
        if (sha256 := _reference(table).get('SHA256'))
    }
    present = _present_image(results, data) if checksums else None
    if present is None:
        return results
    path, sha256 = present
    former = [name for name, of_image in checksums.items() if of_image != sha256]
    if not former:
        return results
    return replace(
        results,
        tables={name: table for name, table in results.tables.items() if name not in former},
        figures={},
        earlier=[*results.earlier, *(results.every_table[name].path for name in former)],
        points=None if POINTS in former else results.points,
        replaced=path,
    )


def _present_image(results: ImageResults, data: Path | None) -> tuple[str, str] | None:
    """Read path and checksum of an image in the data set; None if it cannot be read there.

    Sidecars are not trusted: only a regular file at the place of this very image is read.
    """
    references = map(_reference, results.every_table.values())
    named = next((entry['Path'] for entry in references if entry.get('Path')), None)
    if data is None or not isinstance(named, str):
        return None
    try:
        image = ImageRef.from_path(data, data / named)
        if image.stem != results.name or not image.path.is_file():
            return None
        return str(image.relative_path), file_sha256(image.path)
    except (BidsError, OSError, ValueError):
        return None


def _reference(table: TargetsTable) -> Mapping[str, Any]:
    """Entry 'ReferenceImage' of a sidecar; empty if it has none."""
    entry = table.sidecar.get('ReferenceImage')
    return entry if isinstance(entry, dict) else {}


def _read_whole(item: ReportItem, protocol: Protocol) -> TargetsTable:
    """Read a table that is what its sidecar says; else a ValueError says what is wrong."""
    table = read_targets(item.path)
    check_table(item.path, protocol, every_target=item.what not in (POINTS, REVIEWED))
    return table


def read_targets(path: Path) -> TargetsTable:
    """Read a table of targets and its sidecar.

    Raises
    ------
    ValueError
        If a column is missing or the sidecar is not a JSON object.
    OSError
        If one of the two files cannot be opened.
    """
    reader = csv.DictReader(open_text(path), delimiter='\t', restval='n/a')
    try:
        missing = [name for name in _REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f'it has no column {missing[0]!r}')
        rows = tuple(reader)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return TargetsTable(path, rows, _json_object(path.with_suffix('.json')))


def entities_in_words(name: str) -> str:
    """Write the entities of an image in words: 'session A, run 1'; '' if there are none."""
    pairs = [part.split('-', 1) for part in name.split('_') if '-' in part]
    words = [f'{_ENTITY_WORDS.get(key, key)} {value}' for key, value in pairs if key != 'sub']
    return ', '.join(words)


_ENTITY_WORDS = {
    'ses': 'session',
    'acq': 'acquisition',
    'ce': 'contrast agent',
    'rec': 'reconstruction',
    'inv': 'inversion',
}


def _json_object(path: Path) -> dict[str, Any]:
    content = parse_json(read_text(path))
    if not isinstance(content, dict):
        raise ValueError(f'{path.name} is not a JSON object')
    return content
