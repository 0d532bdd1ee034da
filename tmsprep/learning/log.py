"""What a training has to say while it goes on, kept so that a resumed one tells the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tmsprep.atomic import write_text


@dataclass(frozen=True)
class LogRow:
    """One line of the log.

    Parameters
    ----------
    member, step : int
        Counted from 1.
    loss : float
        Mean since the line before.
    validation_mm : float or None
        Mean error in those kept aside, if it was measured at this step.
    """

    member: int
    step: int
    loss: float
    validation_mm: float | None = None


class MemberLog:
    """The log of one training, written beside its checkpoint.

    Parameters
    ----------
    path : Path
        The file.
    member : int
        Number of the network in its ensemble.
    steps : int
        Of the training; there is a line per hundredth, and a measurement per twentieth.
    done : int
        Step of the checkpoint. Later lines, which a killed run has left, are dropped.
    """

    def __init__(self, path: Path, member: int, steps: int, done: int):
        self.path, self.member, self.steps = path, member, steps
        self.every = max(1, steps // 100)
        self.rows = [row for row in read_log(path) if row.step <= done]
        self._losses: list[float] = []

    def add(self, step: int, loss: float, measure: Callable[[], float | None]) -> float | None:
        """Take note of a step; return the error, if it was time to measure it.

        Parameters
        ----------
        step : int
            Counted from 1.
        loss : float
            Of this step.
        measure : callable
            Gives the mean error in mm, or None if nobody is kept aside.
        """
        self._losses.append(loss)
        last = step == self.steps
        if step % self.every and not last:
            return None
        measured = measure() if last or step % (5 * self.every) == 0 else None
        mean = sum(self._losses) / len(self._losses)
        self._losses = []
        self.rows.append(LogRow(self.member, step, mean, measured))
        write_log(self.path, self.rows)
        # As the file has it, so that a resumed run knows the very same numbers.
        self.rows = read_log(self.path)
        return measured


def write_log(path: Path, rows: Sequence[LogRow]) -> Path:
    """Write lines as a table, 'n/a' where nothing was measured."""
    lines = ['\t'.join(f.name for f in fields(LogRow))]
    lines += ['\t'.join('n/a' if v is None else f'{v:.7g}' for v in astuple(r)) for r in rows]
    return write_text(path, '\n'.join(lines) + '\n')


def read_log(path: Path) -> list[LogRow]:
    """Read what `write_log` wrote; nothing if there is no file."""
    if not path.is_file():
        return []
    rows = [line.split('\t') for line in path.read_text(encoding='utf-8').splitlines()[1:]]
    return [
        LogRow(int(member), int(step), float(loss), None if mm == 'n/a' else float(mm))
        for member, step, loss, mm in rows
    ]
