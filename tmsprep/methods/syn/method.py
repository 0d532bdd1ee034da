"""The registered atlas as a method."""

from __future__ import annotations

from tmsprep.methods.base import Method, Request
from tmsprep.methods.syn.options import OPTIONS
from tmsprep.outcome import Outcome


class SynAtlas(Method):
    """Carry the points of an annotated atlas into the image by SyN (Avants et al. 2008)."""

    name = 'syn'
    title = 'SyN'
    description = 'Targets of an annotated atlas, moved by SyN registration (Avants et al. 2008)'
    options = OPTIONS
    # The registration starts from the points of the network, if it runs.
    after = ('cnn',)
    any_points = True

    def locate(self, request: Request) -> Outcome:
        """See `Method.locate`."""
        raise NotImplementedError
