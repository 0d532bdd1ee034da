"""Section of the report on CoRe-Unet and the segmentation, from the derivatives alone."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.baxter2021.section import BAXTER
from tmsprep.methods.duennwald2021.measures import SEGMENTATION_STATUSES
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.reports.sections import Number, Picture, Section, Table
from tmsprep.reports.summary import side_in_words, status_words
from tmsprep.tables import read_json
from tmsprep.text import open_text

_NAMES = (
    'sliding window',
    'sliding window with post-processing',
    'one patch at the localised points',
)

#: Headings of the segmentations, as Duennwald et al. 2021, section 2.3, name them.
SEGMENTATION_NAMES = {
    way: f'{way.upper()}: {name}' for way, name in zip(SEGMENTATIONS, _NAMES, strict=True)
}

#: Column of the table of measures: heading and decimals.
_COLUMNS = {
    'volume_mm3': ('Volume, mm³', 1),
    'cr_median': ('Median contrast', 3),
    'cr_maximum': ('Largest contrast', 3),
    'reference_median': ('Signal of reference', 1),
}

DUENNWALD = """\
Dünnwald M, Betts MJ, Düzel E, Oeltze-Jafra S (2021). Localization of the locus coeruleus in MRI \
via coordinate regression. In: Bildverarbeitung für die Medizin 2021. Springer Vieweg. \
doi:10.1007/978-3-658-33198-6"""

#: Papers about the networks.
NETWORKS = """\
Çiçek O, Abdulkadir A, Lienkamp SS, et al. (2016). 3D U-Net: learning dense volumetric \
segmentation from sparse annotation. MICCAI 2016, 424-432.
Dünnwald M, Betts MJ, Sciarra A, et al. (2020). Automated segmentation of the locus coeruleus \
from neuromelanin-sensitive 3T MRI using deep convolutional neural networks. Bildverarbeitung für \
die Medizin 2020, 61-66.
Nibali A, He Z, Morgan S, Prendergast L (2018). Numerical coordinate regression with \
convolutional neural networks. arXiv:1801.07372.""".splitlines()

_TWO_POINTS = """\
The network always gives two points, also where a side cannot be seen: check that there is a \
nucleus at each."""

_UNSEEN = """\
A side on which the segmentation sees no nucleus is "not seen": its point is a guess. Check that \
there is a nucleus at each of the others."""

_NETWORK = (
    'A 3D U-Net with a differentiable spatial to numerical transform (Nibali et al., 2018) gave '
    'the points of the left and right locus coeruleus (Dünnwald et al., 2021); each point is the '
    'mean of its heatmap. A second 3D U-Net (Çiçek et al., 2016; Dünnwald et al., 2020) labelled '
    'the voxels. '
)

_MEASURES = (
    'The position of the reference region follows from the two points; the paper does '
    'not give its size and distance. Contrast ratios are of the intensities as the scanner gave '
    'them, without a correction of the bias of the coil.'
)

_STAGES = (
    'A multi-resolution network (Baxter et al., 2021) found the brainstem in the whole image. A '
    '3D U-Net with a differentiable spatial to numerical transform (Nibali et al., 2018; Dünnwald '
    'et al., 2021) then looked at a crop around each locus coeruleus, the right one in a mirror, '
    'and again around the point that it had found; each point is the mean over the networks. A '
    'second 3D U-Net (Çiçek et al., 2016; Dünnwald et al., 2020) labelled the voxels of the same '
    'crops. '
)


def section(image: ImageRef, layout: Layout) -> Section:
    """Heatmaps and segmentations of one image; see `Method.section`."""
    sidecar = read_json(layout.table(image, 'coreunet').with_suffix('.json'))
    weights, in_stages = sidecar.get('Weights', {}), 'FirstStage' in sidecar
    heatmaps = _picture(
        layout.figure(image, 'coreunet', 'heatmap'),
        'Heatmaps of left and right over axial, coronal and sagittal slices',
        'Heatmaps of the network. After Figure 3 of Duennwald et al. (2021).',
    )
    parts = list(_segmentations(image, layout))
    return Section(
        'Heatmaps and segmentation',
        pictures=heatmaps,
        parts=parts,
        lead=_lead(weights) if isinstance(weights, dict) else '',
        facts=[_UNSEEN if in_stages else _TWO_POINTS],
        warnings=[text for part in parts for text in part.warnings],
        details={title: content for part in parts for title, content in part.details.items()},
        methods=(_STAGES if in_stages else _NETWORK) + _MEASURES,
        references=[DUENNWALD, *NETWORKS, *([BAXTER] if in_stages else [])],
    )


def _lead(weights: Mapping[str, object]) -> str:
    """Say what the networks were trained on, and what their card warns of."""
    trained, warning = (str(weights.get(key, '')) for key in ('TrainingData', 'Warning'))
    told = [f'Networks trained on {trained}.'] if trained else []
    told += [f'{warning[0].upper()}{warning[1:]}.'] if warning else []
    return f'**{" ".join(told)}**' if told else ''


def _segmentations(image: ImageRef, layout: Layout) -> Iterator[Section]:
    for desc, name in SEGMENTATION_NAMES.items():
        path = layout.table(image, desc, 'segmentation')
        if not path.is_file():
            continue
        sidecar = read_json(path.with_suffix('.json'))
        try:
            rows = list(csv.DictReader(open_text(path), delimiter='\t', restval='n/a'))
        except (OSError, ValueError, csv.Error) as error:
            yield Section(name, warnings=[f'{path.name} could not be read: {error}'])
            continue
        # Without labels the picture is of an earlier run.
        labelled = layout.derivative(image, 'dseg', '.nii.gz', desc=desc).is_file()
        pictures = _picture(
            layout.figure(image, desc, 'dseg'),
            'Outlines of left and right and of the reference region on four slices',
        )
        yield Section(
            name,
            pictures=pictures if labelled else [],
            tables=[_measures(rows, str(sidecar.get('ReferenceRegion', 'not stated')), path)],
            warnings=_warnings(name, rows),
            details={name: sidecar},
        )


def _measures(rows: Sequence[Mapping[str, str]], region: str, path: Path) -> Table:
    cells = [
        [
            side_in_words(row.get('hemisphere', '')),
            *(Number.parse(row.get(key), digits) for key, (_, digits) in _COLUMNS.items()),
            _words(row),
        ]
        for row in rows
    ]
    centre = [Number.parse(rows[0].get(f'reference_{axis}')) for axis in 'xyz'] if rows else []
    shown = [number.shown for number in centre if number is not None]
    where = f'; its centre is at {", ".join(shown)} mm' if len(shown) == 3 else ''
    notes = (
        'Contrast ratio: signal over the median signal of the reference region; 1 is no contrast. '
        f'Reference region: {region}{where}. All digits: `{path.name}`.'
    )
    head = ['Side', *(title for title, _ in _COLUMNS.values()), 'Status']
    warns = [i for i, row in enumerate(rows) if row.get('status') != 'ok']
    return Table('', head, cells, notes, warns)


def _warnings(name: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    warned = [row for row in rows if row.get('status') != 'ok']
    sentences = []
    for words in dict.fromkeys(_words(row) for row in warned):
        sides = [
            side_in_words(row.get('hemisphere', '')).lower()
            for row in warned
            if _words(row) == words
        ]
        sentences.append(f'{name}, {" and ".join(sides)}: {words}.')
    return sentences


def _words(row: Mapping[str, str]) -> str:
    return status_words(row.get('status', 'n/a'), SEGMENTATION_STATUSES)


def _picture(path: Path, alt: str, what: str = '') -> list[Picture]:
    return [Picture.read(path, alt, what)] if path.is_file() else []
