"""What a weights file says about itself, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.learning.folds import participant_of
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.members import Plan
from tmsprep.methods.baxter2021.validation import summarise
from tmsprep.methods.baxter2021.weights import Localizer

LICENCE = 'set by whoever owns the images and points it was trained on'

_NOT_MEASURED = (
    'Not measured: there were too few participants to keep any aside. `tmsprep BIDS OUT crossval` '
    'measures it. Without it, no error radius is given.'
)

_MEASURED = (
    'Distance from the reference in participants kept aside, in mm. They come from the same data '
    'set; images of another scanner or another kind of patient can be worse.'
)


@dataclass(frozen=True)
class Fitted:
    """A finished ensemble and what is known about it.

    Parameters
    ----------
    localizer : Localizer
        The ensemble.
    plan : Plan
        How it was trained.
    seeds : tuple of int
        One per member.
    errors : numpy.ndarray or None
        Shape (people kept aside, targets), mm, NaN where missing; None if nobody was.
    learnt : float
        Mean error in mm in images it was trained on, see `fit_ensemble`.
    facts : mapping
        'data': where images and points come from; 'licence'; 'started_from': the weights that
        training began with.
    """

    localizer: Localizer
    plan: Plan
    seeds: tuple[int, ...]
    errors: np.ndarray | None
    learnt: float
    facts: Mapping[str, str]


def card_entries(name: str, fitted: Fitted) -> dict[str, str]:
    """Return the entries that the weights file keeps."""
    plan, facts = fitted.plan, fitted.facts
    entries = {
        'name': name,
        'data': facts.get('data', 'not stated'),
        'people': f'{_count(plan.training)}; kept aside: {_count(plan.validation)}',
        'members': str(len(fitted.seeds)),
        'seeds': ' '.join(map(str, fitted.seeds)),
        'recipe': f'{plan.recipe.name}, {plan.recipe.steps} steps',
        'residual': plan.settings.residual,
        'versions': _versions(),
        'training_mm': f'{fitted.learnt:.2f}',
        'licence': facts.get('licence', LICENCE),
    }
    if 'started_from' in facts:
        entries['started_from'] = facts['started_from']
    if fitted.errors is not None:
        summary = summarise(fitted.errors)
        entries['validation_mm'] = json.dumps({k: round(v, 3) for k, v in summary.items()})
    return entries


def write_model_card(path: Path, name: str, fitted: Fitted) -> Path:
    """Write the model card, Markdown.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Of the weights file, without extension.
    fitted : Fitted
        What to describe.
    """
    entries = card_entries(name, fitted)
    lines = [f'# {name}', '', DISCLAIMER, '', '## What it is', '']
    rows = [
        ('Protocol', f'{fitted.plan.protocol.name}: {fitted.plan.protocol.title}'),
        ('Network', 'multi-resolution network of Baxter et al. 2021, as tmsprep builds it'),
        *((key.replace('_', ' ').capitalize(), text) for key, text in entries.items()),
        ('Precision', 'bfloat16 convolutions' if fitted.plan.half_precision else 'float32'),
    ]
    lines += _table(('', ''), rows)
    lines += ['', '## What it was trained on', '', 'Points per target:', '']
    lines += _table(('target', 'to train on', 'kept aside'), _points_rows(fitted))
    lines += ['', '## How far it was off', '', *_error_lines(fitted)]
    lines += ['', '## How it was trained', '', '```json']
    how = {'recipe': asdict(fitted.plan.recipe), 'network': fitted.plan.settings.as_dict()}
    lines += [json.dumps(how, indent=1, default=dict), '```', '']
    return write_text(path, '\n'.join(lines))


def _error_lines(fitted: Fitted) -> list[str]:
    if fitted.errors is None:
        return [_NOT_MEASURED]
    labels = [*fitted.localizer.labels, 'all']
    columns = [*fitted.errors.T, fitted.errors]
    rows = []
    for label, errors in zip(labels, columns, strict=True):
        s = summarise(errors)
        shown = (_mm(s[key]) for key in ('mean', 'sd', 'median', 'p95', 'max'))
        rows.append((label, str(s['n']), *shown))
    head = ('target', 'points', 'mean', 'sd', 'median', '95th percentile', 'max')
    return [_MEASURED, '', *_table(head, rows)]


def _points_rows(fitted: Fitted) -> list[tuple[str, ...]]:
    labels = fitted.localizer.labels
    counts = [_found(p, len(labels)) for p in (fitted.plan.training, fitted.plan.validation)]
    return [(label, *(str(n[i]) for n in counts)) for i, label in enumerate(labels)] + [
        ('images', str(len(fitted.plan.training)), str(len(fitted.plan.validation)))
    ]


def _found(people: Sequence[Person], targets: int) -> list[int]:
    """Count the people with each target."""
    known = [person.points.isfinite().all(dim=-1) for person in people]
    return torch.stack(known).sum(dim=0).tolist() if known else [0] * targets


def _count(people: Sequence[Person]) -> str:
    participants = {participant_of(person.name) for person in people}
    return f'{len(participants)} participants, {len(people)} images'


def _versions() -> str:
    return f'tmsprep {__version__}, torch {torch.__version__}, numpy {np.__version__}'


def _mm(value: float) -> str:
    return f'{value:.2f}' if np.isfinite(value) else 'n/a'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f'| {" | ".join(row)} |' for row in (head, ['---'] * len(head), *map(tuple, rows))]
