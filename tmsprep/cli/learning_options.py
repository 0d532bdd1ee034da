"""The options of learning: what from, how, and how often."""

from __future__ import annotations

import argparse

from tmsprep.cli.arguments import several, whole_number
from tmsprep.config import AUGMENTATIONS, RECIPES, RESIDUALS, SEGMENTATIONS, RunConfig


def add_learning(group: argparse._ArgumentGroup) -> None:
    """Add the options that only train and crossval use."""
    group.add_argument(
        '--recipe',
        choices=RECIPES,
        help='how to train: ours, that of the paper of the protocol, or a small network that '
        f'learns fast (default: {RunConfig.recipe}; duennwald2021 for locus-coeruleus)',
    )
    group.add_argument(
        '--steps',
        type=whole_number,
        metavar='N',
        help='optimiser steps of each training (default: as the recipe says)',
    )
    group.add_argument(
        '--residual',
        **several(None, str),
        choices=RESIDUALS,
        help='residual layers common to all levels, of their own, or none; crossval compares '
        f'several (default: {" ".join(RunConfig.residual)})',
    )
    group.add_argument(
        '--members',
        type=whole_number,
        metavar='N',
        help=f'train: networks of the ensemble (default: {RunConfig.members})',
    )
    group.add_argument(
        '--folds',
        type=whole_number,
        metavar='K',
        help='crossval: parts of the participants that are left out in turn (default: leave one '
        'participant out)',
    )
    group.add_argument(
        '--repetitions',
        type=whole_number,
        metavar='N',
        help=f'crossval: trainings of each fold (default: {RunConfig.repetitions})',
    )


def add_coeruleus(group: argparse._ArgumentGroup) -> None:
    """Add the options that only ``--protocol locus-coeruleus`` uses."""
    group.add_argument(
        '--segmentation',
        **several(None, str),
        choices=SEGMENTATIONS,
        help='sliding window (npp), the same with post-processing (pp), one patch at the located '
        'point (lpp) (default: lpp; all three with crossval)',
    )
    group.add_argument(
        '--augmentation',
        **several(None, str),
        choices=AUGMENTATIONS,
        help='train and crossval: show images rotated, shifted and scaled, or as they are '
        '(default: with; both with crossval)',
    )
    group.add_argument(
        '--epochs',
        type=whole_number,
        metavar='N',
        help='train and crossval: passes through all images (default: as the recipe says)',
    )
    group.add_argument(
        '--held-out',
        type=whole_number,
        metavar='N',
        help='crossval: participants drawn for testing, that no fold sees (default: 0, each fold '
        'is tested on its own part)',
    )
