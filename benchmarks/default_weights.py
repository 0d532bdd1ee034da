"""Train the localizer that ships with the package.

``python benchmarks/default_weights.py DATA REFERENCE OUT`` trains one network from nothing;
with ``--start FILE --steps 280 --rate 1.2e-3 --averaging 0.99`` it starts from another's weights.
Call it again to resume. ``--assemble FILE --members A B C`` joins networks into an ensemble and
calibrates its error radius on the validation set, as it is and corrupted.

The command `tmsprep BIDS OUT train` does the same for any data set; this one keeps the validation
set of the first network for all.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from calibration import calibrate_on, coverage, measure_all

from tmsprep.gyri.parcellation import load_parcellator, parcellate
from tmsprep.gyri.settle import settle
from tmsprep.imaging.volume import to_volume_mm, to_world_mm
from tmsprep.learning.examples import Example
from tmsprep.learning.log import write_log
from tmsprep.learning.loop import fit, rounded
from tmsprep.methods.baxter2021.crossval_tables import summarise
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.prepared import PreparedImage, conformed_affine, load_prepared
from tmsprep.methods.baxter2021.recipes import Recipe, recipe_named
from tmsprep.methods.baxter2021.task import Images, MultiResolutionTask, bfloat16_is_fast
from tmsprep.methods.baxter2021.validation import (
    errors_of,
    make_localizer,
    predict_images,
)
from tmsprep.methods.baxter2021.weights import load_localizer, save_localizer
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, load_protocol

from default_data import VALIDATION_EVERY, painted_examples, read_examples

logger = logging.getLogger(__name__)

#: How far points may be off along each axis, mm, see `settle`. Chosen on the validation set
#: and the first eight scans with manual labels.
SETTLE_MM = 5.0

CARD = {
    'data': 'IXI, Hammersmith 3 T, 2 mm; crowns of gyri by rule, not human',
    'licence': 'CC BY-SA 3.0',
}


@dataclass(frozen=True)
class Cohort:
    """Training set and validation set; the examples of the latter as `people`."""

    protocol: Protocol
    training: list[PreparedImage]
    validation: list[PreparedImage]
    people: list[Example]


def load_cohort(data: Path, reference: Path, out: Path) -> Cohort:
    """Prepare the training data, each image of the training set in two contrasts."""
    protocol = load_protocol('tms')
    examples = read_examples(data, protocol, 'train', reference)
    training = [example for i, example in enumerate(examples) if i % VALIDATION_EVERY]
    training += painted_examples(training, out / 'painted')
    cache = out / 'cache'
    return Cohort(
        protocol,
        load_prepared(training, cache),
        load_prepared(examples[::VALIDATION_EVERY], cache),
        examples[::VALIDATION_EVERY],
    )


def train_network(
    cohort: Cohort, out: Path, seed: int, start: Path | None, recipe: Recipe
) -> Path:
    """Train one network, resuming from its checkpoint; return its weights file."""
    task = MultiResolutionTask(
        # Without the validation set: it is measured once, by `assemble`.
        Images(cohort.training),
        recipe.network_settings(len(cohort.protocol.labels)),
        recipe,
        cohort.protocol,
        seed,
        half_precision=bfloat16_is_fast('cpu'),
        start=None if start is None else load_localizer(start).members[0],
    )
    name = f'network-{seed}' if start is None else f'member-{seed}'
    identity = json.dumps([name, asdict(recipe), str(start)], default=dict)
    trained = fit(task, identity, out / f'{name}.pt', lambda row: logger.info('%s: %s', name, row))
    meaning = {name: ('loss of Baxter et al. 2021, equation 2', 'not measured')}
    write_log(out / f'{name}.log.tsv', {name: trained.log}, 'step', meaning)
    card = {**CARD, 'seed': str(seed), 'recipe': recipe.name, 'steps': str(recipe.steps)}
    network = cast(MultiResolutionNet, trained.network)
    localizer = make_localizer([network], cohort.training, recipe, cohort.protocol, card)
    return save_localizer(out / f'{name}.safetensors', localizer)


def assemble(
    cohort: Cohort, files: Sequence[Path], gyri: Path, cache: Path, destination: Path
) -> dict[str, float]:
    """Join networks, calibrate the error radius, and return the errors in the validation set.

    The points of the ensemble settle in the middle of their gyri, see `settle`; the errors and the
    radius are of settled points. The radius is calibrated on the validation set as it is and
    corrupted, see `calibration`.
    """
    parts = [load_localizer(path) for path in files]
    recipe = recipe_named('default')
    card = {
        **CARD,
        'name': destination.stem,
        'members': str(len(parts)),
        'seeds': ' '.join(part.card['seed'] for part in parts),
        'recipe': '; '.join(f'{p.card["recipe"]}, {p.card["steps"]} steps' for p in parts),
    }
    members = [
        cast(MultiResolutionNet, rounded(_read_out(part.members[0], recipe.network['readout'])))
        for part in parts
    ]
    localizer = make_localizer(members, cohort.training, recipe, cohort.protocol, card)
    predictions = predict_images(localizer, cohort.validation)
    shift = settled(cohort, predictions.mean(axis=1), gyri, cache) - predictions.mean(axis=1)
    alone, errors = (
        errors_of(found, cohort.validation)
        for found in (predictions, predictions + shift[:, None])
    )
    card['validation_mm'] = json.dumps(_rounded(errors))
    card['validation_mm_before_settling'] = json.dumps(_rounded(alone))
    localizer = replace(localizer, card=card, settle_mm=SETTLE_MM)
    bare = save_localizer(cache.parent / 'uncalibrated.safetensors', localizer)
    rows = measure_all(cohort.people, bare, gyri, cache.parent)
    radius = calibrate_on(rows)
    logger.info('%s\n%s', radius, coverage(rows, radius).round(3).to_string())
    save_localizer(destination, replace(localizer, calibration=radius.as_dict()))
    return _rounded(errors)


def _rounded(errors: np.ndarray) -> dict[str, float]:
    return {key: round(value, 3) for key, value in summarise(errors).items()}


def settled(cohort: Cohort, points: np.ndarray, gyri: Path, cache: Path) -> np.ndarray:
    """Settle points, shape (images, targets, 3), mm from the corner, in the validation set."""
    parcellator, protocol = load_parcellator(gyri), cohort.protocol
    expected = [(target.hemisphere, target.gyrus) for target in protocol.targets]
    moved = np.empty_like(points)
    for i, image in enumerate(cohort.validation):
        affine = conformed_affine(image.name, cache)
        places = to_world_mm(points[i], affine)
        volume = image.pyramid[1].numpy()
        found = parcellate(volume, affine, PointSet(protocol.labels, places), parcellator)
        moved[i] = to_volume_mm(settle(found, places, expected, SETTLE_MM), affine)
    return moved


def _read_out(network: MultiResolutionNet, levels: int) -> MultiResolutionNet:
    """Average the finest levels, also in a network that was trained before that was so."""
    network.settings = replace(network.settings, readout=levels)
    return network


def main() -> None:
    """Parse the command line and train or assemble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('reference', type=Path, help='written by reference.py')
    parser.add_argument('out', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--steps', type=int)
    parser.add_argument('--batch', type=int)
    parser.add_argument('--rate', type=float)
    parser.add_argument('--averaging', type=float)
    parser.add_argument('--start', type=Path, metavar='FILE')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--assemble', type=Path, metavar='FILE')
    parser.add_argument('--gyri', type=Path, metavar='FILE', help='written by gyri_weights.py')
    parser.add_argument('--members', type=Path, nargs='+', metavar='FILE')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    cohort = load_cohort(options.data, options.reference, options.out)
    if options.assemble:
        cache = options.out / 'cache'
        found = assemble(cohort, options.members, options.gyri, cache, options.assemble)
        logger.info('%s', found)
        return
    recipe = recipe_named(
        'default',
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.rate,
        averaging=options.averaging,
    )
    logger.info('%s', train_network(cohort, options.out, options.seed, options.start, recipe))


if __name__ == '__main__':
    main()
