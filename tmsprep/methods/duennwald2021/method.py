"""CoRe-Unet and the segmentation of the locus coeruleus as a method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tmsprep.methods.base import Method, Request
from tmsprep.methods.duennwald2021.options import OPTIONS
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES
from tmsprep.outcome import Outcome
from tmsprep.tables import Column, column

if TYPE_CHECKING:
    from tmsprep.group.analysis import Group, GroupRequest, GroupResult


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
    }
    statuses = PAIR_STATUSES
    options = OPTIONS
    isotropic = True

    def locate(self, request: Request) -> Outcome:
        """See `Method.locate`."""
        raise NotImplementedError

    def collect_group(self, request: GroupRequest) -> Group:
        """See `Method.collect_group`; compares with the masks of one rater."""
        from tmsprep.methods.duennwald2021.group import collect_group

        return collect_group(request, self.name)

    def analyse_group(self, group: Group) -> GroupResult:
        """See `Method.analyse_group`; makes the tables of the paper."""
        from tmsprep.methods.duennwald2021.group import analyse_group

        return analyse_group(group)

    def report_group(self, result: GroupResult) -> Path:
        """See `Method.report_group`."""
        from tmsprep.methods.duennwald2021.group import report_group

        return report_group(result)
