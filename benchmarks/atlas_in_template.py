"""Write the default atlas's points in another template: the tables in tmsprep/data.

    python benchmarks/atlas_in_template.py TEMPLATE.nii.gz OUT.tsv [--mask BRAIN.nii.gz]

The two averages are registered three times: with the given mask (that of the default template if
there is none), with that of the default template brought back by the first registration, and the
other way round. The table has the mean of the three; how far they are apart is its accuracy.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.imaging.conform import as_image, conform, resample_mask
from tmsprep.imaging.read import read_image
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import Atlas, default_atlas
from tmsprep.registration.syn import register
from tmsprep.registration.transforms import move_points, warp_image

PROTOCOL = load_protocol('tms')


def move_three_times(template: Path, mask: Path | None, folder: Path) -> np.ndarray:
    """Move the points by three registrations; shape (3, n, 3), mm, RAS+."""
    atlas = default_atlas(PROTOCOL)
    image = conform(read_image(template))
    given = resample_mask(
        atlas.mask if mask is None else nib.Nifti1Image.from_filename(mask), image
    )
    first = register(image, atlas, work_dir=folder / 'first', mask=given)
    brought = warp_image(atlas.mask, first.from_atlas, image)
    inside = (np.asarray(brought.dataobj) > 0.5).astype(np.uint8)
    own = as_image(inside, image.affine)
    second = register(image, atlas, work_dir=folder / 'second', mask=own)
    other = Atlas('template', image, own, atlas.points)
    default = conform(atlas.image)
    third = register(
        default, other, work_dir=folder / 'third', mask=resample_mask(atlas.mask, default)
    )
    moved = [first.points, second.points, move_points(atlas.points, third.from_atlas)]
    return np.array([points.coordinates for points in moved])


def main() -> None:
    """Write the table, and print the accuracy."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('template', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--mask', type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        moved = move_three_times(given.template, given.mask, Path(folder))
    mean = moved.mean(axis=0)
    apart = np.linalg.norm(moved - mean, axis=2).max(axis=0)
    shift = np.linalg.norm(mean - default_atlas(PROTOCOL).points.coordinates, axis=1)
    table = pd.DataFrame(
        {
            'label': PROTOCOL.labels,
            'hemisphere': [target.hemisphere for target in PROTOCOL.targets],
            **dict(zip('xyz', mean.T.round(1) + 0.0, strict=True)),
            'uncertainty_mm': apart.round(2),
        }
    )
    table.to_csv(given.out, sep='\t', index=False, lineterminator='\n')
    print(f'moved by {shift.min():.1f} to {shift.max():.1f} mm, mean {shift.mean():.1f}')
    print(f'the three differ from their mean by at most {apart.max():.2f} mm')


if __name__ == '__main__':
    main()
