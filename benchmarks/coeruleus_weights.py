"""Train the networks of the localiser of the locus coeruleus that ship with the package.

``python benchmarks/coeruleus_weights.py DATA OUT`` trains them from nothing and writes the
weights; call it again to resume. DATA holds the BIDS data sets ``ds000011``, ``ds002748``,
``studyforrest`` and ``ixi`` (with parcellations in ``derivatives/dlmuse``, and ``split.tsv``), and
``label_maps``. Nuclei are simulated in these heads, see ``docs/neuromelanin_phantom.md``. The exit
code is 1 if a network has learned too little: if its error in the validation set is over half of
that of a guess without looking.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from tmsprep.learning.card import WARNING
from tmsprep.learning.log import write_log
from tmsprep.learning.loop import Task, fit, rounded
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.task import Images, bfloat16_is_fast
from tmsprep.methods.baxter2021.validation import make_localizer
from tmsprep.methods.duennwald2021.networks import CoeruleusModel, CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.two_stages import TwoStages, save_stages
from tmsprep.tables import write_json

from coeruleus_simulation.crops import CROP, CROP_MM
from coeruleus_simulation.heads import Head, load_heads
from coeruleus_testing.cases import development, measure_all
from coeruleus_training.bank import Bank
from coeruleus_training.first_stage import FIRST_PROTOCOL, FIRST_RECIPE, first_task, load_views
from coeruleus_training.limits import find_limits, find_radius, see_crops
from coeruleus_training.second_stage import CropTask, blind_error, localizer_of, segmenter_of
from coeruleus_training.sources import IXI_TRAINING, NATIVE, VALIDATION, cached, ixi, native

logger = logging.getLogger('coeruleus_weights')

#: Where the weights go.
WEIGHTS = (
    Path(__file__).resolve().parents[1] / 'tmsprep/data/localizer_locus-coeruleus.safetensors'
)

#: Views of each head in training, and of each head of the validation set.
VIEWS, VALIDATION_VIEWS = 8, 12

#: Reach of the box around the pons that is kept of a head for crops, mm.
REACH_MM = 45.0

#: Crops of the training set, clear ones at its beginning, crops of the validation set, and crops
#: per step.
CROPS, CLEAR, VALIDATION_CROPS, BATCH = 20000, 4000, 160, 4

#: Optimiser steps of each network; those of one kind are trained from scratch with other seeds.
STEPS = {'first': (2500, 3000), 'localizer': (5000, 2500, 1800), 'segmenter': (2200,)}

#: Share of views in changed contrast, of each network of the first stage.
TONES = (0.6, 0.0)

#: Share of the error of a guess over which a network has learned too little.
LIMIT = 0.5


@dataclass(frozen=True)
class Stage:
    """Trained networks of one kind, and their mean errors in the validation set.

    Parameters
    ----------
    networks : tuple of torch.nn.Module
        Rounded to half precision.
    errors : dict
        Name of each training to its error, mm; of segmenters their loss.
    blind_mm : float
        Error of a guess that does not look: at the image for the first stage, at the nucleus for
        the second.
    """

    networks: tuple[nn.Module, ...]
    errors: dict[str, float]
    blind_mm: float


def train_kind(
    kind: str, make: Callable[[int, int], Task], out: Path, only: int | None = None
) -> tuple[list, dict]:
    """Train all networks of a kind, or one, each resuming from its checkpoint; errors by name."""
    networks, errors = [], {}
    for seed, steps in enumerate(STEPS[kind], start=1):
        if only not in (None, seed):
            continue
        name = f'{kind}-{seed}'
        identity = f'{name} {steps} {BATCH}'
        trained = fit(
            make(seed, steps),
            identity,
            out / f'{name}.pt',
            lambda row, name=name: logger.info('%s %s', name, row),
        )
        unit = 'loss' if kind == 'segmenter' else 'error mm'
        write_log(out / f'{name}.log.tsv', {name: trained.log}, 'step', {name: ('loss', unit)})
        networks.append(rounded(trained.network))
        errors[name] = float(trained.log[-1]['validation'])
    return networks, errors


def read_views(data: Path, out: Path, tones: float) -> Images:
    """Draw the views of the first stage, or read them; a share of them in changed contrast."""
    cache = out / 'heads'

    def load(name: str) -> Head:
        return load_heads([cache / f'{name}.npz'])[0]

    training = ixi(data, 'train', IXI_TRAINING) + native(data, NATIVE)
    held = native(data, VALIDATION)
    cached([*training, *held], cache)
    views, held_views = (
        load_views(out / 'views', [s.name for s in sources], load, count, first, tones)
        for sources, count, first in (
            (training, VIEWS, 10**6),
            (held, VALIDATION_VIEWS, 2 * 10**6),
        )
    )
    return Images(views, held_views)


def train_first(
    data: Path, out: Path, fast: bool, only: int | None = None
) -> tuple[Stage, Images]:
    """Train the first stage; return it, and the views of the last network."""
    networks, errors = [], {}
    for seed in range(1, len(STEPS['first']) + 1):
        if only not in (None, seed):
            continue
        images = read_views(data, out, TONES[seed - 1])

        def make(_: int, steps: int, images: Images = images) -> Task:
            # One seed for all: they differ by what they see.
            return first_task(images, 1, steps, half_precision=fast)

        found, error = train_kind('first', make, out, seed)
        networks += found
        errors |= error
    mean = torch.stack([view.points for view in images.training]).mean(dim=0)
    held = torch.stack([view.points for view in images.validation])
    blind = float((held - mean).norm(dim=-1).mean())
    return Stage(tuple(networks), errors, blind), images


def crop_banks(data: Path, out: Path) -> tuple[Bank, Bank]:
    """Crops of the training and the validation set."""
    heads, held = (
        load_heads(cached(native(data, which), out / 'heads'), REACH_MM)
        for which in (NATIVE, VALIDATION)
    )
    return (
        Bank(out / 'crops', heads, CROPS, 0, CLEAR),
        Bank(out / 'validation', held, VALIDATION_CROPS, 10**7),
    )


def train_crops(
    kind: str, banks: tuple[Bank, Bank], out: Path, fast: bool, only: int | None = None
) -> Stage:
    """Train the localizers or the segmenters of the second stage.

    Segmenters start from the first localizer, which has learned where a nucleus is.
    """
    start = None
    if kind == 'segmenter':
        start = cast(CoReUNet, train_crops('localizer', banks, out, fast, 1).networks[0])

    def make(seed: int, steps: int) -> Task:
        network = localizer_of(seed) if start is None else segmenter_of(seed, start)
        return CropTask(*banks, network, steps, BATCH, seed, half_precision=fast)

    networks, errors = train_kind(kind, make, out, only)
    return Stage(tuple(networks), errors, blind_error(banks[0].points(), banks[1].points()))


def assemble(
    first: Stage, localizers: Stage, segmenters: Stage, images: Images, card: Mapping[str, str]
) -> TwoStages:
    """Join all networks, with limits and calibration yet to be measured."""
    members = [cast(MultiResolutionNet, network) for network in first.networks]
    finder = make_localizer(members, images.training, FIRST_RECIPE, FIRST_PROTOCOL)
    crop = CoeruleusModel(
        ('LC',),
        tuple(cast(CoReUNet, network) for network in localizers.networks),
        tuple(cast(PatchUNet, network) for network in segmenters.networks),
        {},
        CROP_MM,
    )
    return TwoStages(('LLC', 'RLC'), finder, crop, CROP, dict(card))


def has_learned(errors: Mapping[str, float], blind: float) -> dict[str, bool]:
    """Tell for each network whether its error is at most half of that of a guess."""
    return {name: bool(error <= LIMIT * blind) for name, error in errors.items()}


def warning_of(stages: Mapping[str, Stage]) -> dict[str, str]:
    """Entry of the card that reports begin with if localizers have learned too little."""
    stage = stages['localizer']
    if all(has_learned(stage.errors, stage.blind_mm).values()):
        return {}
    error = max(stage.errors.values())
    return {
        WARNING: f'in simulated images with faint nuclei its mean error was {error:.1f} mm, over '
        f'half of the {stage.blind_mm:.1f} mm of a guess from the brainstem alone: rely on no '
        'point that you cannot see in the image yourself'
    }


def make_card(stages: Mapping[str, Stage]) -> dict[str, str]:
    """Describe the weights."""
    return {
        'name': 'locus coeruleus, two stages',
        'data': 'simulated neuromelanin in real heads; not tested in patients',
        'licence': 'CC BY-SA 3.0',
        'recipe': 'benchmarks/coeruleus_weights.py',
        'seeds': json.dumps({kind: len(steps) for kind, steps in STEPS.items()}),
        **warning_of(stages),
        'validation': json.dumps(
            {
                kind: {'blind_mm': round(stage.blind_mm, 3)}
                | {name: round(error, 3) for name, error in stage.errors.items()}
                for kind, stage in stages.items()
            }
        ),
    }


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument(
        '--only', metavar='NAME', help='one network, so that several are trained side by side'
    )
    parser.add_argument('--destination', type=Path, default=WEIGHTS, metavar='FILE')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    fast = bfloat16_is_fast('cpu')
    data, out = options.data, options.out
    out.mkdir(parents=True, exist_ok=True)
    kinds, only = list(STEPS), None
    if options.only:
        kind, number = options.only.split('-')
        kinds, only = [kind], int(number)
    stages, images = {}, None
    if 'first' in kinds:
        stages['first'], images = train_first(data, out, fast, only)
    for kind in ('localizer', 'segmenter'):
        if kind in kinds:
            stages[kind] = train_crops(kind, crop_banks(data, out), out, fast, only)
    if images is not None and only is None:
        _ship(stages, images, options)
    sys.exit(0 if _all_learned(stages) else 1)


def _ship(stages: Mapping[str, Stage], images: Images, options: argparse.Namespace) -> None:
    """Measure limits and radius in the validation set, and write the weights."""
    parts = (stages[kind] for kind in ('first', 'localizer', 'segmenter'))
    model = assemble(*parts, images, make_card(stages))
    out = options.out
    rows = measure_all(development(), model, options.data, out / 'heads', out / 'development.tsv')
    crops = see_crops(model.crop.segmenters[0], crop_banks(options.data, out)[1])
    limits = find_limits(rows, crops)
    radius = find_radius(rows)
    write_json(out / 'limits.json', {'limits': limits, 'radius': radius.as_dict()})
    model = replace(model, limits=limits, calibration=radius.as_dict())
    logger.info('%s', save_stages(options.destination, model))


def _all_learned(stages: Mapping[str, Stage]) -> bool:
    """Name networks that have learned too little in the log."""
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


if __name__ == '__main__':
    main()
