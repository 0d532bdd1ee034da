"""The exact brain of a participant, and brain masks against it."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.ndimage import binary_fill_holes

from tmsprep.evaluation.masks import dice, false_discovery_rate
from tmsprep.imaging.conform import conform, resample_mask
from tmsprep.imaging.read import load_nifti, read_image
from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
from tmsprep.networks.unet import BrainUNet
from tmsprep.registration.brain import brain_mask, is_skull_stripped

from accuracy_parts.jobs import DATA
from accuracy_parts.subjects import Subject


@lru_cache(maxsize=1)
def _network() -> BrainUNet:
    return load_brain_unet(DATA / 'brain_extraction.safetensors')


def own_brain(conformed: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return the brain mask of a conformed image as the program makes it."""
    if is_skull_stripped(conformed):
        return brain_mask(conformed)
    return extract_brain(conformed, _network())


def labelled_brain(subject: Subject) -> nib.Nifti1Image:
    """Return the labelled voxels of a parcellation with holes filled, on its own grid."""
    assert subject.mask is not None
    labels = load_nifti(subject.mask)
    inside = binary_fill_holes(np.squeeze(np.asanyarray(labels.dataobj)) > 0)
    return nib.Nifti1Image(inside.astype(np.uint8), labels.affine)


def exact_brain(subject: Subject, conformed: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return the exact brain mask: nonzero voxels of a stripped image, or labelled voxels."""
    if is_skull_stripped(conformed):
        return brain_mask(conformed)
    return resample_mask(labelled_brain(subject), conformed)


def compare_masks(subject: Subject, deepbet: Path | None) -> pd.DataFrame:
    """Compare brain masks with the labelled voxels, on the grid of the labels.

    Parameters
    ----------
    subject : Subject
        With labels.
    deepbet : Path or None
        ``deepbet-cli``; it is run on whole heads only, which it is made for.

    Returns
    -------
    pandas.DataFrame
        One row per program: group, program, dice, missed (share of the labelled voxels outside
        the mask), beyond (share of the mask without a label), exact_ml and found_ml.
    """
    exact = labelled_brain(subject)
    conformed = conform(read_image(subject.image))
    masks = {'tmsprep': resample_mask(own_brain(conformed), exact)}
    if deepbet is not None and not is_skull_stripped(conformed):
        masks['deepbet'] = resample_mask(_by_deepbet(deepbet, subject.image), exact)
    inside = np.asarray(exact.dataobj) > 0
    millilitres = abs(np.linalg.det(exact.affine[:3, :3])) / 1000
    rows = []
    for program, mask in masks.items():
        found = np.asarray(mask.dataobj) > 0
        rows.append(
            {
                'group': subject.group,
                'program': program,
                'dice': dice(found, inside),
                'missed': false_discovery_rate(inside, found),
                'beyond': false_discovery_rate(found, inside),
                'exact_ml': inside.sum() * millilitres,
                'found_ml': found.sum() * millilitres,
            }
        )
    return pd.DataFrame(rows)


def _by_deepbet(program: Path, image: Path) -> nib.Nifti1Image:
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'mask.nii.gz'
        # It wants a place for the brain, too.
        brain = path.with_name('brain.nii.gz')
        subprocess.run([program, '-i', image, '-o', brain, '-m', path, '-g'], check=True)
        mask = load_nifti(path)
        return nib.Nifti1Image(np.asanyarray(mask.dataobj), mask.affine)
