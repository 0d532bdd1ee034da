"""CoRe-Unet and the segmentation of the locus coeruleus as a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.base import Method, Request
from tmsprep.methods.duennwald2021.options import OPTIONS
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES
from tmsprep.outcome import Outcome
from tmsprep.tables import Column, column

if TYPE_CHECKING:
    from tmsprep.reports.sections import Section


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

    def section(self, image: ImageRef, layout: Layout) -> Section:
        """See `Method.section`."""
        from tmsprep.methods.duennwald2021.section import section

        return section(image, layout)
