"""Real heads that neuromelanin is simulated in, and the way to each from the template.

``python -m coeruleus_simulation.heads CACHE IMAGE [IMAGE ...] [--masks BRAIN ...]`` (from
``benchmarks/``) registers heads once; later runs read the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import distance_transform_edt, map_coordinates, spline_filter

from tmsprep.imaging.conform import as_image, conform, resample_mask
from tmsprep.imaging.read import load_nifti
from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.brain import is_skull_stripped
from tmsprep.registration.syn import register
from tmsprep.registration.transforms import move_coordinates

#: Box around the brainstem and the cerebellum in the template (mm, RAS+ of MNI152), and the step
#: at which the registration is kept. Between, it is linear: SyN at 2 mm is smoother than that.
BOX, STEP = np.array([[-48.0, -84.0, -76.0], [48.0, 8.0, 20.0]]), 4.0

#: Ball in the middle of the pons whose mean is the reference of all signals: centre in the
#: template and radius, mm (as in ``tmsprep.phantoms.neuromelanin``).
PONS, PONS_RADIUS = np.array([0.0, -26.0, -29.0]), 5.0

#: Gaps of the brain mask up to twice this width are cisterns, so that they hold fluid, mm.
_CISTERN_MM = 9.0


@dataclass(frozen=True, eq=False)
class Head:
    """A T1w of a real head.

    Parameters
    ----------
    name : str
        Short name.
    coefficients : numpy.ndarray
        Shape (n, m, k), float32: cubic spline coefficients of the T1w, mean of the pons 1.
    inside : numpy.ndarray
        The same shape, uint8: 1 inside the skull, where what is dark is fluid.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    lattice : numpy.ndarray
        Shape (25, 24, 25, 3): where the points of `BOX` at `STEP` lie in the head, mm, RAS+.
    """

    name: str
    coefficients: np.ndarray
    inside: np.ndarray
    affine: np.ndarray
    lattice: np.ndarray

    def from_template(self, points: np.ndarray) -> np.ndarray:
        """Move points of the template, shape (..., 3), into the head; beyond `BOX` its edge."""
        index = (np.asarray(points, dtype=np.float64) - BOX[0]) / STEP
        axes = np.moveaxis(index, -1, 0).reshape(3, -1)
        moved = [
            map_coordinates(self.lattice[..., axis], axes, order=1, mode='nearest')
            for axis in range(3)
        ]
        return np.stack(moved, axis=-1).reshape(index.shape)

    def look(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """T1w signal and share inside the skull at places, shape (..., 3), mm; 0 outside."""
        index = apply_affine(np.linalg.inv(self.affine), places.reshape(-1, 3)).T
        t1w = map_coordinates(
            self.coefficients, index, order=3, prefilter=False, output=np.float32
        )
        inside = map_coordinates(self.inside, index, order=1, output=np.float32)
        shape = places.shape[:-1]
        return np.maximum(t1w, 0).reshape(shape), inside.reshape(shape)

    def cut(self, reach_mm: float) -> Head:
        """Keep a box around the pons only, so that many heads fit into memory."""
        centre = apply_affine(np.linalg.inv(self.affine), self.from_template(PONS))
        reach = reach_mm / voxel_sizes(self.affine)
        low = np.floor(centre - reach).astype(int).clip(0, self.inside.shape)
        high = np.ceil(centre + reach).astype(int).clip(0, self.inside.shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        affine = self.affine.copy()
        affine[:3, 3] = apply_affine(self.affine, low)
        return replace(
            self,
            coefficients=self.coefficients[box].copy(),
            inside=self.inside[box].copy(),
            affine=affine,
        )


def make_head(
    name: str, t1w: np.ndarray, inside: np.ndarray, affine: np.ndarray, lattice: np.ndarray
) -> Head:
    """Scale a T1w so that the mean of the pons is 1; see `Head` for the parameters.

    Raises
    ------
    ValueError
        If the pons is outside of the image, or dark.
    """
    head = Head(name, spline_filter(t1w.astype(np.float32)), inside, affine, lattice)
    offsets = np.stack(np.meshgrid(*3 * [np.arange(-5.0, 6.0)], indexing='ij'), -1).reshape(-1, 3)
    ball = offsets[np.linalg.norm(offsets, axis=1) <= PONS_RADIUS]
    pons = float(head.look(head.from_template(PONS) + ball)[0].mean())
    if not pons > 0:
        raise ValueError(f'{name}: no signal in the pons')
    return replace(head, coefficients=head.coefficients / np.float32(pons))


def template_lattice() -> np.ndarray:
    """Places of the lattice in the template, shape (25, 24, 25, 3), mm, RAS+."""
    axes = [np.arange(low, high + STEP / 2, STEP) for low, high in BOX.T]
    return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)


def register_head(
    name: str, image: nib.Nifti1Image, brain: nib.Nifti1Image | None, cache: Path
) -> Path:
    """Register a head to the template (affine, then SyN at 2 mm), and write it to the cache.

    Parameters
    ----------
    name : str
        Name of the file in the cache, without extension.
    image : nibabel.Nifti1Image
        T1w with or without its skull.
    brain : nibabel.Nifti1Image or None
        Brain mask on any grid; None to extract the brain.
    cache : Path
        Directory, which exists.
    """
    path = cache / f'{name}.npz'
    if path.exists():
        return path
    conformed = conform(image)
    if brain is not None:
        mask = resample_mask(brain, conformed)
    elif is_skull_stripped(conformed):
        mask = as_image((np.asarray(conformed.dataobj) > 0).astype(np.uint8), conformed.affine)
    else:
        weights = Path(str(files('tmsprep.data'))) / 'brain_extraction.safetensors'
        mask = extract_brain(conformed, load_brain_unet(weights))
    with TemporaryDirectory() as work:
        atlas = default_atlas(load_protocol('tms'))
        result = register(conformed, atlas, work_dir=Path(work), mask=mask)
        lattice = template_lattice()
        moved = move_coordinates(lattice.reshape(-1, 3), result.to_atlas).reshape(lattice.shape)
    skull = as_image(inside_skull(mask), mask.affine)
    grid = np.moveaxis(np.indices(image.shape), 0, -1)
    index = apply_affine(np.linalg.inv(skull.affine) @ image.affine, grid).reshape(-1, 3).T
    inside = map_coordinates(np.asarray(skull.dataobj), index, order=0).reshape(image.shape)
    np.savez(
        path,
        t1w=np.asarray(image.dataobj, dtype=np.float32),
        inside=inside.astype(np.uint8),
        affine=image.affine,
        lattice=moved.astype(np.float32),
    )
    return path


def inside_skull(mask: nib.Nifti1Image) -> np.ndarray:
    """Close the brain mask (1 mm) so that it holds the cisterns and ventricles; uint8."""
    brain = np.asarray(mask.dataobj)[::2, ::2, ::2] > 0.5
    grown = distance_transform_edt(~brain, sampling=2.0) <= _CISTERN_MM
    closed = brain | (distance_transform_edt(grown, sampling=2.0) > _CISTERN_MM - 1)
    return np.repeat(np.repeat(np.repeat(closed, 2, 0), 2, 1), 2, 2).astype(np.uint8)


def load_heads(paths: Sequence[Path], reach_mm: float | None = None) -> list[Head]:
    """Read heads from the cache, of each only a box around the pons if `reach_mm` is given."""
    heads = []
    for path in paths:
        with np.load(path) as kept:
            head = make_head(
                path.stem, *(kept[name] for name in ('t1w', 'inside', 'affine', 'lattice'))
            )
        heads.append(head if reach_mm is None else head.cut(reach_mm))
    return heads


def main() -> None:
    """Register heads that are not in the cache yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('cache', type=Path)
    parser.add_argument('images', type=Path, nargs='+')
    parser.add_argument('--prefix', default='', help='of the names in the cache')
    parser.add_argument('--masks', type=Path, nargs='+', help='parcellations or brain masks')
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    masks = options.masks or [None] * len(options.images)
    for path, mask in zip(options.images, masks, strict=True):
        name = options.prefix + path.name.removesuffix('.nii.gz')
        print(register_head(name, load_nifti(path), mask and _binary(mask), options.cache))


def _binary(path: Path) -> nib.Nifti1Image:
    labels = load_nifti(path)
    return as_image((np.asarray(labels.dataobj) > 0).astype(np.uint8), labels.affine)


if __name__ == '__main__':
    main()
