"""What the report says of the registered atlas, from the derivatives alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.registration.names import DEFAULT_ATLAS, SPACES
from tmsprep.reports.references import ABRAHAM
from tmsprep.reports.sections import Picture, Section
from tmsprep.tables import read_json
from tmsprep.text import shown

#: Figure by its entity desc: text alternative and caption.
FIGURES = {
    'brain': (
        'Outline of the brain mask on axial, coronal and sagittal slices',
        """\
Outline of the brain mask. Where it cuts the cortex or leaves the brain, do not trust the atlas \
points nearby.""",
    ),
    'registration': (
        "Edges of the atlas on the participant's slices, before and after registration",
        """\
Edges of the atlas on the participant's slices, before and after the registration. After it the \
lines must follow the participant's own brain.""",
    ),
}

REFERENCES = """\
Avants BB, Epstein CL, Grossman M, Gee JC (2008). Symmetric diffeomorphic image registration with \
cross-correlation: evaluating automated labeling of elderly and neurodegenerative brain. Medical \
Image Analysis 12:26-41. doi:10.1016/j.media.2007.06.004
Avants BB, et al. (2011). A reproducible evaluation of ANTs similarity metric performance in \
brain image registration. NeuroImage 54:2033-2044. doi:10.1016/j.neuroimage.2010.09.025
Fonov V, et al. (2011). Unbiased average age-appropriate atlases for pediatric studies. \
NeuroImage 54:313-327. doi:10.1016/j.neuroimage.2010.07.033
Tustison NJ, et al. (2021). The ANTsX ecosystem for quantitative biological and medical imaging. \
Scientific Reports 11:9068. doi:10.1038/s41598-021-87564-6""".splitlines()


def section(image: ImageRef, layout: Layout) -> Section:
    """Brain mask and registration of one image; see `Method.section`."""
    sidecar = read_json(layout.table(image, 'syn').with_suffix('.json'))
    paths = {what: layout.figure(image, what) for what in FIGURES}
    pictures = [
        Picture.read(path, *FIGURES[what]) for what, path in paths.items() if path.is_file()
    ]
    atlas = sidecar.get('Atlas', {})
    name = shown(atlas.get('Name', '')) if isinstance(atlas, dict) else ''
    reused = [entry for entry in _entries(sidecar, 'Reused') if isinstance(entry, dict)]
    text = _registration(name, shown(sidecar.get('SynPreset', '')), reused)
    return Section(
        'Registration',
        pictures=pictures,
        methods=' '.join([text, *_offsets(sidecar), *_mask(reused)]),
        references=[ABRAHAM, *REFERENCES],
        warnings=[
            *(
                f'Not used of --derivatives: {shown(text)}.'
                for text in _entries(sidecar, 'NotReused')
            ),
            *(
                f'--derivatives {shown(label)}: had nothing for this image.'
                for label in _entries(sidecar, 'GaveNothing')
            ),
        ],
    )


def _registration(name: str, preset: str, reused: Sequence[Mapping[str, Any]]) -> str:
    """Say how the targets were carried over."""
    default = (
        'The default atlas image is the ICBM 152 template (Fonov et al., 2011) as distributed '
        'with nilearn (Abraham et al., 2014).'
    )
    given = [entry for entry in reused if str(entry.get('What', '')).startswith('transforms')]
    if given:
        moved = f', whose points were moved there from {DEFAULT_ATLAS} before'
        other = moved if name in SPACES and name != DEFAULT_ATLAS else ''
        return (
            f'Targets were carried over from the atlas{name and f" {name}"}{other}, by transforms '
            f'that were not computed here but taken from {_sources(given)}'
            f'{preset and f", made with preset {preset}"}. {default}'
        )
    return (
        f'Targets were carried over from the atlas{name and f" {name}"} by rigid, then affine, '
        'then symmetric diffeomorphic registration (SyN; Avants et al., 2008) with ANTs (Avants '
        f'et al., 2011; Tustison et al., 2021){preset and f", preset {preset}"}. {default}'
    )


def _offsets(sidecar: Mapping[str, Any]) -> list[str]:
    """Say by what the points of the atlas were moved, if by anything."""
    offsets = sidecar.get('AtlasOffsets')
    if not isinstance(offsets, dict):
        return []
    targets = [shown(label) for label in _entries(offsets, 'Targets')]
    people = shown(offsets.get('Participants', 'an unknown number of'))
    text = (
        f'Before, the points of the atlas for {", ".join(targets)} were moved, in the atlas, by '
        f'the mean offset of the reference points of {people} participants from them '
        f'({shown(offsets.get("File", ""))}).'
    )
    return [text]


def _mask(reused: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say from where the brain mask is, if not from this program."""
    given = [entry for entry in reused if entry.get('What') == 'brain mask']
    return [f'The brain mask was taken from {_sources(given)}.'] if given else []


def _sources(entries: Sequence[Mapping[str, Any]]) -> str:
    """Name the programs and files, and how like their T1w is to this image."""
    programs = {str(entry.get('Program') or '') for entry in entries} - {''}
    files = ', '.join(shown(entry.get('File', '')) for entry in entries)
    like = [entry['Likeness'] for entry in entries if isinstance(entry.get('Likeness'), float)]
    seen = f'; its T1w is this image in this place, likeness {min(like):.2f}' if like else ''
    named = ' and '.join(shown(name) for name in sorted(programs)) or 'a given folder'
    return f'{named} ({files}{seen})'


def _entries(sidecar: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list of a sidecar, which anybody may have written."""
    value = sidecar.get(key)
    return value if isinstance(value, list) else []
