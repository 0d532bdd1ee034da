"""Points of one image by the network and by the registration, as rows of a table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel as nib
import pandas as pd

from tmsprep.config import DEFAULT_THREADS
from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.evaluation.errors import dispersion
from tmsprep.imaging.conform import conform, voxels_in_grid
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.volume import percentile_window
from tmsprep.methods.baxter2021.localize import Localization, localize
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.networks.brain_extraction import extract_brain
from tmsprep.networks.unet import BrainUNet
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.brain import brain_mask, is_skull_stripped
from tmsprep.registration.syn import register

PROTOCOL = load_protocol('tms')


@dataclass(frozen=True, eq=False)
class Measurement:
    """One image, conformed as ``participant`` does it, and what the methods find in it.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        As `read_image` gives it.
    localizer : Localizer
        The ensemble.
    unet : BrainUNet
        For brain masks.
    """

    image: nib.Nifti1Image
    localizer: Localizer
    unet: BrainUNet

    @cached_property
    def mended(self) -> nib.Nifti1Image:
        """The image as the methods get it."""
        return mend_image(self.image, 'image').image

    @cached_property
    def conformed(self) -> nib.Nifti1Image:
        """The image on the grid of all methods."""
        return conform(self.mended)

    @cached_property
    def found(self) -> Localization:
        """What the ensemble says."""
        window = percentile_window(voxels_in_grid(self.mended, self.conformed))
        return localize(self.conformed, window, self.localizer)

    @cached_property
    def mask(self) -> nib.Nifti1Image:
        """Brain mask: our own, or the outline of an image that is skull-stripped."""
        if is_skull_stripped(self.conformed):
            return brain_mask(self.conformed)
        return extract_brain(self.conformed, self.unet)

    def cnn(self) -> pd.DataFrame:
        """Rows of the network: x, y, z, dispersion_mm, error90_mm."""
        rows = as_rows(self.found.points.reindex(PROTOCOL.labels))
        spread = dispersion(self.found.members)
        scatter = dict(zip(self.localizer.labels, spread.tolist(), strict=True))
        known = len(self.found.members) > 1
        rows['dispersion_mm'] = rows['label'].map(scatter if known else {}).astype(float)
        rows['error90_mm'] = rows['label'].map(radii(self.localizer, scatter)).astype(float)
        return rows

    def syn(self) -> pd.DataFrame:
        """Rows of the default registration: x, y, z, failure.

        It starts from the network's points and has two threads, as in ``participant``.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                result = register(
                    self.conformed,
                    default_atlas(PROTOCOL),
                    work_dir=Path(folder),
                    mask=self.mask,
                    initial_points=self.found.points,
                    n_threads=DEFAULT_THREADS,
                )
        except RuntimeError as error:
            # Refused or given up: counted as failed, never left out.
            rows = as_rows(PointSet.from_mapping({}, PROTOCOL.labels))
            rows['failure'] = ' '.join(str(error).split())
            return rows
        return as_rows(result.points.reindex(PROTOCOL.labels))


def as_rows(points: PointSet) -> pd.DataFrame:
    """One row per point: label, x, y, z in mm, RAS+."""
    rows = pd.DataFrame(points.coordinates, columns=['x', 'y', 'z'])
    rows.insert(0, 'label', points.labels)
    return rows


def as_points(rows: pd.DataFrame) -> PointSet:
    """Read the points back that `as_rows` wrote."""
    return PointSet(tuple(rows['label']), rows[['x', 'y', 'z']].to_numpy(float))


def radii(localizer: Localizer, scatter: Mapping[str, float]) -> dict[str, float]:
    """error90 in mm of the targets for which the weights promise one, given the dispersions."""
    if localizer.calibration is None:
        return {}
    return ErrorRadius.from_dict(localizer.calibration).finite_radii(scatter)
