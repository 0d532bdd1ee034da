"""The log of trainings: a table and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tmsprep.atomic import atomic_path
from tmsprep.tables import Column, column, write_table

#: Line of a log: 'step' or 'epoch', 'loss', and 'validation', NaN where it was not measured.
Row = dict[str, float]

#: Network to the lines of its log.
Logs = Mapping[str, Sequence[Row]]

_COUNTS: dict[str, Column] = {
    'step': column('Optimiser steps, from 1'),
    'epoch': column('Passes through the training set, from 1'),
}


def write_log(path: Path, logs: Logs, unit: str, meaning: Mapping[str, tuple[str, str]]) -> Path:
    """Write the log of all networks as one table.

    Parameters
    ----------
    path : Path
        Ends in ``.tsv``.
    logs : mapping
        Network to the lines of its log.
    unit : str
        Column that counts: 'step' or 'epoch'.
    meaning : mapping
        Network to what its loss and its validation are, with units.
    """
    rows = [
        {
            'network': network,
            unit: row[unit],
            'loss': f'{row["loss"]:.7g}',
            'validation': '' if math.isnan(row['validation']) else f'{row["validation"]:.7g}',
        }
        for network, log in logs.items()
        for row in log
    ]
    columns = {
        'network': column('The network'),
        unit: _COUNTS[unit],
        'loss': column(f'Mean since the line before: {_listed(meaning, 0)}'),
        'validation': column(f'Measured in the validation set: {_listed(meaning, 1)}'),
    }
    table = pd.DataFrame(rows, columns=list(columns))
    return write_table(path, table, 'How the networks were trained', columns)


def _listed(meaning: Mapping[str, tuple[str, str]], which: int) -> str:
    texts = {network: both[which] for network, both in meaning.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return '; '.join(f'{network}: {text}' for network, text in texts.items())


def plot_log(path: Path, logs: Logs, unit: str, meaning: Mapping[str, tuple[str, str]]) -> Path:
    """Draw the loss, and what was measured in the validation set.

    Networks with losses of the same meaning share a row of panels.

    Parameters
    ----------
    path : Path
        SVG file.
    logs, unit, meaning
        As for `write_log`.
    """
    kinds = list(dict.fromkeys(meaning[network] for network in logs))
    measured = any(not math.isnan(row['validation']) for log in logs.values() for row in log)
    columns = ('loss', 'validation') if measured else ('loss',)
    with mpl.rc_context({'svg.hashsalt': 'tmsprep', 'svg.fonttype': 'none', 'font.size': 9}):
        size = 4.2 * len(columns), 3.2 * len(kinds)
        figure = Figure(figsize=size, layout='constrained')
        panels = figure.subplots(len(kinds), len(columns), squeeze=False)
        for axes, kind in zip(panels, kinds, strict=True):
            shown = {network: log for network, log in logs.items() if meaning[network] == kind}
            for panel, key, label in zip(axes, columns, kind, strict=False):
                _draw(panel, shown, unit, key, label)
        with atomic_path(path) as partial:
            # Without a date, so that the same training draws the same file.
            figure.savefig(partial, metadata={'Date': None})
    return path


def _draw(axes: Axes, logs: Logs, unit: str, key: str, label: str) -> None:
    for network, log in logs.items():
        known = [row for row in log if not math.isnan(row[key])]
        marker = 'o' if len(known) < 50 else ''
        counts, values = [row[unit] for row in known], [row[key] for row in known]
        axes.plot(counts, values, label=network, marker=marker, markersize=3)
    title = 'training set' if key == 'loss' else 'validation set'
    axes.set(title=title, xlabel=unit, ylabel=label)
    if key == 'loss':
        axes.legend(frameon=False)
        if all(row['loss'] > 0 for log in logs.values() for row in log):
            axes.set_yscale('log')
    else:
        axes.set_ylim(0, None)
