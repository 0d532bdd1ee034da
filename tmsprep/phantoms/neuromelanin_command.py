"""Write simulated neuromelanin scans: ``python -m tmsprep.phantoms.neuromelanin FOLDER``."""

from __future__ import annotations

import argparse
import sys

import nibabel as nib

from tmsprep.phantoms.neuromelanin_dataset import write_neuromelanin
from tmsprep.phantoms.neuromelanin_scan import COVERAGES


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and write the data set; 0 if it was written, 2 if not."""
    parser = argparse.ArgumentParser(
        prog='python -m tmsprep.phantoms.neuromelanin',
        description='Write simulated neuromelanin scans with known loci coerulei as BIDS.',
    )
    parser.add_argument('folder', help='new or empty folder')
    parser.add_argument('--participants', type=int, default=1, metavar='N', help='how many')
    parser.add_argument('--seed', type=int, default=0, help='of the first person (default 0)')
    parser.add_argument('--coverage', choices=COVERAGES, default='slab', help='default slab')
    parser.add_argument(
        '--voxel-size', type=float, default=0.75, metavar='MM', help='isotropic (default 0.75)'
    )
    parser.add_argument(
        '--source', metavar='T1W', help='T1w registered to MNI152, instead of the template'
    )
    options = parser.parse_args(arguments)
    if options.participants < 1 or options.seed < 0 or options.voxel_size <= 0:
        parser.error('--participants and --voxel-size must be positive, --seed not negative')
    try:
        folder = write_neuromelanin(
            options.folder,
            range(options.seed, options.seed + options.participants),
            coverage=options.coverage,
            voxel_mm=options.voxel_size,
            source=None if options.source is None else nib.load(options.source),
        )
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        parser.error(str(error))
    sys.stdout.write(f'{folder}\n')
    return 0
