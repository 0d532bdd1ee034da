"""The mean head: whether an image looks like one, seen from the points found in it.

Every localizer gives points in every image, be it noise. Here the image is compared with the mean
of many heads, laid over it by the similarity transform between their landmarks and the points. In
a whole, upright T1w head with right points the two correlate; with points a centimetre off, or in
something else, they do not. The check knows no method: it sees the points and the image alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from safetensors.numpy import save_file
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from tmsprep.atomic import atomic_path
from tmsprep.imaging.similarity import similarity
from tmsprep.imaging.volume import halve, normalise
from tmsprep.networks.archive import read_safetensors
from tmsprep.points import PointSet

#: Radius of the ball around a point in which the image is compared with the mean head, mm: large
#: enough to hold several gyri and the edge of the brain. Smaller balls varied more between heads.
BALL_MM = 36.0

#: Intensities beyond this multiple of the window of `percentile_window` say nothing more.
CEILING = 2.0

#: Fewer points than this do not say how a head lies.
MIN_POINTS = 4

_KIND = 'tmsprep-head-1'

#: Most voxels of a mean head, far above the shipped one: those of a whole head at 1 mm.
_MOST_VOXELS = 256**3


@dataclass(frozen=True)
class Limits:
    """What right points in whole, upright T1w heads do not exceed.

    Chosen on training participants, on heads as they are and on heads made unfit; which ones is
    told by the card of the file.

    Parameters
    ----------
    match : float
        Least correlation of the image with the mean head in the brain.
    local_match : float
        Least correlation in the ball around a point.
    scale : tuple of float
        Size of the head, in mean heads.
    stretch : tuple of float
        Stretch along the axes of the head against its mean size: other voxel sizes than the
        header says, or lost slices.
    rotation_deg : float
        Angle between the head and the axes of the scanner frame. A head that lies turned by more
        is a header gone wrong, with which left and right may have been exchanged.
    residual_mm : float
        Distance of a point from its landmark after the similarity transform.
    dispersion_mm, mean_dispersion_mm : float
        Dispersion of a point, and its mean over the points of an image.
    """

    match: float
    local_match: float
    scale: tuple[float, float]
    stretch: tuple[float, float]
    rotation_deg: float
    residual_mm: float
    dispersion_mm: float
    mean_dispersion_mm: float


@dataclass(frozen=True)
class Fit:
    """How well an image and the points found in it fit the mean head.

    Parameters
    ----------
    scale : float
        Size of the head, in mean heads.
    stretch : numpy.ndarray
        Shape (3,): along right, anterior and superior of the head, their product 1.
    rotation_deg : float
        Angle between the head and the axes of the scanner frame.
    residual_mm : numpy.ndarray
        Shape (n,): distance of each point from its landmark; NaN where there is no point.
    match : float
        Correlation with the mean head in the brain, -1 to 1.
    local_match : numpy.ndarray
        Shape (n,): the same in the ball of `BALL_MM` around each point.
    """

    scale: float
    stretch: np.ndarray
    rotation_deg: float
    residual_mm: np.ndarray
    match: float
    local_match: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """What is doubtful.

    Parameters
    ----------
    findings : tuple of str
        About the image as a whole; if there is one, no point is reliable.
    unreliable : numpy.ndarray
        Shape (n,), boolean.
    """

    findings: tuple[str, ...]
    unreliable: np.ndarray


@dataclass(frozen=True, eq=False)
class MeanHead:
    """Mean image of many heads, laid over each other by their points.

    Parameters
    ----------
    labels : tuple of str
        Targets.
    landmarks : numpy.ndarray
        Shape (n, 3), mm, RAS+: their mean configuration.
    image : numpy.ndarray
        Shape (nx, ny, nz): mean of the normalised intensities, 0 to `CEILING`.
    inside : numpy.ndarray
        The same shape, boolean: the brain, with a margin of a voxel.
    affine : numpy.ndarray
        Shape (4, 4): voxel to the frame of the landmarks.
    limits : Limits
        See there.
    card : mapping
        Where it comes from: data, licence.
    """

    labels: tuple[str, ...]
    landmarks: np.ndarray
    image: np.ndarray
    inside: np.ndarray
    affine: np.ndarray
    limits: Limits
    card: Mapping[str, str]

    @cached_property
    def grid(self) -> np.ndarray:
        """Centres of the voxels, shape (nx, ny, nz, 3), mm in the frame of the landmarks."""
        index = np.moveaxis(np.indices(self.image.shape), 0, -1)
        return apply_affine(self.affine, index)

    @cached_property
    def balls(self) -> list[np.ndarray]:
        """Voxels of the ball around each landmark, boolean, the shape of the image each."""
        squares = (np.square(self.grid - landmark).sum(axis=-1) for landmark in self.landmarks)
        return [square < BALL_MM**2 for square in squares]

    def save(self, path: Path) -> Path:
        """Write as one file, intensities with 8 bits."""
        metadata = {
            'kind': _KIND,
            'labels': json.dumps(self.labels),
            'limits': json.dumps(asdict(self.limits)),
            'card': json.dumps(dict(self.card)),
        }
        tensors: dict[str, np.ndarray] = {
            'image': np.rint(self.image / CEILING * 255).astype(np.uint8),
            'inside': self.inside.astype(np.uint8),
            'landmarks': self.landmarks.astype(np.float32),
            'affine': self.affine.astype(np.float32),
        }
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)
        return path

    @classmethod
    def load(cls, path: Path) -> MeanHead:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is damaged or of another kind; the message names it.
        """
        archive = read_safetensors(path)
        try:
            if archive.metadata.get('kind') != _KIND:
                raise ValueError(f'not a mean head ({_KIND})')
            tensors = archive.arrays
            limits: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else float(value)
                for key, value in archive.value('limits').items()
            }
            labels = tuple(archive.value('labels'))
            _check_shapes(tensors, len(labels))
            return cls(
                labels,
                tensors['landmarks'].astype(np.float64),
                tensors['image'].astype(np.float32) / 255 * CEILING,
                tensors['inside'] > 0,
                tensors['affine'].astype(np.float64),
                Limits(**limits),
                archive.value('card'),
            )
        except (KeyError, TypeError, AttributeError, OverflowError, ValueError) as error:
            raise ValueError(f'{path}: {error}. Give another file, or install again') from error

    @staticmethod
    def coarse(conformed: nib.Nifti1Image, window: tuple[float, float]) -> nib.Nifti1Image:
        """Normalise and clip an image, and average blocks of 4 x 4 x 4 voxels.

        Parameters
        ----------
        conformed : nibabel.Nifti1Image
            Result of `tmsprep.imaging.conform`.
        window : tuple of float
            Intensities that become 0 and 1, see `tmsprep.imaging.volume.percentile_window`.
        """
        volume = normalise(np.asanyarray(conformed.dataobj, dtype=np.float32), window)
        affine = conformed.affine @ np.diag([4.0, 4, 4, 1])
        # The centre of the first block lies between voxels 1 and 2.
        affine[:3, 3] = apply_affine(conformed.affine, [1.5, 1.5, 1.5])
        return nib.Nifti1Image(halve(halve(volume.clip(0, CEILING))), affine)

    def laid_over(self, image: nib.Nifti1Image, points: PointSet) -> np.ndarray:
        """Sample an image where the voxels of the mean head lie.

        Parameters
        ----------
        image : nibabel.Nifti1Image
            Result of `coarse`.
        points : PointSet
            mm, RAS+, in the frame of the image.

        Returns
        -------
        numpy.ndarray
            The shape of the mean head; 0 outside the image.
        """
        matrix, shift = self.onto(points)
        voxels = apply_affine(np.linalg.inv(image.affine), self.grid @ matrix.T + shift)
        where = np.moveaxis(voxels, -1, 0)
        return map_coordinates(np.asanyarray(image.dataobj), where, order=1, mode='constant')

    def match(self, image: nib.Nifti1Image, points: PointSet) -> float:
        """Correlation of an image (see `coarse`) with the mean head in the brain; -1 to 1."""
        if points.reindex(self.labels).found.sum() < MIN_POINTS:
            return -1.0
        seen = self.laid_over(image, points)
        return correlation(seen[self.inside], self.image[self.inside])

    def fit(self, image: nib.Nifti1Image, points: PointSet) -> Fit | None:
        """Compare an image and the points found in it with the mean head.

        Parameters
        ----------
        image, points
            As in `laid_over`.

        Returns
        -------
        Fit or None
            Rows in the order of `labels`; None if fewer than `MIN_POINTS` were found.
        """
        given = points.reindex(self.labels)
        if given.found.sum() < MIN_POINTS:
            return None
        matrix, shift = self.onto(points)
        scale = float(np.cbrt(np.linalg.det(matrix)))
        back = (given.coordinates - shift) @ np.linalg.inv(matrix).T
        seen = self.laid_over(image, points)
        return Fit(
            scale=scale,
            stretch=stretch(self.landmarks[given.found], given.coordinates[given.found]),
            rotation_deg=float(np.degrees(Rotation.from_matrix(matrix / scale).magnitude())),
            residual_mm=np.linalg.norm(back - self.landmarks, axis=1),
            match=correlation(seen[self.inside], self.image[self.inside]),
            local_match=np.array([correlation(seen[b], self.image[b]) for b in self.balls]),
        )

    def onto(self, points: PointSet) -> tuple[np.ndarray, np.ndarray]:
        """Find the similarity transform from the landmarks to the points that were found."""
        given = points.reindex(self.labels)
        return similarity(self.landmarks[given.found], given.coordinates[given.found])

    def judge(self, fit: Fit | None, dispersion_mm: np.ndarray | None = None) -> Judgement:
        """Hold a fit, and the dispersion of an ensemble, against the limits.

        Parameters
        ----------
        fit : Fit or None
            Result of `fit`.
        dispersion_mm : numpy.ndarray, optional
            Shape (n,), in the order of `labels`; NaN where unknown.
        """
        limits, n = self.limits, len(self.labels)
        if fit is None:
            finding = f'fewer than {MIN_POINTS} points were found, too few to be checked'
            return Judgement((finding,), np.ones(n, bool))
        spread = np.full(n, np.nan) if dispersion_mm is None else np.asarray(dispersion_mm, float)
        findings = (*_image_findings(fit, limits), *_spread_findings(spread, limits))
        doubtful = (
            (fit.residual_mm > limits.residual_mm)
            | (fit.local_match < limits.local_match)
            | (spread > limits.dispersion_mm)
        )
        return Judgement(findings, doubtful | bool(findings))


def _image_findings(fit: Fit, limits: Limits) -> list[str]:
    """Say what of the image as a whole is beyond the limits."""
    found = []
    if not fit.match >= limits.match:
        found.append(
            f'around the points it does not look like a whole, upright T1w head (correlation '
            f'{fit.match:.2f} with the mean head, at least {limits.match:g} expected): another '
            'contrast, cut, turned against its header, or no head'
        )
    if not limits.scale[0] <= fit.scale <= limits.scale[1]:
        found.append(
            f'the head is {fit.scale:.2f} times as large as the mean head (expected '
            f'{limits.scale[0]:g} to {limits.scale[1]:g}): a child, or a wrong voxel size'
        )
    if fit.rotation_deg > limits.rotation_deg:
        found.append(
            f'the head lies turned by {fit.rotation_deg:.0f} degrees against the axes of its '
            f'header (up to {limits.rotation_deg:g} expected): the header may be wrong, and left '
            'and right exchanged, which nothing in the image shows'
        )
    low, high = float(fit.stretch.min()), float(fit.stretch.max())
    if not (limits.stretch[0] <= low and high <= limits.stretch[1]):
        found.append(
            f'the head is distorted (stretched by {low:.2f} to {high:.2f} along its axes, '
            f'expected {limits.stretch[0]:g} to {limits.stretch[1]:g}): a wrong voxel size, or '
            'lost slices'
        )
    return found


def _spread_findings(spread: np.ndarray, limits: Limits) -> list[str]:
    if np.isnan(spread).all() or np.nanmean(spread) <= limits.mean_dispersion_mm:
        return []
    finding = (
        f'the networks of the ensemble lie {np.nanmean(spread):.1f} mm apart on average (up to '
        f'{limits.mean_dispersion_mm:g} mm expected): an image unlike those of the training'
    )
    return [finding]


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two arrays; 0 if one of them is constant.

    Examples
    --------
    >>> round(correlation(np.array([0.0, 1, 2]), np.array([5.0, 4, 3])), 6)
    -1.0
    >>> correlation(np.ones(3), np.arange(3))
    0.0
    """
    a, b = first - first.mean(dtype=np.float64), second - second.mean(dtype=np.float64)
    size = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum() / size) if size > 0 else 0.0


def stretch(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    """Stretch along the axes of `source` in the affine map to `destination`, product 1.

    Parameters
    ----------
    source, destination : numpy.ndarray
        Shape (n, 3), mm, corresponding points that do not lie in a plane; with fewer than five
        points, or in a plane, there is no telling, and the result is 1, 1, 1.

    Examples
    --------
    >>> source = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    >>> stretch(source, source * [8, 1, 1])
    array([4. , 0.5, 0.5])
    """
    centred = source - source.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    if len(source) < 5 or values[-1] < 0.05 * values[0]:
        return np.ones(3)
    linear = np.linalg.lstsq(centred, destination - destination.mean(axis=0), rcond=None)[0].T
    _, sizes, vt = np.linalg.svd(linear)
    lengths = np.linalg.norm((vt.T * sizes) @ vt, axis=0)
    return lengths / np.cbrt(lengths.prod()) if lengths.all() else np.full(3, np.nan)


def _check_shapes(tensors: Mapping[str, np.ndarray], targets: int) -> None:
    grid = tensors['image'].shape
    shapes = {'landmarks': (targets, 3), 'inside': grid, 'affine': (4, 4)}
    wrong = [name for name, shape in shapes.items() if tensors[name].shape != shape]
    if wrong or len(grid) != 3 or math.prod(grid) > _MOST_VOXELS:
        raise ValueError(f'{", ".join(wrong) or "image"}: the parts do not fit together')
