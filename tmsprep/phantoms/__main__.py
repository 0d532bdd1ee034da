"""Write phantom heads: ``python -m tmsprep.phantoms FOLDER``."""

from __future__ import annotations

import argparse
import sys

from tmsprep.phantoms.dataset import write_dataset


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and write the data set; 0 if it was written, 2 if not."""
    parser = argparse.ArgumentParser(
        prog='python -m tmsprep.phantoms',
        description='Write phantom heads with known targets as a BIDS data set.',
    )
    parser.add_argument('folder', help='new or empty folder')
    parser.add_argument('--participants', type=int, default=1, metavar='N', help='how many heads')
    parser.add_argument('--seed', type=int, default=0, help='of the first head (default 0)')
    parser.add_argument(
        '--voxel-size', type=float, default=1.0, metavar='MM', help='isotropic (default 1)'
    )
    options = parser.parse_args(arguments)
    if options.participants < 1 or options.seed < 0 or options.voxel_size <= 0:
        parser.error('--participants and --voxel-size must be positive, --seed not negative')
    seeds = range(options.seed, options.seed + options.participants)
    try:
        folder = write_dataset(options.folder, seeds, voxel_size=(options.voxel_size,) * 3)
    except OSError as error:
        parser.error(str(error))
    sys.stdout.write(f'{folder}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
