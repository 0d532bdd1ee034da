"""The report of one person in protocol locus-coeruleus: one HTML file that needs nothing else."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tmsprep.atomic import write_text
from tmsprep.methods.duennwald2021.measures import SEGMENTATION_STATUSES
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES
from tmsprep.reports.collect import ErrorRecord, ImageResults, collect_subject
from tmsprep.reports.participant import Picture, data_uri, entity_title
from tmsprep.reports.summary import Number
from tmsprep.reports.template import render_report

METHOD_NAMES = {
    'npp': 'NPP: sliding window',
    'pp': 'PP: sliding window with post-processing',
    'lpp': 'LPP: one patch at the localised points',
}
# In the order of the report; names as in Duennwald et al. 2021, section 2.3.

_TABLE = 'coreunet'


@dataclass(frozen=True)
class Row:
    """A side's row of a table: its cells as numbers, None if missing, and the status in words."""

    side: str
    cells: Mapping[str, Number | None]
    status: str
    words: str

    @property
    def warns(self) -> bool:
        """Whether a reader must look before using the row."""
        return self.status != 'ok'


@dataclass(frozen=True)
class Segmentation:
    """One method's measures and picture."""

    name: str
    file: str
    rows: list[Row]
    sidecar: Mapping[str, object]
    picture: Picture | None


@dataclass(frozen=True)
class CoeruleusPage:
    """One image as the template shows it."""

    anchor: str
    title: str
    points: list[Row]
    sidecar: Mapping[str, object]
    heatmaps: Picture | None
    segmentations: list[Segmentation]
    errors: list[ErrorRecord]
    earlier: list[str]

    @property
    def warnings(self) -> list[str]:
        """One sentence per status that a reader must look at."""
        sentences = []
        parts = [('Points', self.points), *((s.name, s.rows) for s in self.segmentations)]
        for what, rows in parts:
            for words in dict.fromkeys(row.words for row in rows if row.warns):
                sides = [row.side.lower() for row in rows if row.words == words]
                sentences.append(f'{what}, {" and ".join(sides)}: {words}.')
        return sentences

    @property
    def training_data(self) -> str:
        """What the weights say they were trained on."""
        weights = self.sidecar.get('Weights')
        return str(weights.get('TrainingData', '')) if isinstance(weights, dict) else ''


def coeruleus_report_path(out_dir: Path, subject: str) -> Path:
    """Name the report, which stands beside that of other protocols."""
    return Path(out_dir) / f'sub-{subject.removeprefix("sub-")}_protocol-locuscoeruleus.html'


def write_coeruleus_report(out_dir: Path, subject: str) -> Path:
    """Write the report of one person from what lies in the output folder.

    The file holds its figures and needs no network, no scripts and no other file. The same
    derivatives give the same bytes. What is missing is said to be missing.

    Parameters
    ----------
    out_dir : Path
        The output folder.
    subject : str
        The person's label, with or without ``sub-``.

    Returns
    -------
    Path
        Of `coeruleus_report_path`.
    """
    results = collect_subject(out_dir, subject).of_protocol(coeruleus=True)
    problems = list(results.problems)
    html = render_report(
        'report_coeruleus.html.jinja',
        subject=results.subject,
        pages=[_page(Path(out_dir), image, problems) for image in results.images],
        errors=results.errors,
        problems=problems,
    )
    return write_text(coeruleus_report_path(out_dir, subject), html)


def _page(out_dir: Path, image: ImageResults, problems: list[str]) -> CoeruleusPage:
    table = image.tables.get(_TABLE)
    # Segmentations lie beside the points; without these they are of an earlier run, and hidden.
    folder = table.path.parent if table else None
    drawn = not any(error.figures_are_older for error in image.errors)
    figures = folder.with_name('figures') if folder and drawn else None
    return CoeruleusPage(
        anchor=image.name,
        title=entity_title(image.name),
        points=_rows(table.rows, PAIR_STATUSES) if table else [],
        sidecar=table.sidecar if table else {},
        heatmaps=_picture(figures, f'{image.name}_desc-{_TABLE}_heatmap.svg', _HEATMAPS),
        segmentations=list(_segmentations(folder, figures, image.name, problems)),
        errors=image.errors,
        earlier=[path.name for path in image.earlier],
    )


_HEATMAPS = 'Heatmaps of left and right over axial, coronal and sagittal slices'
_OUTLINES = 'Outlines of left and right and of the reference region on four slices'


def _segmentations(
    folder: Path | None, figures: Path | None, name: str, problems: list[str]
) -> Iterator[Segmentation]:
    for method, words in METHOD_NAMES.items() if folder else ():
        path = folder / f'{name}_desc-{method}_segmentation.tsv'
        if not path.is_file():
            continue
        try:
            with path.open(encoding='utf-8', newline='') as stream:
                rows = list(csv.DictReader(stream, delimiter='\t', restval='n/a'))
            shown = _rows(rows, SEGMENTATION_STATUSES)
            sidecar = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
        except (OSError, ValueError, KeyError) as error:
            problems.append(f'{path.name} could not be read: {error}')
            continue
        # Without labels a picture would be one of an earlier run.
        there = (folder / f'{name}_desc-{method}_dseg.nii.gz').is_file()
        file = f'{name}_desc-{method}_dseg.svg'
        picture = _picture(figures, file, _OUTLINES) if there else None
        yield Segmentation(words, path.name, shown, sidecar, picture)


def _rows(rows: list[Mapping[str, str]], statuses: Mapping[str, str]) -> list[Row]:
    return [
        Row(
            side={'L': 'Left', 'R': 'Right'}.get(row['hemisphere'], row['label']),
            cells={name: _number(name, cell) for name, cell in row.items()},
            status=row['status'],
            words=statuses.get(row['status'], f'unknown status: {row["status"]}'),
        )
        for row in rows
    ]


def _number(name: str, cell: str) -> Number | None:
    """Read a cell; contrast ratios are shown with three decimals."""
    number = Number.parse(cell)
    if number is None or not name.startswith('cr_'):
        return number
    return Number(number.exact, f'{number.value:.3f}')


def _picture(folder: Path | None, file: str, alternative: str) -> Picture | None:
    path = folder / file if folder else None
    return Picture(file, data_uri(path), alternative) if path and path.is_file() else None
