"""The multi-resolution network as a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.base import Method, Request
from tmsprep.methods.baxter2021.options import OPTIONS, WEIGHTS_KIND
from tmsprep.methods.baxter2021.radius import add_radius
from tmsprep.methods.baxter2021.section import section
from tmsprep.methods.baxter2021.settings import check_localizer
from tmsprep.methods.resources import find_weights
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column

if TYPE_CHECKING:
    from tmsprep.group.analysis import Group, GroupResult
    from tmsprep.methods.learner import Learner
    from tmsprep.reports.sections import Section


class MultiResolutionCNN(Method):
    """Localise by an ensemble of multi-resolution networks (Baxter et al. 2021)."""

    name = 'cnn'
    title = 'CNN'
    description = 'Targets by a multi-resolution convolutional network (Baxter et al. 2021)'
    columns: ClassVar[dict[str, Column]] = {
        'error90_mm': column(
            'Radius of a ball around the point that holds the reference point for 9 of 10 points '
            'of new participants, in images like those of the calibration; n/a in others, see '
            'Calibration, and for points with a warning. With the weights of this package the '
            'reference points are made by rule, not by human experts, who differ by about 7 mm '
            '(Baxter et al. 2021), so it is not the distance from where a stimulation works',
            'mm',
            long_name='90 % error',
        ),
    }
    options = OPTIONS
    any_points = True
    uses_gpu = True

    def resources(self, protocol: Protocol, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Method.resources`."""
        return find_weights(
            self.name, WEIGHTS_KIND, protocol, options.get('weights'), check_localizer
        )[0]

    def locate(self, request: Request) -> Outcome:
        """See `Method.locate`."""
        from tmsprep.methods.baxter2021.localize import localize_image

        return localize_image(self.name, request)

    def check(self, outcome: Outcome, request: Request) -> Outcome:
        """See `Method.check`; adds the radius, which depends on what it finds."""
        return add_radius(super().check(outcome, request), request.properties)

    def section(self, image: ImageRef, layout: Layout) -> Section | None:
        """See `Method.section`."""
        return section(image, layout)

    def analyse_group(self, group: Group) -> GroupResult:
        """See `Method.analyse_group`; adds Tables 2 to 5 of the paper."""
        from tmsprep.methods.baxter2021.group import analyse_group

        return analyse_group(group)

    def group_sections(self, result: GroupResult) -> list[Section]:
        """See `Method.group_sections`."""
        from tmsprep.methods.baxter2021.group_section import group_sections

        request = result.group.request
        return group_sections(
            result.tables,
            request.layout,
            request.protocol,
            threshold_mm=request.threshold_mm,
            margin_mm=request.margin_mm,
            seed=request.random_seed,
        )

    def learner(self, protocol: Protocol, options: Mapping[str, Any]) -> Learner:
        """See `Method.learner`."""
        from tmsprep.methods.baxter2021.learner import MultiResolutionLearner

        return MultiResolutionLearner(protocol, options)
