"""Progress of a run: a bar in a terminal, lines in a log."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tqdm import tqdm

from tmsprep.running.heartbeat import INTERVAL_S, Heartbeat

if TYPE_CHECKING:
    from nipype import Node

logger = logging.getLogger('tmsprep')


class _Bar:
    """A bar that is hidden where the output is no terminal.

    Parameters
    ----------
    total : int
        Steps in all.
    unit : str
        Name of a step.
    """

    def __init__(self, total: int, unit: str) -> None:
        hidden = not sys.stderr.isatty()
        self._bar = tqdm(total=total, unit=unit, disable=hidden, leave=False, smoothing=0.1)

    def _tell(self, done: int, shown: str, line: str) -> None:
        """Move the bar on; log a line, if there is one, where the bar is hidden."""
        self._bar.update(done)
        self._bar.set_postfix_str(shown, refresh=False)
        if self._bar.disable and line:
            logger.info('%s', line)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()


class Progress(_Bar):
    """Progress of a workflow; in a log, a line per milestone, and of long steps one a minute.

    Parameters
    ----------
    total : int
        Nodes in the workflow.
    milestones : int
        Number of nodes that are milestones.
    milestone : callable
        Returns the name of the milestone that a node is, '' if it is none.
    """

    def __init__(self, total: int, milestones: int, milestone: Callable[[Node], str]) -> None:
        super().__init__(total, 'step')
        self._milestones, self._milestone, self._reached = milestones, milestone, 0
        self._failed: set[str] = set()
        self._heartbeat: Heartbeat | None = None

    def __call__(self, node: Node, status: str) -> None:
        """Note a node that started, ended or raised."""
        name = node.fullname.split('.')[1] if node.fullname.count('.') else node.fullname
        step = f'{name.removesuffix("_wf")}: {node.name}'
        if self._heartbeat is None:
            self._heartbeat = Heartbeat()
        if status == 'start':
            self._heartbeat.begin(step, *(_text(node, trait) for trait in ('method', 'folder')))
            return
        self._heartbeat.end(step)
        if status == 'exception':
            self._failed.add(name)
        reached, line = self._milestone(node), ''
        # Nipype's serial plugin says of nodes that it leaves out after a failure that they ended.
        if status == 'end' and reached and name not in self._failed:
            self._reached += 1
            line = f'{reached}: finished ({self._reached} of {self._milestones})'
        self._tell(1, f'{name} {node.name}', line)

    def close(self) -> None:
        """Leave the terminal as it was."""
        super().close()
        if self._heartbeat is not None:
            self._heartbeat.close()


def _text(node: Node, trait: str) -> str:
    """Text of an input of a node, '' if it has no such input."""
    value = getattr(node.inputs, trait, '')
    return value if isinstance(value, str) else ''


class EachMinute:
    """Log a line of a loop that takes long, at most once a minute."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, line: str) -> None:
        """Log the line if a minute has passed since the last one."""
        if time.monotonic() - self._told >= INTERVAL_S:
            self._told = time.monotonic()
            logger.info('%s', line)


class TrainingProgress(_Bar):
    """Progress of consecutive trainings; in a log, a line per twentieth of each.

    Parameters
    ----------
    trainings : int
        Number of trainings.
    """

    def __init__(self, trainings: int) -> None:
        # In hundredths of a training, since trainings differ in length.
        super().__init__(100 * trainings, '%')
        self._begun: list[str] = []
        self._shown, self._told = 0, -1

    def __call__(self, name: str, total: int, row: Mapping[str, float]) -> None:
        """Note a line of the log of a training.

        Parameters
        ----------
        name : str
            Name of the training.
        total : int
            Last number of the first column.
        row : mapping
            'step' or 'epoch', 'loss' and 'validation'.
        """
        unit, count = next(iter(row.items()))
        if name not in self._begun:
            self._begun.append(name)
            self._told = -1
        shown = f'{name}: loss {row["loss"]:.3f}'
        if not math.isnan(row['validation']):
            shown += f', validation {row["validation"]:.3f}'
        twentieth, line = int(20 * count // total), ''
        if twentieth > self._told:
            self._told, line = twentieth, f'{shown}: {unit} {count} of {total}'
        reached = int(100 * (len(self._begun) - 1) + 100 * count // total)
        self._tell(reached - self._shown, shown, line)
        self._shown = reached
