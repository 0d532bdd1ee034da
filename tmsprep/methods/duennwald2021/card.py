"""What a weights file of the locus coeruleus says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.methods.baxter2021.card import LICENCE
from tmsprep.methods.duennwald2021.records import VolumeRecord, recipe_to_json

if TYPE_CHECKING:
    from tmsprep.learning.loop import Trained
    from tmsprep.methods.duennwald2021.fit import CoeruleusPlan

_MEASURED = (
    'In the people who chose the epochs, so that it is somewhat better than in people never seen; '
    '`tmsprep BIDS OUT crossval --protocol locus-coeruleus --held-out N` measures it without that.'
)


def card_entries(
    name: str,
    plan: CoeruleusPlan,
    trained: Mapping[str, Trained],
    measured: Mapping[str, float],
    facts: Mapping[str, str],
) -> dict[str, str]:
    """Return the entries that the weights file keeps.

    Parameters
    ----------
    name : str
        Of the weights file, without extension.
    plan : CoeruleusPlan
        How it was trained.
    trained : Mapping
        Network to what its training gave.
    measured : Mapping
        'error_mm' and 'dice' in the validation people, NaN if there is none.
    facts : Mapping
        'data': where images and masks come from; 'licence'.
    """
    best = (f'{network}: {t.best_epoch} of {len(t.log)}' for network, t in trained.items())
    return {
        'name': name,
        'data': facts.get('data', 'not stated'),
        'people': f'{_count(plan.training)}; choosing the epoch: {_count(plan.validation)}',
        'recipe': plan.recipe.name,
        'best_epoch': ', '.join(best),
        'augmentation': 'with' if plan.augment else 'without',
        'seeds': str(plan.seed),
        'validation_mm': _number(measured['error_mm']),
        'validation_dice_lpp': _number(measured['dice']),
        'versions': f'tmsprep {__version__}, torch {torch.__version__}, numpy {np.__version__}',
        'licence': facts.get('licence', LICENCE),
    }


def write_card(path: Path, plan: CoeruleusPlan, entries: Mapping[str, str]) -> Path:
    """Write the model card, Markdown.

    Parameters
    ----------
    path : Path
        The file.
    plan : CoeruleusPlan
        How it was trained.
    entries : Mapping
        Of `card_entries`.
    """
    shown = {key: text for key, text in entries.items() if not key.startswith('validation')}
    lines = [f'# {entries["name"]}', '', DISCLAIMER, '', '## What it is', '']
    lines += ['Networks of Duennwald et al. 2021, as tmsprep builds them: a CoRe-UNet that finds']
    lines += ['the left and right locus coeruleus, and, where masks were given, a 3D U-Net that']
    lines += ['labels them in a patch.', '', '| | |', '| --- | --- |']
    lines += [f'| {key.replace("_", " ").capitalize()} | {text} |' for key, text in shown.items()]
    lines += ['', '## How far it was off', '', _MEASURED, '']
    lines += [f'- mean distance from the reference: {entries["validation_mm"]} mm']
    lines += [f'- mean Dice of one patch at the points: {entries["validation_dice_lpp"]}']
    lines += ['', '## How it was trained', '', '```json']
    recipe = json.loads(recipe_to_json(plan.recipe))
    return write_text(path, '\n'.join([*lines, json.dumps(recipe, indent=1), '```', '']))


def _count(people: Sequence[VolumeRecord]) -> str:
    return f'{len({p.participant for p in people})} participants, {len(people)} images'


def _number(value: float) -> str:
    return f'{value:.2f}' if np.isfinite(value) else 'n/a'
