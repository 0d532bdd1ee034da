"""Train the localizer that ships with the package.

``python benchmarks/default_weights.py DATA OUT --seed 1`` trains one network from nothing;
with ``--start FILE --steps 280 --rate 1.2e-3 --averaging 0.99`` it goes on from another's weights.
Call it again to resume. ``--assemble FILE --members A B C`` joins networks into an ensemble and
calibrates its error radius on the people kept aside.

The command `tmsprep BIDS OUT train` does the same for anybody's images; this one knows who of the
training data was kept aside from the first network on.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tmsprep.evaluation.conformal import calibrate
from tmsprep.methods.baxter2021.cohort import Person, load_cohort
from tmsprep.methods.baxter2021.members import bfloat16_is_fast, rounded
from tmsprep.methods.baxter2021.recipes import recipe_named
from tmsprep.methods.baxter2021.training import Training
from tmsprep.methods.baxter2021.validation import (
    dispersions_of,
    errors_of,
    make_localizer,
    predict_people,
    summarise,
)
from tmsprep.methods.baxter2021.weights import load_localizer, save_localizer
from tmsprep.protocols import Protocol, load_protocol

from default_data import VALIDATION_EVERY, annotated_people

logger = logging.getLogger(__name__)

CARD = {
    'data': 'IXI, Hammersmith 3 T, 2 mm; rule-based reference points, not human',
    'licence': 'CC BY-SA 3.0',
}


@dataclass(frozen=True)
class Cohort:
    """Who is trained on, and who is kept aside."""

    protocol: Protocol
    training: list[Person]
    validation: list[Person]


def load_people(data: Path, cache: Path) -> Cohort:
    """Prepare the training people; see `annotated_people`."""
    protocol = load_protocol('tms')
    people = load_cohort(annotated_people(data, protocol, 'train'), cache)
    training = [person for i, person in enumerate(people) if i % VALIDATION_EVERY]
    return Cohort(protocol, training, people[::VALIDATION_EVERY])


def train_network(
    cohort: Cohort, out: Path, seed: int, start: Path | None, changes: dict[str, float]
) -> Path:
    """Train one network, resuming from its checkpoint; return its weights file."""
    recipe = recipe_named('default', **changes)
    run = Training(
        recipe.network_settings(len(cohort.protocol.labels)),
        recipe,
        cohort.protocol,
        seed,
        half_precision=bfloat16_is_fast('cpu'),
        start=None if start is None else load_localizer(start).members[0],
    )
    name = f'network-{seed}' if start is None else f'member-{seed}'

    def progress(step: int, loss: float) -> None:
        if step % 10 == 0:
            with (out / f'{name}.log.tsv').open('a', encoding='utf-8') as stream:
                stream.write(f'{step}\t{loss:.4f}\n')

    network = run.run(cohort.training, out / f'{name}.pt', progress=progress)
    card = {**CARD, 'seed': str(seed), 'recipe': recipe.name, 'steps': str(recipe.steps)}
    localizer = make_localizer([network], cohort.training, recipe, cohort.protocol, card)
    return save_localizer(out / f'{name}.safetensors', localizer)


def assemble(cohort: Cohort, files: Sequence[Path], destination: Path) -> dict[str, float]:
    """Join networks, calibrate the error radius, and return the errors of those kept aside."""
    parts = [load_localizer(path) for path in files]
    recipe = recipe_named('default')
    card = {
        **CARD,
        'name': destination.stem,
        'members': str(len(parts)),
        'seeds': ' '.join(part.card['seed'] for part in parts),
        'recipe': '; '.join(f'{p.card["recipe"]}, {p.card["steps"]} steps' for p in parts),
    }
    members = [rounded(_read_out(part.members[0], recipe.network['readout'])) for part in parts]
    localizer = make_localizer(members, cohort.training, recipe, cohort.protocol, card)
    predictions = predict_people(localizer, cohort.validation)
    errors = errors_of(predictions, cohort.validation)
    radius = calibrate(errors, dispersions_of(predictions), localizer.labels)
    summary = {key: round(value, 3) for key, value in summarise(errors).items()}
    card['validation_mm'] = json.dumps(summary)
    save_localizer(destination, replace(localizer, card=card, calibration=radius.as_dict()))
    return summary


def _read_out(network: torch.nn.Module, levels: int) -> torch.nn.Module:
    """Average the finest levels, also in a network that was trained before that was so."""
    network.settings = replace(network.settings, readout=levels)
    return network


def main() -> None:
    """Parse the command line and train or assemble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--steps', type=int)
    parser.add_argument('--rate', type=float)
    parser.add_argument('--averaging', type=float)
    parser.add_argument('--start', type=Path, metavar='FILE')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--assemble', type=Path, metavar='FILE')
    parser.add_argument('--members', type=Path, nargs='+', metavar='FILE')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    cohort = load_people(options.data, options.out / 'cache')
    if options.assemble:
        logger.info('%s', assemble(cohort, options.members, options.assemble))
        return
    named = {
        'steps': options.steps,
        'learning_rate': options.rate,
        'averaging': options.averaging,
    }
    changes = {key: value for key, value in named.items() if value is not None}
    logger.info('%s', train_network(cohort, options.out, options.seed, options.start, changes))


if __name__ == '__main__':
    main()
