"""The options of learning: what from, how, and how often."""

from __future__ import annotations

import argparse

from tmsprep.cli.arguments import several, whole_number
from tmsprep.config import RECIPES, RESIDUALS, RunConfig


def add_learning(group: argparse._ArgumentGroup) -> None:
    """Add the options that only train and crossval use."""
    group.add_argument(
        '--recipe',
        choices=RECIPES,
        help='how to train: ours, that of the paper, or a small network that learns fast '
        f'(default: {RunConfig.recipe})',
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
