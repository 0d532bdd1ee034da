"""The registered atlas as a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.base import Method, Request
from tmsprep.methods.syn.options import OPTIONS
from tmsprep.outcome import Outcome

if TYPE_CHECKING:
    from tmsprep.reports.sections import Section


class SynAtlas(Method):
    """Carry the points of an annotated atlas into the image by SyN (Avants et al. 2008)."""

    name = 'syn'
    title = 'Atlas (SyN)'
    description = 'Targets of an annotated atlas, moved by SyN registration (Avants et al. 2008)'
    options = OPTIONS
    # The registration starts from the points of the network, if it runs.
    after = ('cnn',)
    any_points = True

    def locate(self, request: Request) -> Outcome:
        """See `Method.locate`."""
        raise NotImplementedError

    def section(self, image: ImageRef, layout: Layout) -> Section:
        """See `Method.section`."""
        from tmsprep.methods.syn.section import section

        return section(image, layout)
