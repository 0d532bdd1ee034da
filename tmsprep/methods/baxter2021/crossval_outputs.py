"""The files of a cross-validation, each table with a sidecar that explains it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.formats.targets_tsv import write_table
from tmsprep.learning.folds import Job
from tmsprep.methods.baxter2021.crossval_tables import (
    ALL,
    CHRONIC_PAIN,
    STATUSES,
    ensemble_table,
    prediction_table,
    summary_table,
)
from tmsprep.methods.baxter2021.prepared import Prepared
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol


def _mm(description: str) -> dict[str, str]:
    return {'Description': description, 'Units': 'mm'}


COLUMNS: dict[str, dict[str, Any]] = {
    'participant_id': {'Description': 'The participant who was left out of the training'},
    'image': {'Description': 'Name of the T1w without its suffix'},
    'variant': {
        'Description': 'Residual layers of the network',
        'Levels': {
            'separate': 'of their own at each level',
            'shared': 'common to all levels',
            'none': 'none',
        },
    },
    'repetition': {'Description': 'Number of the repetition, from 1'},
    'fold': {'Description': 'Number of the fold, from 1'},
    'label': {
        'Description': 'Name of the target. In the summary also '
        f'{ALL} (all targets) and {CHRONIC_PAIN} (all targets for chronic pain)'
    },
    'x': _mm('Predicted position towards the right'),
    'y': _mm('Predicted position towards the front'),
    'z': _mm('Predicted position towards the top'),
    'reference_x': _mm('Reference position towards the right'),
    'reference_y': _mm('Reference position towards the front'),
    'reference_z': _mm('Reference position towards the top'),
    'error_mm': _mm('Distance of the predicted point from the reference'),
    'status': {'Description': 'What is known about the point', 'Levels': STATUSES},
    'repetitions': {'Description': 'Number of predictions that were averaged'},
    'single_error_mm': _mm('Mean error of the repetitions, one at a time'),
    'dispersion_mm': _mm(
        'Mean distance of the repetitions from their mean (Baxter et al. 2021, equation 3)'
    ),
    'kind': {
        'Description': 'What is summarised',
        'Levels': {
            'single': 'errors of single predictions, all repetitions together',
            'ensemble': 'errors of the mean of the repetitions',
            'dispersion': 'distances of single predictions from the mean of the repetitions',
        },
    },
    'n': {'Description': 'Number of values; missing ones are left out'},
    'mean': _mm('Mean'),
    'sd': _mm('Standard deviation of the sample'),
    'median': _mm('Median'),
    'p95': _mm('95th percentile'),
    'max': _mm('Maximum'),
}
"""Every column of the three tables, for their sidecars."""

DESCRIPTIONS = {
    'crossval_predictions': 'Predicted points of people who were left out of the training',
    'crossval_ensemble': 'Mean of the repetitions for each image, variant and target',
    'crossval_summary': 'Errors and dispersion over people, per variant and target',
}
"""Name of each table to what it holds."""


def write_outputs(
    out_dir: Path,
    cohort: Sequence[Prepared],
    results: Sequence[tuple[Job, Mapping[str, PointSet]]],
    protocol: Protocol,
    settings: Mapping[str, Any],
) -> list[Path]:
    """Write predictions, ensembles and summary, each as a table and a sidecar.

    Parameters
    ----------
    out_dir : Path
        Folder of all derivatives.
    cohort : sequence of Prepared
        Everyone, also those who could not be prepared.
    results : sequence of tuple
        Job, and what `run_job` gave for it.
    protocol : Protocol
        The targets.
    settings : Mapping
        How it was done, for the sidecars: recipe, seed, folds, repetitions.

    Returns
    -------
    list of Path
        The three tables.
    """
    predictions = prediction_table(cohort, results, protocol.labels)
    ensemble = ensemble_table(predictions)
    tables = {
        'crossval_predictions': predictions,
        'crossval_ensemble': ensemble,
        'crossval_summary': summary_table(predictions, ensemble, protocol),
    }
    people = {
        'Participants': len({p.participant for p in cohort}),
        'Images': len(cohort),
        'ImagesLeftOut': {p.name: p.error for p in cohort if p.error},
    }
    return [
        _write(Path(out_dir) / f'{name}.tsv', table, {**settings, **people})
        for name, table in tables.items()
    ]


def _write(path: Path, table: pd.DataFrame, details: Mapping[str, Any]) -> Path:
    content = {
        'Description': DESCRIPTIONS[path.stem],
        'CoordinateSystem': 'scanner, RAS+ (the world frame of the T1w)',
        'CoordinateUnits': 'mm',
        'SoftwareVersion': __version__,
        'Disclaimer': DISCLAIMER,
        **details,
        **{name: COLUMNS[name] for name in table.columns},
    }
    # The sidecar first: a table never stands without its frame.
    write_text(path.with_suffix('.json'), json.dumps(content, indent=2) + '\n')
    return write_table(path, table)
