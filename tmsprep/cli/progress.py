"""What is shown while a run goes on."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nipype import Node

logger = logging.getLogger('tmsprep')


class Progress:
    """A bar on a terminal; in a log, a line per finished image.

    Parameters
    ----------
    total : int
        Nodes in the workflow.
    images : int
        Images in the run.
    """

    def __init__(self, total: int, images: int):
        from tqdm import tqdm

        self._images, self._finished = images, 0
        self._bar = tqdm(
            total=total, unit='step', disable=not sys.stderr.isatty(), leave=False, smoothing=0.1
        )

    def __call__(self, node: Node, status: str) -> None:
        """Take note of a node that started, ended or raised."""
        if status == 'start':
            return
        self._bar.update()
        name = node.fullname.split('.')[1] if node.fullname.count('.') else node.fullname
        self._bar.set_postfix_str(f'{name} {node.name}')
        if status == 'end' and node.name == 'figures':
            self._finished += 1
            message = f'{name.removesuffix("_wf")}: finished ({self._finished} of {self._images})'
            if self._bar.disable:
                logger.info(message)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()
