"""Options of the atlas registration; light, since the command line imports them."""

from __future__ import annotations

from pathlib import Path

from tmsprep.options import Option

PRESETS = ('default', 'paper')

OPTIONS = (
    Option(
        'atlas',
        'annotated T1w to register, with --atlas-targets (default: the atlas of the protocol)',
        Path,
        levels=('participant', 'train'),
        needs='atlas_targets',
        metavar='FILE',
    ),
    Option(
        'atlas_targets',
        'points of that atlas, TSV or 3D Slicer (default: those of the protocol)',
        Path,
        levels=('participant', 'train'),
        needs='atlas',
        metavar='FILE',
    ),
    Option(
        'atlas_offsets',
        'table of mean offsets by which its points are moved first, as `train --localizers syn` '
        'makes it of your own annotated images',
        Path,
        levels=('participant',),
        metavar='FILE.tsv',
    ),
    Option(
        'syn_preset',
        'paper: full registration at 1 mm, which takes many minutes',
        default='default',
        choices=PRESETS,
        levels=('participant',),
    ),
)
