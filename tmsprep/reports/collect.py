"""What the output folder holds about one person: tables, sidecars, figures and errors."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TABLE = '^(?P<image>.+){}_desc-(?P<method>[A-Za-z0-9]+)_targets\\.tsv$'
_FIGURE = '^(?P<image>.+){}_desc-(?P<what>[A-Za-z0-9]+)_T1w\\.svg$'
_COERULEUS = 'coreunet'
# The table of protocol locus-coeruleus, whose steps are named coeruleus_<step>.
_AFTER_THE_TABLES = ('figures', 'coeruleus_figures')
# The steps that run after the tables are written.
_EXPERT = 'expert'
# Its table is written before the first step.

_REQUIRED = ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status')


@dataclass(frozen=True)
class TargetsTable:
    """One method's targets in one image, as written: the cells are text, missing is 'n/a'."""

    path: Path
    rows: tuple[Mapping[str, str], ...]
    sidecar: Mapping[str, object]


@dataclass(frozen=True)
class ErrorRecord:
    """A node that failed, as its record in the logs says."""

    node: str
    image: str
    message: str
    cure: str
    traceback: str
    node_dir: str = ''

    @property
    def of_coeruleus(self) -> bool:
        """Whether the step is one of protocol locus-coeruleus."""
        return self.node.startswith('coeruleus_')

    @property
    def tables_are_older(self) -> bool:
        """Whether the step stopped its run before the tables were written.

        The step that writes the tables also writes the records of methods that failed, with their
        folders; the figures come after the tables.
        """
        return not self.node_dir and self.node not in _AFTER_THE_TABLES

    @property
    def figures_are_older(self) -> bool:
        """Whether the step stopped its run before all figures were drawn."""
        return not self.node_dir


@dataclass
class ImageResults:
    """Everything about one T1w; `name` is its file name without suffix and extensions.

    `earlier` are tables that the last run of the image did not get to write anew.
    """

    name: str
    tables: dict[str, TargetsTable] = field(default_factory=dict)
    figures: dict[str, Path] = field(default_factory=dict)
    errors: list[ErrorRecord] = field(default_factory=list)
    earlier: list[Path] = field(default_factory=list)

    def leave_out_what_is_older(self) -> None:
        """Take out tables and figures of an earlier run if the last one did not get that far.

        The image may have been replaced since, and a point of another image is a wrong point.
        """
        if any(e.figures_are_older and not e.of_coeruleus for e in self.errors):
            self.figures.clear()
        stopped = {error.of_coeruleus for error in self.errors if error.tables_are_older}
        for method in [m for m in self.tables if (m == _COERULEUS) in stopped]:
            table = self.tables.pop(method)
            self.earlier += [] if method == _EXPERT else [table.path]

    def of_protocol(self, *, coeruleus: bool) -> ImageResults:
        """Return what is of protocol locus-coeruleus, or all else; figures are of the others."""
        return ImageResults(
            self.name,
            {m: table for m, table in self.tables.items() if (m == _COERULEUS) == coeruleus},
            {} if coeruleus else self.figures,
            [error for error in self.errors if error.of_coeruleus == coeruleus],
            [path for path in self.earlier if (f'_desc-{_COERULEUS}_' in path.name) == coeruleus],
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say about the image."""
        return not (self.tables or self.figures or self.errors or self.earlier)


@dataclass
class SubjectResults:
    """Everything about one person; `problems` are files that could not be read."""

    subject: str
    images: list[ImageResults]
    errors: list[ErrorRecord]
    problems: list[str]

    def of_protocol(self, *, coeruleus: bool) -> SubjectResults:
        """Return what is of protocol locus-coeruleus, or all else.

        Outputs of several protocols may lie in one folder; each has a report of its own.
        """
        images = [image.of_protocol(coeruleus=coeruleus) for image in self.images]
        images = [image for image in images if not image.is_empty]
        return SubjectResults(self.subject, images, self.errors, self.problems)


def collect_subject(out_dir: Path, subject: str, label: str = '') -> SubjectResults:
    """Read the derivatives and the error records of one person.

    Parameters
    ----------
    out_dir : Path
        The output folder.
    subject : str
        The person's label, with or without ``sub-``.
    label : str
        Value of the entity ``protocol`` of the outputs.

    Returns
    -------
    SubjectResults
        Its images in the order of their names. An error record belongs to the image whose file
        it names, else to the person. Tables and figures that the failed run did not get to write
        anew are left out. A file that cannot be read becomes a problem, in words; it does not
        hide the others.
    """
    out_dir = Path(out_dir)
    name = f'sub-{subject.removeprefix("sub-")}'
    images: dict[str, ImageResults] = {}
    problems: list[str] = []
    entity = f'_protocol-{label}' if label else ''
    for path in sorted((out_dir / name).glob('**/*_targets.tsv')):
        match = re.match(_TABLE.format(entity), path.name)
        if match:
            try:
                table = read_targets(path)
            except (OSError, ValueError) as error:
                problems.append(f'{path.name} could not be read: {error}')
                continue
            _image(images, match['image']).tables[match['method']] = table
    for path in sorted((out_dir / name).glob('**/figures/*.svg')):
        match = re.match(_FIGURE.format(entity), path.name)
        if match:
            _image(images, match['image']).figures[match['what']] = path
    errors = []
    for path in sorted((out_dir / 'logs' / name).glob(f'*{entity}_*.error.json')):
        try:
            record = read_error(path)
        except (OSError, ValueError) as error:
            problems.append(f'{path.name} could not be read: {error}')
            continue
        stem = re.sub(r'_[^_]*$', '', Path(record.image).name)
        owner = _image(images, stem).errors if stem.startswith(name) else errors
        owner.append(record)
    for image in images.values():
        image.leave_out_what_is_older()
    return SubjectResults(name, [images[key] for key in sorted(images)], errors, problems)


def read_targets(path: Path) -> TargetsTable:
    """Read a table of targets and the JSON beside it.

    Raises
    ------
    ValueError
        If a column is missing or the sidecar is not a JSON object.
    OSError
        If one of the two files cannot be opened.
    """
    with path.open(encoding='utf-8', newline='') as stream:
        reader = csv.DictReader(stream, delimiter='\t', restval='n/a')
        missing = [name for name in _REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f'it has no column {missing[0]!r}')
        rows = tuple(reader)
    return TargetsTable(path, rows, _json_object(path.with_suffix('.json')))


def read_error(path: Path) -> ErrorRecord:
    """Read the record of a failed node; a key that is not there becomes empty text."""
    content = _json_object(path)
    keys = ErrorRecord.__dataclass_fields__
    return ErrorRecord(**{key: _text(content.get(key)) for key in keys})


def _text(value: object) -> str:
    if isinstance(value, list):
        return ''.join(str(item) for item in value)
    return '' if value is None else str(value)


def _json_object(path: Path) -> dict[str, object]:
    content = json.loads(path.read_text(encoding='utf-8'))
    if not isinstance(content, dict):
        raise ValueError(f'{path.name} is not a JSON object')
    return content


def _image(images: dict[str, ImageResults], name: str) -> ImageResults:
    return images.setdefault(name, ImageResults(name))
