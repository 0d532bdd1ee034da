"""Folders of other programs, made of a head that is the template, turned, shrunk and shifted."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, from_matvec
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from tmsprep.imaging.conform import as_image
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.frames import write_linear

PROTOCOL = load_protocol('tms')

#: Moves points of the template to the head.
WORLD = from_matvec(
    0.93 * Rotation.from_euler('xyz', [8, -4, 6], degrees=True).as_matrix(), [5, -12, 20]
)

#: Moves points of the average of two runs to the second run.
RIGID = from_matvec(Rotation.from_euler('xyz', [-3, 5, 2], degrees=True).as_matrix(), [4, 7, -9])


def brain(world: np.ndarray = WORLD) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """T1w and mask at 2 mm of the template, moved by a 4 x 4 matrix."""
    atlas = default_atlas(PROTOCOL)
    image, mask = (x.slicer[::2, ::2, ::2] for x in (atlas.image, atlas.mask))
    affine = world @ image.affine
    data = np.asarray(image.dataobj, np.float32) * np.asarray(mask.dataobj)
    return as_image(data, affine), as_image(np.asarray(mask.dataobj, np.uint8), affine)


def corrected(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """As programs rewrite a T1w: other axes, another bias field, other intensities."""
    noise = np.random.default_rng(3).normal(size=image.shape)
    field = gaussian_filter(noise, 12)
    data = np.asarray(image.dataobj) * np.exp(field * 0.3 / np.abs(field).max())
    flipped = nib.Nifti1Image(np.round(data * 200).astype(np.int16), image.affine)
    return flipped.as_reoriented(np.array([[1, -1], [0, 1], [2, 1]]))


def fmriprep(
    root: Path,
    stem: str,
    world: np.ndarray = WORLD,
    space: str = 'MNI152NLin2009cAsym',
    home: str = 'sub-01/ses-A/anat',
) -> Path:
    """Write what fMRIPrep 24.1 writes of an anatomical image, as far as it matters here."""
    anat = root / home
    anat.mkdir(parents=True)
    (root / 'dataset_description.json').write_text(
        '{"Name": "fMRIPrep", "BIDSVersion": "1.4.0", "DatasetType": "derivative", '
        '"GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1"}]}'
    )
    image, mask = brain(world)
    nib.save(corrected(image), anat / f'{stem}_desc-preproc_T1w.nii.gz')
    nib.save(mask, anat / f'{stem}_desc-brain_mask.nii.gz')
    (anat / f'{stem}_desc-brain_mask.json').write_text('{"Type": "Brain"}')
    for a, b, matrix in (('T1w', space, world), (space, 'T1w', np.linalg.inv(world))):
        write_linear(matrix, anat / f'{stem}_from-{a}_to-{b}_mode-image_xfm.h5')
    # Named by the image in another space, and not to be taken.
    nib.save(mask, anat / f'{stem}_space-{space}_desc-brain_mask.nii.gz')
    return root


def freesurfer(root: Path, name: str, world: np.ndarray = WORLD) -> Path:
    """Write the volumes of recon-all that matter here; a cube of the mask was erased."""
    mri = root / name / 'mri'
    mri.mkdir(parents=True)
    image, mask = brain(world)
    head = corrected(image)
    inside = np.asarray(mask.dataobj)
    data = (inside * 90).astype(np.uint8)
    data[40:44, 50:54, 60:64] = 1
    nib.save(nib.MGHImage(np.asarray(head.dataobj, np.float32), head.affine), mri / 'orig.mgz')
    nib.save(nib.MGHImage(data, mask.affine), mri / 'brainmask.mgz')
    return root


def charm(root: Path, name: str, world: np.ndarray = WORLD) -> Path:
    """Write what SimNIBS charm writes: the T1w, its tissues, and fields of coordinates."""
    folder = root / f'm2m_{name}'
    (folder / 'toMNI').mkdir(parents=True)
    image, mask = brain(world)
    nib.save(image, folder / 'T1.nii.gz')
    inside = np.asarray(mask.dataobj)
    tissues = np.full(inside.shape, 5, np.uint16)
    tissues[inside > 0] = 2
    # Ventricles are CSF, as is what surrounds the brain.
    tissues[46:50, 50:56, 40:50] = 3
    nib.save(nib.Nifti1Image(tissues, mask.affine), folder / 'final_tissues.nii.gz')
    grid = nib.affines.rescale_affine(np.diag([-1.0, 1, 1, 1]), (182,) * 3, (4.0,) * 3, (52,) * 3)
    grid[:3, 3] = (100, -134, -80)
    for path, affine, shape, matrix in (
        ('MNI2Conform', grid, (52, 60, 52), world),
        ('Conform2MNI', image.affine, image.shape, np.linalg.inv(world)),
    ):
        here = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
        values = apply_affine(matrix, here).astype(np.float32)
        # Beyond the mesh of the head nothing is known.
        values[:2] = 0
        nib.save(nib.Nifti1Image(values, affine), folder / 'toMNI' / f'{path}_nonl.nii.gz')
    return root
