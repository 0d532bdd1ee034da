"""What the methods part of a participant's report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tmsprep.derivatives.earlier import EXPERT
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.methods import get_method, names_of
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import ImageResults
from tmsprep.reports.sections import Section
from tmsprep.reports.styles import method_order, method_style


def common_text(protocol: Protocol) -> str:
    """Describe what holds for every method of a protocol."""
    cubic = any(get_method(name).isotropic for name in names_of(protocol))
    grid = (
        f'isotropic voxels of {protocol.voxel_mm:g} mm, and its intensities scaled by their 5th '
        'and 95th percentiles'
        if cubic
        else '256 x 256 x 256 voxels of 1 mm'
    )
    return (
        'Images were read from and results written to the Brain Imaging Data Structure (BIDS; '
        'Gorgolewski et al., 2016); the steps were run as a Nipype workflow (Gorgolewski et al., '
        f'2011). The image was brought to {grid}; all points '
        'are given in the scanner frame of the original image. The targets are those of protocol '
        f'{protocol.name} ({protocol.source}).'
    )


def method_texts(
    images: Sequence[ImageResults], sections: Mapping[str, Mapping[str, Section]]
) -> list[str]:
    """Describe each distinct way in which a method was run, with the images if they differ."""
    texts: dict[str, list[str]] = {}
    for method in method_order({name for image in images for name in image.tables}):
        for image in images:
            if method in image.tables:
                section = sections[image.name].get(method, Section())
                text = _method_text(method, image.tables[method].sidecar, section)
                texts.setdefault(text, []).append(image.name)
    if len(images) < 2:
        return list(texts)
    return [f'{text} Images: {", ".join(names)}.' for text, names in texts.items()]


def _method_text(method: str, sidecar: Mapping[str, Any], section: Section) -> str:
    text = section.methods
    if method == EXPERT:
        raters = sidecar.get('Raters')
        names = ', '.join(map(str, raters)) if isinstance(raters, list) else 'raters'
        text = (
            f"Points by {names}. The expert's point is the mean of the largest group of raters "
            f'who are all within {sidecar.get("ConsensusThreshold", DISAGREEMENT_MM):g} mm of '
            'each other (Baxter et al., 2021), or the point of the only rater.'
        )
    elif not text:
        text = f'{sidecar.get("Description", "")}.'.removeprefix('.')
    made = [f'tmsprep {sidecar["SoftwareVersion"]}'] if 'SoftwareVersion' in sidecar else []
    made += [f'random seed {sidecar["RandomSeed"]}'] if 'RandomSeed' in sidecar else []
    how = f' {", ".join(made)}.' if made else ''
    return f'**{method_style(method).name}.** {text}{how}'
