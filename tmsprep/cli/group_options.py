"""The options on the points of raters, and those of the group level."""

from __future__ import annotations

import argparse

from tmsprep.cli.arguments import millimetres, path_of
from tmsprep.config import RunConfig


def add_group(group: argparse._ArgumentGroup) -> None:
    """Add the options on raters: two that other levels use too, and those of group alone."""
    group.add_argument(
        '--annotations',
        type=path_of,
        metavar='DIR',
        help='folder with files of points (TSV, 3D Slicer or Brainsight), one per image and '
        'rater; at level participant, figures and report show them',
    )
    group.add_argument(
        '--consensus-threshold',
        type=millimetres,
        metavar='MM',
        help='largest distance between raters who agree '
        f'(default: {RunConfig.consensus_threshold:g})',
    )
    group.add_argument(
        '--agreement-overrides',
        type=path_of,
        metavar='FILE.tsv',
        help='group: table with the raters to use for some points, or none; a corrected copy of '
        'group_agreements.tsv',
    )
    group.add_argument(
        '--check-annotations',
        action='store_true',
        help='group: look for errors in the files of points, and write nothing',
    )
    group.add_argument(
        '--equivalence-margin',
        type=millimetres,
        metavar='MM',
        help='group: difference of mean errors that counts as none in the tests of equivalence '
        f'(default: {RunConfig.equivalence_margin:g})',
    )
