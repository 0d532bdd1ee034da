"""The registered atlas as a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.base import Method, Request
from tmsprep.methods.resources import ResourceError
from tmsprep.methods.syn.files import (
    atlas_name,
    find_atlas,
    find_given,
    write_mask,
    write_transforms,
)
from tmsprep.methods.syn.options import OPTIONS
from tmsprep.methods.syn.section import section
from tmsprep.methods.syn.template import brain_distance, template_map
from tmsprep.options import NamedPath
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.registration.guarded import MissingAnts, TransformReader, require_ants
from tmsprep.registration.stages import LOG, describe
from tmsprep.reports.planes import Volume
from tmsprep.reports.registration import plot_mask, plot_registration
from tmsprep.reports.sections import Section
from tmsprep.template import SPACES, TemplateMap
from tmsprep.text import read_text

if TYPE_CHECKING:
    from tmsprep.group.analysis import Group

#: What ANTs prints, bytes; an hour of it has 40 kB.
MOST_LOG = 2**22


class SynAtlas(Method):
    """Carry the points of an annotated atlas into the image by SyN (Avants et al. 2008)."""

    name = 'syn'
    title = 'Atlas (SyN)'
    description = 'Targets of an annotated atlas, moved by SyN registration (Avants et al. 2008)'
    options = OPTIONS
    # The registration starts from the points of the network, if it runs.
    after = ('cnn',)
    any_points = True

    def resources(self, protocol: Protocol, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Method.resources`; without ANTs nothing can be registered."""
        try:
            require_ants()
        except MissingAnts as error:
            raise ResourceError(
                f'{error}. Install it, or localise without it: --localizers cnn'
            ) from error
        return find_atlas(protocol, options)

    def image_resources(
        self, image: ImageRef, layout: Layout, derivatives: Sequence[NamedPath]
    ) -> dict[str, Any]:
        """See `Method.image_resources`."""
        return find_given(image, layout, derivatives)

    def memory_gb(self, resources: Mapping[str, Any], images: Sequence[Path]) -> float:
        """See `Method.memory_gb`."""
        return 3.0

    def cpus(self, threads: int) -> int:
        """See `Method.cpus`."""
        return threads

    def locate(self, request: Request) -> Outcome:
        """See `Method.locate`."""
        from tmsprep.methods.syn.locate import register_image

        return register_image(self.name, request)

    def stage(self, folder: Path) -> str:
        """See `Method.stage`."""
        return next((describe(read_text(path, MOST_LOG)) for path in folder.rglob(LOG)), '')

    def write(
        self,
        outcome: Outcome,
        image: ImageRef,
        layout: Layout,
        protocol: Protocol,
        entries: Mapping[str, Any],
    ) -> None:
        """See `Method.write`."""
        write_mask(outcome, image, layout, entries)
        write_transforms(outcome, image, layout, entries)

    def template(self, resources: Mapping[str, Any]) -> str:
        """See `Method.template`."""
        name = atlas_name(resources['atlas'])
        return name if name in SPACES else ''

    def template_map(
        self, outcome: Outcome, image: ImageRef, layout: Layout, sha256: str
    ) -> TemplateMap | None:
        """See `Method.template_map`."""
        return template_map(outcome, image, layout, sha256)

    def brain_distance(self, coordinates: np.ndarray) -> np.ndarray:
        """See `Method.brain_distance`."""
        return brain_distance(coordinates)

    def plot(
        self, outcome: Outcome, conformed: Path, points: PointSet, image: ImageRef, layout: Layout
    ) -> list[Path]:
        """See `Method.plot`."""
        written = []
        volume = Volume.from_image(nib.Nifti1Image.from_filename(conformed))
        if mask := outcome.files.get('mask'):
            written.append(
                plot_mask(
                    volume, nib.Nifti1Image.from_filename(mask), layout.figure(image, 'brain')
                )
            )
        if after := outcome.files.get('after'):
            before = nib.Nifti1Image.from_filename(outcome.files['before'])
            path = layout.figure(image, 'registration')
            titles = ('after rigid and affine', 'after SyN')
            written.append(
                plot_registration(
                    volume, before, nib.Nifti1Image.from_filename(after), path, titles=titles
                )
            )
        return written

    def section(self, image: ImageRef, layout: Layout) -> Section | None:
        """See `Method.section`."""
        return section(image, layout)

    def extend_group(self, group: Group) -> Group:
        """See `Method.extend_group`; adds points with the mean offset of other participants."""
        from tmsprep.methods.syn.group import with_offsets

        with TransformReader() as reader:
            return with_offsets(self.name, group, reader.move)

    def train_on_outputs(
        self, group: Group, resources: Mapping[str, Any], *, write: bool = True
    ) -> Group:
        """See `Method.train_on_outputs`; makes the table of ``--atlas-offsets``."""
        from tmsprep.methods.syn.train import train_offsets

        with TransformReader() as reader:
            return train_offsets(self.name, group, resources, reader.move, write=write)
