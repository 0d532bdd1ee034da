"""What is shown while a run goes on: a bar on a terminal, lines in a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nipype import Node
    from tqdm import tqdm

logger = logging.getLogger('tmsprep')


class Progress:
    """Of a workflow; in a log, a line per milestone.

    Parameters
    ----------
    total : int
        Nodes in the workflow.
    milestones : int
        How many of them are worth a line.
    milestone : callable
        Names the milestone that a node is, '' if it is none.
    """

    def __init__(self, total: int, milestones: int, milestone: Callable[[Node], str]):
        self._milestones, self._milestone, self._reached = milestones, milestone, 0
        self._failed: set[str] = set()
        self._bar = _bar(total, 'step')

    def __call__(self, node: Node, status: str) -> None:
        """Take note of a node that started, ended or raised."""
        if status == 'start':
            return
        self._bar.update()
        name = node.fullname.split('.')[1] if node.fullname.count('.') else node.fullname
        self._bar.set_postfix_str(f'{name} {node.name}')
        if status == 'exception':
            self._failed.add(name)
        reached = self._milestone(node)
        # Nipype's serial plugin says of nodes that it leaves out after a failure that they ended.
        if status == 'end' and reached and name not in self._failed:
            self._reached += 1
            if self._bar.disable:
                logger.info('%s: finished (%d of %d)', reached, self._reached, self._milestones)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()


class TrainingProgress:
    """Of the trainings of an ensemble; in a log, a line per twentieth of a training.

    Parameters
    ----------
    members, steps : int
        Networks, and optimiser steps of each.
    """

    def __init__(self, members: int, steps: int):
        self._members, self._steps = members, steps
        self._bar = _bar(members * steps, 'step')

    def __call__(self, member: int, step: int, loss: float, validation: float | None) -> None:
        """Take note of a step.

        Parameters
        ----------
        member, step : int
            Counted from 1.
        loss : float
            Of this step.
        validation : float or None
            Mean error in mm of those kept aside, if it has just been measured.
        """
        self._bar.update((member - 1) * self._steps + step - self._bar.n)
        shown = f'member {member} of {self._members}, loss {loss:.3f}'
        if validation is not None:
            shown += f', kept aside {validation:.2f} mm'
        self._bar.set_postfix_str(shown, refresh=False)
        every = max(1, self._steps // 20)
        if self._bar.disable and (step % every == 0 or step == self._steps):
            logger.info('%s: step %d of %d', shown, step, self._steps)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()


def _bar(total: int, unit: str) -> tqdm:
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    return tqdm(total=total, unit=unit, disable=hidden, leave=False, smoothing=0.1)
