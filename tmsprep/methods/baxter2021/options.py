"""Options of the multi-resolution network; light, since the command line imports them."""

from __future__ import annotations

from pathlib import Path

from tmsprep.options import Option

#: Kind of the weights files, see `tmsprep.networks.archive`.
WEIGHTS_KIND = 'tmsprep-multiresolution-1'

LEARNING = ('train', 'crossval')

#: Residual layers common to all levels, of their own, or left out (Baxter et al. 2021, Table 4).
RESIDUALS = ('shared', 'separate', 'none')

OPTIONS = (
    Option(
        'weights',
        'weights of the network (safetensors); at level train those to start from (default: those '
        'of the protocol; at level train none)',
        Path,
        levels=('participant', 'train'),
        refusals={'crossval': 'which trains every network from nothing'},
        metavar='FILE',
    ),
    Option(
        'recipe',
        'how to train: the default of this package, that of the paper, or a small network that '
        'trains fast (quick), or better in twice the time (crossval)',
        default='default',
        choices=('default', 'baxter2021', 'quick', 'crossval'),
        levels=LEARNING,
    ),
    Option(
        'steps',
        'optimiser steps of each training (default: set by the recipe)',
        int,
        levels=LEARNING,
        minimum=1,
        metavar='N',
    ),
    Option(
        'residual',
        'residual layers common to all levels, of their own, or none; crossval compares several',
        default=('shared',),
        choices=RESIDUALS,
        several=True,
        levels=LEARNING,
        single=('train',),
    ),
    Option(
        'members', 'networks of the ensemble', int, 1, levels=('train',), minimum=1, metavar='N'
    ),
)
