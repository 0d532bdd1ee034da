"""Brain masks of conformed images."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from tmsprep.imaging.conform import as_image
from tmsprep.imaging.volume import halve
from tmsprep.networks.archive import as_tensors, open_archive, write_archive
from tmsprep.networks.settings import BRAIN_KIND, check_brain
from tmsprep.networks.unet import BrainUNet
from tmsprep.outcome import ImplausibleImage

#: Brain volumes of teenagers and adults, with a margin.
PLAUSIBLE_ML = (700.0, 2300.0)


class BrainExtractionError(ImplausibleImage):
    """No plausible brain was found; the message gives its volume."""


def save_brain_unet(path: Path, network: BrainUNet, card: dict[str, str]) -> Path:
    """Write a brain extraction network with weights in half precision."""
    metadata = {
        'settings': json.dumps(network.settings.as_dict()),
        'card': json.dumps(card),
    }
    return write_archive(path, BRAIN_KIND, network.state_dict(), metadata)


def load_brain_unet(path: Path) -> BrainUNet:
    """Read a brain extraction network; errors are those of `open_archive` and `check_brain`."""
    archive = open_archive(path, BRAIN_KIND)
    network = BrainUNet(check_brain(archive))
    network.load_state_dict(as_tensors(archive.arrays))
    return network.eval()


def extract_brain(conformed: nib.Nifti1Image, network: BrainUNet) -> nib.Nifti1Image:
    """Segment the brain at 2 mm.

    Parameters
    ----------
    conformed : nibabel.Nifti1Image
        Shape (256, 256, 256), 1 mm, any intensity scale.
    network : BrainUNet
        Trained network.

    Returns
    -------
    nibabel.Nifti1Image
        uint8, shape (256, 256, 256): the largest connected part with its holes filled.

    Raises
    ------
    BrainExtractionError
        If the volume is not that of a brain.
    """
    volume = halve(conformed.get_fdata(dtype=np.float32))
    with torch.inference_mode():
        odds = network(torch.from_numpy(volume)[None])[0].numpy()
    mask = largest_component(odds > 0)
    millilitres = mask.sum() * 8 / 1000
    if not PLAUSIBLE_ML[0] <= millilitres <= PLAUSIBLE_ML[1]:
        raise BrainExtractionError(
            f'the brain found measures {millilitres:.0f} mL, expected {PLAUSIBLE_ML[0]:.0f} to '
            f'{PLAUSIBLE_ML[1]:.0f}: is this a T1w image of a whole adult brain? If it is, give a '
            'brain mask through --derivatives'
        )
    return as_image(_enlarge(mask), conformed.affine)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the largest face-connected part of a mask and fill its holes."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def _enlarge(mask: np.ndarray) -> np.ndarray:
    """Double the resolution of a mask, with a smooth surface instead of steps."""
    smooth = ndimage.zoom(mask.astype(np.float32), 2, order=1, grid_mode=True, mode='nearest')
    return (smooth > 0.5).astype(np.uint8)
