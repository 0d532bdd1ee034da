"""The model card of a weights file, as Markdown and as entries of the file itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.status import NOT_VISIBLE
from tmsprep.learning.examples import Record, participants_of
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.text import counted

#: Entry that says why the networks must not be used; missing if nothing is known against them.
WARNING = 'warning'

#: Entry of weights without a stated licence.
LICENCE = 'set by the owner of the images and points it was trained on'


@dataclass(frozen=True)
class Card:
    """What a method adds to the model card.

    Parameters
    ----------
    entries : dict
        Entries of the weights file, name to text; shown as the first table.
    rows : list of tuple
        Rows that the first table has besides.
    sections : dict
        Heading to lines of Markdown.
    """

    entries: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[str, str]] = field(default_factory=list)
    sections: dict[str, list[str]] = field(default_factory=dict)


def common_entries(
    name: str, data: str, training: Sequence[Record], validation: Sequence[Record]
) -> dict[str, str]:
    """Return the entries that every weights file has.

    Parameters
    ----------
    name : str
        Name of the weights file, without extension.
    data : str
        Origin of images and annotations.
    training, validation : sequence of Record
        Training set and validation set.
    """
    import torch

    return {
        'name': name,
        'data': data,
        'participants': f'{_count(training)}; validation set: {_count(validation)}',
        'versions': f'tmsprep {__version__}, torch {torch.__version__}, numpy {np.__version__}',
        'licence': LICENCE,
    }


def describe_weights(card: Mapping[str, str], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a sidecar that says by which weights points were found.

    Parameters
    ----------
    card : mapping
        Entries of the weights file.
    resources : mapping
        'weights', the file, and 'weights_sha256'; see `tmsprep.methods.resources.find_weights`.
    """
    entry = {
        'Name': card.get('name', Path(resources['weights']).stem),
        'SHA256': resources['weights_sha256'],
        'TrainingData': card.get('data', 'not stated'),
    }
    if WARNING in card:
        entry['Warning'] = card[WARNING]
    return {'Weights': entry}


def heed_warning(outcome: Outcome, card: Mapping[str, str]) -> Outcome:
    """Call no point right that was found by networks which must not be used.

    Networks that have learned too little cannot tell which of their points are wrong. Points that
    are not seen stay so.

    Parameters
    ----------
    outcome : Outcome
        With points.
    card : mapping
        Entries of the weights file.
    """
    if WARNING not in card or outcome.points is None:
        return outcome
    unseen = {*outcome.unreliable, *outcome.doubts.get(NOT_VISIBLE, ())}
    found = np.array(outcome.points.labels)[outcome.points.found].tolist()
    return replace(
        outcome,
        findings=[card[WARNING], *outcome.findings],
        unreliable=[*outcome.unreliable, *(label for label in found if label not in unseen)],
    )


def write_card(path: Path, protocol: Protocol, card: Card) -> Path:
    """Write the model card.

    Parameters
    ----------
    path : Path
        Markdown file, named like the weights file.
    protocol : Protocol
        The targets.
    card : Card
        With all entries.
    """
    rows = [
        ('Protocol', f'{protocol.name}: {protocol.title}'),
        *((key.replace('_', ' ').capitalize(), text) for key, text in card.entries.items()),
        *card.rows,
    ]
    lines = [f'# {path.stem}', '', disclaimer(protocol), '', '## What it is', '']
    lines += markdown_table(('', ''), rows)
    for heading, content in card.sections.items():
        lines += ['', f'## {heading}', '', *content]
    return write_text(path, '\n'.join([*lines, '']))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; bars within a cell are escaped."""
    cells = (head, ['---'] * len(head), *rows)
    return [f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in row)} |' for row in cells]


def _count(records: Sequence[Record]) -> str:
    people = counted(len(participants_of(records)), 'participant')
    return f'{people}, {counted(len(records), "image")}'
