"""Write simulated neuromelanin scans: ``python -m tmsprep.phantoms.neuromelanin FOLDER``."""

from __future__ import annotations

import sys

from tmsprep.imaging.read import load_nifti
from tmsprep.phantoms.__main__ import phantom_parser, write_or_exit
from tmsprep.phantoms.neuromelanin.dataset import write_neuromelanin
from tmsprep.phantoms.neuromelanin.scan import COVERAGES


def main(arguments: list[str] | None = None) -> int:
    """Write the data set that the arguments describe; exit code 0, or 2 if it was not written."""
    parser = phantom_parser(
        'python -m tmsprep.phantoms.neuromelanin',
        'Write simulated neuromelanin scans with known loci coerulei as BIDS.',
        voxel_mm=0.75,
    )
    parser.add_argument('--coverage', choices=COVERAGES, default='slab', help='default slab')
    parser.add_argument(
        '--source', metavar='T1W', help='T1w registered to MNI152, instead of the template'
    )
    options = parser.parse_args(arguments)
    return write_or_exit(
        parser,
        options,
        lambda seeds: write_neuromelanin(
            options.folder,
            seeds,
            coverage=options.coverage,
            voxel_mm=options.voxel_size,
            source=None if options.source is None else load_nifti(options.source),
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
