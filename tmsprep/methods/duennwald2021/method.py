"""CoRe-Unet and the segmentation of the locus coeruleus as a method."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import nibabel as nib

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.status import RADIUS
from tmsprep.learning.card import WARNING
from tmsprep.methods.base import Method, Request
from tmsprep.methods.baxter2021.radius import add_radius
from tmsprep.methods.duennwald2021.derivatives import write_derivatives
from tmsprep.methods.duennwald2021.figures import SIDES, Scene, plot_heatmaps, plot_labels
from tmsprep.methods.duennwald2021.memory import applying_gb
from tmsprep.methods.duennwald2021.options import OPTIONS, STAGES_KIND, WEIGHTS_KIND
from tmsprep.methods.duennwald2021.section import section
from tmsprep.methods.duennwald2021.settings import check_coeruleus
from tmsprep.methods.duennwald2021.stage_settings import check_stages
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES, outcome_status
from tmsprep.methods.resources import ResourceError, find_weights
from tmsprep.networks.archive import Archive
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.reports.planes import Volume
from tmsprep.tables import Column, column

if TYPE_CHECKING:
    from tmsprep.group.analysis import Group, GroupRequest, GroupResult
    from tmsprep.methods.learner import Learner
    from tmsprep.reports.sections import Section

logger = logging.getLogger(__name__)


class CoReUNetMethod(Method):
    """Localise by coordinate regression, then segment (Duennwald et al. 2021)."""

    name = 'coreunet'
    title = 'CoRe-Unet'
    description = (
        'Points by coordinate regression, a 3D U-Net and a differentiable spatial to numerical '
        'transform (Duennwald et al. 2021)'
    )
    columns: ClassVar[dict[str, Column]] = {
        'heatmap_spread_mm': column(
            'Root mean square distance of the heatmap from its mean, the point', 'mm'
        ),
        'shift_mm': column(
            'Distance of the point from where the first of two stages, which looks at the whole '
            'image, puts it',
            'mm',
        ),
        'visibility': column(
            'Mean probability, from 0 to 1, of the nucleus where it is highest, in 8 mm3 of the '
            'crop around the point; n/a without a network that segments'
        ),
        RADIUS: column(
            'Radius of a ball around the point that holds the true centre for 9 of 10 nuclei of '
            'new participants, in images like those of the calibration; n/a in others, see '
            'Calibration, and for points with a warning. The calibration of weights that were '
            'trained on simulated images has simulated images only',
            'mm',
            long_name='90 % error',
        ),
    }
    statuses = PAIR_STATUSES
    options = OPTIONS
    isotropic = True
    uses_gpu = True

    def resources(self, protocol: Protocol, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Method.resources`."""
        given = options.get('weights')
        kinds = (WEIGHTS_KIND, STAGES_KIND)
        found, archive = find_weights(self.name, kinds, protocol, given, _check)
        ways = list(options.get('segmentation', ()))
        in_stages = archive.metadata['format'] == STAGES_KIND
        stages = check_stages(archive) if in_stages else None
        content = stages.crop if stages else check_coeruleus(archive)
        labels, card = (stages or content).labels, (stages or content).card
        there = labels, content.voxel_mm
        wanted = protocol.labels, protocol.voxel_mm
        if there != wanted:
            raise ResourceError(
                f'{found["weights"]}: trained for {there}, but protocol {protocol.name} has '
                f'{wanted} (targets, edge of a voxel in mm); give weights of this protocol'
            )
        if not content.localizers:
            raise ResourceError(
                f'{found["weights"]} holds no network that localises; give other weights'
            )
        if in_stages and set(ways) - {'lpp'}:
            raise ResourceError(
                f'{found["weights"]} label voxels at the localised points alone; give '
                '--segmentation lpp'
            )
        if warning := card.get(WARNING):
            logger.warning('%s: %s', found['weights'], warning)
        return {**found, 'stages': in_stages, 'segmentation': ways}

    def memory_gb(self, resources: Mapping[str, Any], images: Sequence[Path]) -> float:
        """See `Method.memory_gb`."""
        return applying_gb(images, Path(resources['weights']))

    def locate(self, request: Request) -> Outcome:
        """See `Method.locate`."""
        if request.resources.get('stages'):
            from tmsprep.methods.duennwald2021.locate_stages import locate_in_stages

            return locate_in_stages(self.name, request)
        from tmsprep.methods.duennwald2021.locate import locate_image

        return locate_image(self.name, request)

    def check(self, outcome: Outcome, request: Request) -> Outcome:
        """See `Method.check`; adds the radius, if the weights have a calibration."""
        return add_radius(outcome, request.properties)

    def status(
        self,
        outcome: Outcome,
        others: Sequence[Outcome],
        protocol: Protocol,
        properties: Mapping[str, Any],
    ) -> list[str]:
        """See `Method.status`."""
        return outcome_status(outcome, protocol, properties)

    def tables(self, layout: Layout, image: ImageRef, options: Mapping[str, Any]) -> list[Path]:
        """See `Method.tables`."""
        segmentations = [
            layout.table(image, how, 'segmentation') for how in options.get('segmentation', ())
        ]
        return [layout.table(image, self.name), *segmentations]

    def write(
        self,
        outcome: Outcome,
        image: ImageRef,
        layout: Layout,
        protocol: Protocol,
        entries: Mapping[str, Any],
    ) -> None:
        """See `Method.write`."""
        write_derivatives(outcome, image, layout, protocol, entries)

    def plot(
        self, outcome: Outcome, conformed: Path, points: PointSet, image: ImageRef, layout: Layout
    ) -> list[Path]:
        """See `Method.plot`."""
        if not points.found.any():
            return []
        scene = Scene(
            Volume.from_image(nib.Nifti1Image.from_filename(conformed)), points.coordinates
        )
        files = outcome.files
        heatmaps = {
            side: nib.Nifti1Image.from_filename(files[f'heatmap_{label}'])
            for side, label in zip(SIDES, points.labels, strict=True)
            if f'heatmap_{label}' in files
        }
        path = layout.figure(image, self.name, 'heatmap')
        written = [plot_heatmaps(scene, heatmaps, path)]
        for how in outcome.extra['segmentations']:
            if labels := files.get(f'labels_{how}'):
                path = layout.figure(image, how, 'dseg')
                written.append(plot_labels(scene, nib.Nifti1Image.from_filename(labels), path))
        return written

    def section(self, image: ImageRef, layout: Layout) -> Section | None:
        """See `Method.section`."""
        return section(image, layout)

    def collect_group(self, request: GroupRequest) -> Group:
        """See `Method.collect_group`; compares with the masks of one rater."""
        from tmsprep.methods.duennwald2021.group import collect_group

        return collect_group(request, self.name)

    def analyse_group(self, group: Group) -> GroupResult:
        """See `Method.analyse_group`; makes the tables of the paper."""
        from tmsprep.methods.duennwald2021.group import analyse_group

        return analyse_group(group)

    def group_sections(self, result: GroupResult) -> list[Section]:
        """See `Method.group_sections`."""
        from tmsprep.methods.duennwald2021.group_section import group_sections

        request, measured = result.group.request, result.group.extra
        settings = {level: given.settings for level, given in measured.items()}
        return group_sections(
            result.tables, request.layout, request.protocol, settings, request.random_seed
        )

    def learner(self, protocol: Protocol, options: Mapping[str, Any]) -> Learner:
        """See `Method.learner`."""
        from tmsprep.methods.duennwald2021.learner import CoeruleusLearner

        return CoeruleusLearner(protocol, options)


def _check(archive: Archive) -> None:
    """Refuse weights of either kind that are damaged."""
    check = check_stages if archive.metadata['format'] == STAGES_KIND else check_coeruleus
    check(archive)
