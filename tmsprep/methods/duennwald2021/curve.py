"""How the trainings of the locus coeruleus went, as a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.formats.targets_tsv import write_table

Logs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Network to the lines of `tmsprep.learning.loop.Trained`."""

_LOSSES = {
    'localizer': 'mean distance (mm)',
    'segmenter': 'cross-entropy and Dice loss',
}


def write_epochs(path: Path, logs: Logs) -> Path:
    """Write one line per network and epoch: loss in training and in validation people."""
    rows = [{'network': network, **row} for network, log in logs.items() for row in log]
    columns = ['network', 'epoch', 'loss', 'validation']
    return write_table(path, pd.DataFrame(rows, columns=columns))


def plot_epochs(path: Path, logs: Logs) -> Path:
    """Draw the losses against the epoch, one panel per network.

    Parameters
    ----------
    path : Path
        SVG file.
    logs : Mapping
        As for `write_epochs`.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({'svg.hashsalt': 'tmsprep', 'svg.fonttype': 'none', 'font.size': 9}):
        figure = Figure(figsize=(4.2 * len(logs), 3.2), layout='constrained')
        panels = figure.subplots(1, len(logs), squeeze=False)[0]
        for axes, (network, log) in zip(panels, logs.items(), strict=True):
            epochs = [row['epoch'] for row in log]
            for key, label in (('loss', 'training'), ('validation', 'validation')):
                axes.plot(epochs, [row[key] for row in log], marker='o', markersize=2, label=label)
            axes.set(title=network, xlabel='epoch', ylabel=_LOSSES[network], ylim=(0, None))
            axes.legend(frameon=False)
        with atomic_path(path) as partial:
            # Without a date, so that the same training draws the same file.
            figure.savefig(partial, metadata={'Date': None})
    return path
