"""Finer images for raters: ``python -m tmsprep.cli.upsample IMAGE OUTPUT``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib

from tmsprep.atomic import atomic_path
from tmsprep.imaging.isotropic import upsample_sinc
from tmsprep.imaging.read import ImageError, read_image
from tmsprep.running import EXIT_OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Write an image with voxels half as large, as raters draw on it (Duennwald et al. 2021).

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    int
        0 if it was written; wrong arguments and images end the process with code 2.
    """
    parser = argparse.ArgumentParser(
        prog='python -m tmsprep.cli.upsample',
        description='Interpolate an image by a sinc filter, for raters to draw masks on.',
    )
    parser.add_argument('image', type=Path, help='NIfTI image')
    parser.add_argument('output', type=Path, help='a new file, .nii.gz')
    parser.add_argument('--factor', type=int, default=2, help='voxels for one (default 2)')
    options = parser.parse_args(arguments)
    if options.output.exists():
        parser.error(f'{options.output} is there already; give a new file')
    if not options.output.name.endswith(('.nii', '.nii.gz')):
        parser.error(f'{options.output}: the name must end in .nii or .nii.gz')
    try:
        finer = upsample_sinc(read_image(options.image), options.factor)
        with atomic_path(options.output) as partial:
            nib.save(finer, partial)
    except (ImageError, ValueError, OSError) as error:
        parser.error(' '.join(str(error).split()))
    return EXIT_OK


if __name__ == '__main__':
    sys.exit(main())
