"""Train the networks of the localiser of the locus coeruleus that ship with the package.

``python benchmarks/coeruleus_weights.py DATA OUT`` trains them from nothing and writes the
weights; call it again to resume. With ``--start FILE`` networks are trained on from those of other
weights; kinds of networks that are named after ``--keep`` are those of that file, and those after
``--new`` are trained from nothing all the same. DATA holds
the BIDS data sets ``ds000011``, ``ds002748``, ``studyforrest`` and ``ixi`` (with parcellations in
``derivatives/dlmuse``, and ``split.tsv``), and ``label_maps``. Nuclei are simulated in these
heads, see ``docs/neuromelanin_phantom.md``. The exit code is 1 if a network has learned too
little: if its error in the validation set is over half of that of a guess without looking.
"""

from __future__ import annotations

import argparse
import copy
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from tmsprep.files import file_sha256
from tmsprep.learning.log import write_log
from tmsprep.learning.loop import Task, fit, rounded
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.task import Images, bfloat16_is_fast
from tmsprep.methods.baxter2021.validation import make_localizer
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.methods.duennwald2021.networks import CoeruleusModel, CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.two_stages import TwoStages, load_stages, save_stages
from tmsprep.tables import write_json

from coeruleus_simulation.crops import CROP_MM
from coeruleus_simulation.heads import Head, load_heads
from coeruleus_testing.cases import development, measure_all
from coeruleus_testing.results import doubts_of
from coeruleus_training.bank import Bank
from coeruleus_training.first_stage import FIRST_PROTOCOL, FIRST_RECIPE, first_task, load_views
from coeruleus_training.guard import Stage, all_learned, kept, make_card, warning_of
from coeruleus_training.limits import find_limits, find_radius, see_crops
from coeruleus_training.second_stage import (
    WINDOW,
    CropTask,
    blind_error,
    localizer_of,
    segmenter_of,
)
from coeruleus_training.sources import IXI_TRAINING, NATIVE, VALIDATION, cached, ixi, native

logger = logging.getLogger('coeruleus_weights')

#: Those that ship.
WEIGHTS = (
    Path(__file__).resolve().parents[1] / 'tmsprep/data/localizer_locus-coeruleus.safetensors'
)

#: Views of each head in training, and of each head of the validation set.
VIEWS, VALIDATION_VIEWS = 12, 12

#: Reach of the box around the pons that is kept of a head for crops, mm.
REACH_MM = 45.0

#: Crops of the training set, clear ones at its beginning, crops of the validation set, and crops
#: per step.
CROPS, CLEAR, VALIDATION_CROPS, BATCH = 24000, 1000, 160, 4

#: Nuclei of training crops are further from where the registration puts them than is realistic, by
#: this factor, so that the stem alone tells little.
SPREAD = 1.6

#: Optimiser steps of each network; those of one kind are trained from scratch with other seeds.
STEPS = {'first': (4000, 4000), 'localizer': (16000, 16000, 16000), 'segmenter': (6000,)}

#: The same, and the number of crops, of which none are clear, for training on from other weights.
TUNING_STEPS = {'first': (1000, 1000), 'localizer': (2000, 2000), 'segmenter': (800,)}
TUNING_CROPS = 8000

#: Learning rate of a network of the second stage from nothing, and from other weights.
RATE, TUNING_RATE = 4e-3, 2e-3


def train_kind(
    kind: str,
    make: Callable[[int, int], Task],
    out: Path,
    steps: Sequence[int],
    only: int | None = None,
) -> tuple[list, dict]:
    """Train all networks of a kind, or one, each resuming from its checkpoint; errors by name."""
    networks, errors = [], {}
    for seed, count in enumerate(steps, start=1):
        if only not in (None, seed):
            continue
        name, task = f'{kind}-{seed}', make(seed, count)
        identity = f'{name} {count} {BATCH}'
        trained = fit(
            task,
            identity,
            out / f'{name}.pt',
            lambda row, name=name: logger.info('%s %s', name, row),
        )
        unit = 'loss' if kind == 'segmenter' else 'error mm'
        write_log(out / f'{name}.log.tsv', {name: trained.log}, 'step', {name: ('loss', unit)})
        networks.append(rounded(trained.network))
        with torch.inference_mode():
            errors[name] = task.validate(networks[-1])
    return networks, errors


def read_views(data: Path, out: Path) -> Images:
    """Draw the views of the first stage, or read them."""
    cache = out / 'heads'

    def load(name: str) -> Head:
        return load_heads([cache / f'{name}.npz'])[0]

    training = ixi(data, 'train', IXI_TRAINING) + native(data, NATIVE)
    held = native(data, VALIDATION)
    cached([*training, *held], cache)
    views, held_views = (
        load_views(out / 'views', [s.name for s in sources], load, count, first)
        for sources, count, first in (
            (training, VIEWS, 10**6),
            (held, VALIDATION_VIEWS, 2 * 10**6),
        )
    )
    return Images(views, held_views)


def train_first(
    data: Path, out: Path, fast: bool, start: TwoStages | None = None, only: int | None = None
) -> tuple[Stage, Localizer]:
    """Train the first stage."""
    images = read_views(data, out)

    def make(seed: int, steps: int) -> Task:
        member = start and start.finder.members[seed - 1]
        return first_task(images, seed, steps, half_precision=fast, start=member)

    steps = (STEPS if start is None else TUNING_STEPS)['first']
    networks, errors = train_kind('first', make, out, steps, only)
    members = [cast(MultiResolutionNet, network) for network in networks]
    finder = make_localizer(members, images.training, FIRST_RECIPE, FIRST_PROTOCOL)
    mean = torch.stack([view.points for view in images.training]).mean(dim=0)
    held = torch.stack([view.points for view in images.validation])
    blind = float((held - mean).norm(dim=-1).mean())
    return Stage(networks, errors, blind), finder


def training_crops(data: Path, out: Path, start: TwoStages | None) -> Bank:
    """Crops of the training set, for training from nothing or from other weights."""
    heads = load_heads(cached(native(data, NATIVE), out / 'heads'), REACH_MM)
    size, clear = (CROPS, CLEAR) if start is None else (TUNING_CROPS, 0)
    return Bank(out / f'crops-{size}-{clear}', heads, size, 0, clear, SPREAD)


def validation_crops(data: Path, out: Path) -> Bank:
    """Crops of the validation set, of which it is known which nuclei can be seen."""
    heads = load_heads(cached(native(data, VALIDATION), out / 'heads'), REACH_MM)
    return Bank(out / 'validation', heads, VALIDATION_CROPS, 10**7, judged=True)


def train_crops(
    kind: str,
    banks: tuple[Bank, Bank],
    out: Path,
    fast: bool,
    start: TwoStages | None = None,
    only: int | None = None,
) -> Stage:
    """Train the localizers or the segmenters of the second stage.

    From nothing, segmenters start from the first localizer, which has learned where a nucleus is.
    """
    first: CoReUNet | None = None
    if kind == 'segmenter' and start is None:
        first = cast(CoReUNet, train_crops('localizer', banks, out, fast, only=1).networks[0])

    def make(seed: int, steps: int) -> Task:
        network: nn.Module
        if start is not None:
            of_kind = start.crop.localizers if kind == 'localizer' else start.crop.segmenters
            network = copy.deepcopy(of_kind[seed - 1])
        else:
            network = localizer_of(seed) if first is None else segmenter_of(seed, first)
        rate = RATE if start is None else TUNING_RATE
        return CropTask(*banks, network, steps, BATCH, seed, rate=rate, half_precision=fast)

    steps = (STEPS if start is None else TUNING_STEPS)[kind]
    networks, errors = train_kind(kind, make, out, steps, only)
    measured = banks[1].points()[banks[1].seen()]
    return Stage(networks, errors, blind_error(banks[0].points(), measured))


def assemble(
    finder: Localizer, localizers: Stage, segmenters: Stage, card: Mapping[str, str]
) -> TwoStages:
    """Join all networks, with limits and calibration yet to be measured."""
    crop = CoeruleusModel(
        ('LC',),
        tuple(cast(CoReUNet, network) for network in localizers.networks),
        tuple(cast(PatchUNet, network) for network in segmenters.networks),
        {},
        CROP_MM,
    )
    return TwoStages(('LLC', 'RLC'), finder, crop, WINDOW, dict(card))


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument(
        '--only', metavar='NAME', help='one network, so that several are trained side by side'
    )
    parser.add_argument('--start', type=Path, metavar='FILE', help='weights to train on from')
    parser.add_argument(
        '--keep', nargs='+', default=[], choices=STEPS, help='networks of FILE not to train'
    )
    parser.add_argument(
        '--new', nargs='+', default=[], choices=STEPS, help='networks to train from nothing'
    )
    # Not those of the package: look at the page of `coeruleus_heads.py` before they ship.
    parser.add_argument('--destination', type=Path, metavar='FILE', help='OUT if not given')
    options = parser.parse_args()
    options.destination = options.destination or options.out / WEIGHTS.name
    if (options.keep or options.new) and not options.start:
        parser.error('--keep and --new need --start')
    if set(options.keep) & set(options.new):
        parser.error('no kind of networks is kept and new')
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    start = load_stages(options.start) if options.start else None
    kinds, only = list(STEPS), None
    if options.only:
        kind, number = options.only.split('-')
        kinds, only = [kind], int(number)
    stages = {kind: kept(kind, start) for kind in options.keep if start}
    finder = start.finder if start and 'first' in options.keep else None
    fast = bfloat16_is_fast('cpu')
    kinds = [kind for kind in kinds if kind not in options.keep]
    starts = {kind: None if kind in options.new else start for kind in STEPS}
    if 'first' in kinds:
        begin = starts['first']
        stages['first'], finder = train_first(options.data, options.out, fast, begin, only)
    for kind in kinds:
        if kind != 'first':
            begin = starts[kind]
            crops = training_crops(options.data, options.out, begin)
            banks = crops, validation_crops(options.data, options.out)
            stages[kind] = train_crops(kind, banks, options.out, fast, begin, only)
    if finder is not None and only is None:
        parts = finder, stages['localizer'], stages['segmenter']
        given = {'--keep': options.keep, '--new': options.new} if start else None
        _ship(assemble(*parts, make_card(stages, given)), stages['localizer'], options)
    sys.exit(0 if all_learned(stages) else 1)


def _ship(model: TwoStages, localizers: Stage, options: argparse.Namespace) -> None:
    """Measure limits and radius in the validation set, and write the weights."""
    out = options.out
    validation = validation_crops(options.data, out)
    # What other networks found in the same images is no use.
    checksum = file_sha256(save_stages(out / 'networks.safetensors', model))[:12]
    table = out / f'development_{checksum}.tsv'
    rows = measure_all(development(), model, options.data, out / 'heads', table)
    limits = find_limits(rows, see_crops(model.crop, validation))
    rows['status'] = doubts_of(rows, limits)
    radius, warning = find_radius(rows), warning_of(localizers, rows)
    found = {'limits': limits, 'radius': radius.as_dict(), **warning}
    write_json(out / 'limits.json', found)
    card = {**model.card, **warning}
    model = replace(model, card=card, limits=limits, calibration=radius.as_dict())
    logger.info('%s', save_stages(options.destination, model))


if __name__ == '__main__':
    main()
