"""Write phantom heads: ``python -m tmsprep.phantoms FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tmsprep.phantoms.dataset import write_dataset


def main(arguments: list[str] | None = None) -> int:
    """Write the data set that the arguments describe; exit code 0, or 2 if it was not written."""
    parser = phantom_parser(
        'python -m tmsprep.phantoms',
        'Write phantom heads with known targets as a BIDS data set.',
        voxel_mm=1.0,
    )
    options = parser.parse_args(arguments)
    voxel_size = (options.voxel_size,) * 3
    return write_or_exit(
        parser,
        options,
        lambda seeds: write_dataset(options.folder, seeds, voxel_size=voxel_size),
    )


def phantom_parser(prog: str, description: str, *, voxel_mm: float) -> argparse.ArgumentParser:
    """Return a parser with the options that all phantoms share."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument('folder', help='new or empty folder')
    parser.add_argument(
        '--participants', type=int, default=1, metavar='N', help='number of participants'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the first participant (default 0)'
    )
    parser.add_argument(
        '--voxel-size',
        type=float,
        default=voxel_mm,
        metavar='MM',
        help=f'isotropic voxel size (default {voxel_mm:g})',
    )
    return parser


def write_or_exit(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    write: Callable[[range], Path],
) -> int:
    """Check the shared options, write the phantoms of their seeds, and print the folder."""
    if options.participants < 1 or options.seed < 0 or options.voxel_size <= 0:
        parser.error('--participants and --voxel-size must be positive, --seed not negative')
    try:
        folder = write(range(options.seed, options.seed + options.participants))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sys.stdout.write(f'{folder}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
