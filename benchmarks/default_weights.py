"""Train the localizer that ships with the package.

``python benchmarks/default_weights.py DATA REFERENCE OUT --gyri FILE --destination FILE`` trains
one network per seed, each from nothing, joins them into an ensemble and calibrates its error
radius on the validation set, as it is and corrupted. Call it again to resume. ``--seeds 11``
without a destination trains one network, so that several can be trained side by side.

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
from tmsprep.methods.baxter2021.recipes import recipe_named
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

#: Of the initial weights and random views of each network.
SEEDS = (11, 21, 22)

#: A sixth of the work of the recipe that users get, and no worse on the validation set: crops
#: around the reference train all levels from the first step on.
RECIPE = recipe_named('default', steps=800, batch=4, averaging=0.99)

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


def train_network(cohort: Cohort, out: Path, seed: int) -> Path:
    """Train one network, resuming from its checkpoint; return its weights file."""
    task = MultiResolutionTask(
        # Without the validation set: it is measured once, by `assemble`.
        Images(cohort.training),
        RECIPE.network_settings(len(cohort.protocol.labels)),
        RECIPE,
        cohort.protocol,
        seed,
        half_precision=bfloat16_is_fast('cpu'),
    )
    name = f'network-{seed}'
    identity = json.dumps([name, asdict(RECIPE)], default=dict)
    trained = fit(task, identity, out / f'{name}.pt', lambda row: logger.info('%s: %s', name, row))
    meaning = {name: ('loss of Baxter et al. 2021, equation 2', 'not measured')}
    write_log(out / f'{name}.log.tsv', {name: trained.log}, 'step', meaning)
    card = {**CARD, 'seed': str(seed), 'recipe': RECIPE.name, 'steps': str(RECIPE.steps)}
    network = cast(MultiResolutionNet, rounded(trained.network))
    localizer = make_localizer([network], cohort.training, RECIPE, cohort.protocol, card)
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
    card = {
        **CARD,
        'name': destination.stem,
        'members': str(len(parts)),
        'seeds': ' '.join(part.card['seed'] for part in parts),
        'recipe': f'{RECIPE.name}, {RECIPE.steps} steps',
    }
    members = [part.members[0] for part in parts]
    localizer = make_localizer(members, cohort.training, RECIPE, cohort.protocol, card)
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


def main() -> None:
    """Parse the command line, train, and assemble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('reference', type=Path, help='written by reference.py')
    parser.add_argument('out', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=SEEDS)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--gyri', type=Path, metavar='FILE', help='written by gyri_weights.py')
    parser.add_argument('--destination', type=Path, metavar='FILE')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    cohort = load_cohort(options.data, options.reference, options.out)
    members = [train_network(cohort, options.out, seed) for seed in options.seeds]
    if options.destination:
        cache = options.out / 'cache'
        found = assemble(cohort, members, options.gyri, cache, options.destination)
        logger.info('%s', found)


if __name__ == '__main__':
    main()
