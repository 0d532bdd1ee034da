"""What networks have learned: errors beside a guess, the card, and its warning."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from tmsprep.learning.card import WARNING
from tmsprep.methods.duennwald2021.two_stages import TwoStages

from coeruleus_testing.results import WRONG_MM

logger = logging.getLogger('coeruleus_weights')

#: Share of the error of a guess over which a network has learned too little, and share of points
#: without a warning that may be wrong (`WRONG_MM`): beyond either the card has a warning.
LIMIT, WRONG = 0.5, 0.05


@dataclass(frozen=True)
class Stage:
    """Trained networks of one kind, and their mean errors in the validation set.

    Parameters
    ----------
    networks : sequence of torch.nn.Module
        Rounded to half precision.
    errors : dict
        Name of each training to its error, mm; of segmenters their loss.
    blind_mm : float
        Error of a guess that does not look: at the image for the first stage, at the nucleus for
        the second.
    """

    networks: Sequence[nn.Module]
    errors: dict[str, float]
    blind_mm: float


def has_learned(errors: Mapping[str, float], blind: float) -> dict[str, bool]:
    """Tell for each network whether its error is at most half of that of a guess."""
    return {name: bool(error <= LIMIT * blind) for name, error in errors.items()}


def warning_of(stage: Stage, rows: pd.DataFrame) -> dict[str, str]:
    """Entry of the card, with which no point is called right, if too little has been learned.

    Parameters
    ----------
    stage : Stage
        The localizers.
    rows : pandas.DataFrame
        Of `measure_all` in the validation set, with the status by the limits: where all networks
        have learned enough, the limits may still let too much through.
    """
    passed = rows[rows['visible'] & (rows['status'] == 'ok')]['error_mm']
    wrong, worst = float((passed > WRONG_MM).mean()), max(stage.errors.values())
    guess = f'{stage.blind_mm:.1f} mm of a guess from the brainstem alone'
    if not all(has_learned(stage.errors, stage.blind_mm).values()):
        found = f'in simulated images its mean error was {worst:.1f} mm, over half of the {guess}'
    elif not passed.mean() <= LIMIT * stage.blind_mm or wrong > WRONG:
        found = (
            f'in simulated images {100 * wrong:.0f} % of points without another warning were more '
            f'than {WRONG_MM:g} mm off, and their mean error was {passed.mean():.1f} mm, beside '
            f'the {guess}'
        )
    else:
        return {}
    return {WARNING: f'{found}: rely on no point that you cannot see in the image yourself'}


def make_card(
    stages: Mapping[str, Stage], given: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """Describe the weights.

    Parameters
    ----------
    stages : mapping
        Kind to networks.
    given : mapping, optional
        Where others were trained on: option to the kinds that were kept, or trained anew.
    """
    recipe = ['benchmarks/coeruleus_weights.py', *([] if given is None else ['--start'])]
    for option, kinds in (given or {}).items():
        recipe += [option, *sorted(kinds)] if kinds else []
    return {
        'name': 'locus coeruleus, two stages',
        'data': 'simulated neuromelanin in real heads; not tested in patients',
        'licence': 'CC BY-SA 3.0',
        'recipe': ' '.join(recipe),
        'seeds': json.dumps({kind: len(stage.networks) for kind, stage in stages.items()}),
        'validation': json.dumps(
            {
                kind: {'blind_mm': round(stage.blind_mm, 3)}
                | {name: round(error, 3) for name, error in stage.errors.items()}
                for kind, stage in stages.items()
            }
        ),
    }


def kept(kind: str, start: TwoStages) -> Stage:
    """Take the networks of a kind from other weights, and their errors from the card."""
    networks: dict[str, Sequence[nn.Module]] = {
        'first': start.finder.members,
        'localizer': start.crop.localizers,
        'segmenter': start.crop.segmenters,
    }
    errors = dict(json.loads(start.card['validation'])[kind])
    return Stage(networks[kind], errors, errors.pop('blind_mm'))


def all_learned(stages: Mapping[str, Stage]) -> bool:
    """Tell whether all networks have learned enough; the log names each."""
    learned = True
    for kind, stage in stages.items():
        if kind == 'segmenter':
            continue
        for name, enough in has_learned(stage.errors, stage.blind_mm).items():
            logger.log(
                logging.INFO if enough else logging.ERROR,
                '%s %s: %.2f mm in the validation set, %.2f mm without looking',
                name,
                'has learned' if enough else 'has learned too little',
                stage.errors[name],
                stage.blind_mm,
            )
            learned &= enough
    return learned
