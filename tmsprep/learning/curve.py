"""The figure of how a training went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tmsprep.atomic import atomic_path
from tmsprep.learning.log import LogRow


def plot_learning_curve(path: Path, rows: Sequence[LogRow]) -> Path:
    """Draw the loss, and the error of those kept aside, against the optimiser step.

    Parameters
    ----------
    path : Path
        SVG file.
    rows : sequence of LogRow
        Of all members.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    measured = [row for row in rows if row.validation_mm is not None]
    columns = 2 if measured else 1
    with mpl.rc_context({'svg.hashsalt': 'tmsprep', 'svg.fonttype': 'none', 'font.size': 9}):
        figure = Figure(figsize=(4.2 * columns, 3.2), layout='constrained')
        axes = figure.subplots(1, columns, squeeze=False)[0]
        for member in dict.fromkeys(row.member for row in rows):
            mine = [row for row in rows if row.member == member]
            axes[0].plot([r.step for r in mine], [r.loss for r in mine], label=f'member {member}')
            if measured:
                known = [row for row in measured if row.member == member]
                steps, errors = [r.step for r in known], [r.validation_mm for r in known]
                axes[1].plot(steps, errors, marker='o', markersize=3)
        axes[0].set(title='training', xlabel='step', ylabel='loss')
        if all(row.loss > 0 for row in rows):
            axes[0].set_yscale('log')
        axes[0].legend(frameon=False)
        if measured:
            title = 'participants kept aside'
            axes[1].set(title=title, xlabel='step', ylabel='mean error (mm)', ylim=(0, None))
        with atomic_path(path) as partial:
            # Without a date, so that the same training draws the same file.
            figure.savefig(partial, metadata={'Date': None})
    return path
