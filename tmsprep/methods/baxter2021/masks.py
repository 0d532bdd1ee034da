"""Where the brain is in the images to learn from: given masks, or the shipped brain extraction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib

from tmsprep import __version__
from tmsprep.bids.names import ImageRef, derivative_path, may_be, natural_key
from tmsprep.files import file_sha256
from tmsprep.imaging.conform import conform
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import ImageError, read_source
from tmsprep.learning.kept import kept
from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
from tmsprep.options import NamedPath
from tmsprep.registration.brain import brain_mask, is_skull_stripped


def find_mask(image: ImageRef, folders: Sequence[NamedPath]) -> Path | None:
    """Find a brain mask, or a parcellation, among earlier derivatives of an image.

    Parameters
    ----------
    image : ImageRef
        All entities of its name must be in the mask's.
    folders : sequence of NamedPath
        Searched in order, each at its top and where a derivative data set has the file. The
        name is ``*_desc-brain_mask.nii.gz``, else ``*[_desc-<label>]_dseg.nii.gz``.
    """
    for folder in (named.path for named in folders):
        path = derivative_path(folder, image, suffix='mask', extension='.nii.gz', desc='brain')
        for candidate in (path, folder / path.name):
            if may_be(candidate, Path.is_file):
                return candidate
        for home in (path.parent, folder):
            names = (f'{image.stem}_dseg.nii.gz', f'{image.stem}_desc-*_dseg.nii.gz')
            found = [p for name in names for p in home.glob(name) if p.is_file()]
            if found:
                return min(found, key=lambda path: natural_key(path.name))
    return None


def extract_mask(image: Path, weights: Path, folder: Path) -> Path:
    """Find the brain by the shipped network, or take what an earlier call found.

    Parameters
    ----------
    image : Path
        T1w.
    weights : Path
        Of the brain extraction.
    folder : Path
        The mask is kept there under the checksum of the image, with its own.

    Returns
    -------
    Path
        uint8 mask on the conformed grid.

    Raises
    ------
    ImageError, BrainExtractionError
        If the image cannot be read, or no plausible brain is found.
    """
    content = file_sha256(image)

    def make(path: Path) -> None:
        source = read_source(image)
        if source.sha256 != content:
            raise ImageError(f'{image}: was replaced while it was read; start again')
        conformed = conform(mend_image(source.image, image).image)
        # The network would strip a stripped image once more and lose the outer cortex.
        if is_skull_stripped(conformed):
            mask = brain_mask(conformed)
        else:
            mask = extract_brain(conformed, load_brain_unet(weights))
        nib.save(mask, path / 'mask.nii.gz')

    made_by = [__version__, content, file_sha256(weights)]
    return kept(folder / content[:16], made_by, make) / 'mask.nii.gz'
