"""A second simulator, to test on: other people, other code, other numbers.

It shares nothing with the rest of this folder, neither code nor a parameter, but the published
centres that the height of nuclei is from. Its heads are label
maps, which have no texture of their own; nuclei are placed by the head's own fourth ventricle
instead of a registration, and are chains of ellipsoids with sharp edges and a patchy signal
instead of soft rods; vessels are random walks; and the scanner measures in k-space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

#: Numbers of FreeSurfer's aseg: fluid, grey matter, white matter, brainstem, ventral diencephalon
#: (with the substantia nigra), and fourth ventricle. From 500 on: outside of the brain.
FLUID, STEM, FOURTH_VENTRICLE = (4, 5, 14, 15, 24, 43, 44, 72), 16, 15
GREY = (3, 8, 10, 11, 12, 13, 17, 18, 26, 42, 47, 49, 50, 51, 52, 53, 54, 58)
WHITE, VENTRAL, OUTSIDE = (2, 7, 41, 46, 77, 85), (28, 60), 500

#: Edge of the voxels that signals are made on, mm; acquired ones are larger.
FINE_MM = 0.6

#: Middle of a nucleus above the level at which the fourth ventricle is widest, mm, along the stem:
#: mean and SD, between the widest part and the aqueduct. The mean is that of the published centres
#: (Mäki-Marttunen and Espeseth 2021) in two label maps, 18 to 20 mm; at first it was 9 mm, by eye,
#: which lies in the lower pons.
_ABOVE = (18.0, 2.0)

#: Distance from the midline, and of the surface from the floor, mm: mean and SD. Between the 3.2
#: mm of Fernandes et al. 2012 (fixed tissue) and the 5 to 6 mm of maps in MNI152; 1.1 mm deep.
_LATERAL, _DEPTH = (4.6, 0.6), (1.1, 0.4)

#: Length and mean radius, mm: mean and SD of Fernandes et al. 2012, shortened to what is seen.
_CHAIN, _RADIUS = (12.0, 1.8), (0.95, 0.2)

#: Excess over the brainstem: mean and SD; share of sides that are not seen.
_EXCESS, _UNSEEN = (0.16, 0.06), 0.12

#: Number of vessels within the box around both nuclei, and the least gap to one, mm.
_WALKS, _GAP_MM, _BOX_MM = 9, 2.0, 26.0


@dataclass(frozen=True, eq=False)
class TestScan:
    """A simulated image of a head that no network was trained on.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, m, k), float32; the brainstem is about 1.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+ of the head.
    points : numpy.ndarray
        Shape (2, 3): centres of mass of left and right, mm, RAS+; NaN where not visible.
    places : numpy.ndarray
        The same whether visible or not.
    masks : numpy.ndarray
        Shape (n, m, k), uint8: 1 left, 2 right, in at least half of the voxel.
    """

    volume: np.ndarray
    affine: np.ndarray
    points: np.ndarray
    places: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True, eq=False)
class StemFrame:
    """Axes of a brainstem, from labels alone.

    Parameters
    ----------
    axes : numpy.ndarray
        Shape (3, 3), rows: right, forwards, up; unit vectors, mm, RAS+.
    floor : numpy.ndarray
        Point on the midline of the floor of the fourth ventricle, at the level of the nuclei.
    """

    axes: np.ndarray
    floor: np.ndarray


def stem_frame(labels: np.ndarray, affine: np.ndarray, above_mm: float = _ABOVE[0]) -> StemFrame:
    """Find the floor of the fourth ventricle.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k), numbers of aseg.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    above_mm : float
        Height over the level at which the ventricle is widest.
    """
    stem = apply_affine(affine, np.argwhere(labels == STEM))
    ventricle = apply_affine(affine, np.argwhere(labels == FOURTH_VENTRICLE))
    middle = stem.mean(axis=0)
    up = np.linalg.svd(stem - middle, full_matrices=False)[2][0]
    up *= np.sign(up[2])
    forwards = middle - ventricle.mean(axis=0)
    forwards -= up * (up @ forwards)
    forwards /= np.linalg.norm(forwards)
    axes = np.stack([np.cross(forwards, up), forwards, up])
    own = (ventricle - middle) @ axes.T
    levels = np.arange(np.ceil(own[:, 2].min()), own[:, 2].max())
    widths = [np.ptp(own[np.abs(own[:, 2] - level) <= 1.5, 0]) for level in levels]
    height = levels[int(np.argmax(gaussian_filter(np.array(widths), 2.0)))] + above_mm
    near = own[(np.abs(own[:, 2] - height) <= 2) & (np.abs(own[:, 0] - np.median(own[:, 0])) < 3)]
    front = np.percentile(near[:, 1], 95) + 0.5 if len(near) else own[:, 1].mean()
    centre = np.array([np.median(own[:, 0]), front, height])
    return StemFrame(axes, middle + centre @ axes)


def draw_chain(
    frame: StemFrame, side: int, common: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one nucleus: centres of its ellipsoids, shape (n, 3), mm, and their radii (n,)."""
    sign = 2 * side - 1
    own = 0.7 * common + 0.7 * rng.standard_normal(3)
    length = float(np.clip(rng.normal(*_CHAIN), 8, 16))
    radius = float(np.clip(rng.normal(*_RADIUS), 0.5, 1.3))
    middle = np.array(
        [
            sign * (_LATERAL[0] + _LATERAL[1] * own[0]),
            max(_DEPTH[0] + _DEPTH[1] * own[1], 0.3) + radius,
            _ABOVE[1] * own[2],
        ]
    )
    # Cubic Bezier curve from the lower to the upper end; the lower end is further out.
    ends = np.array([[1.2 * sign, 0.0, -0.5 * length], [-1.2 * sign, 0.0, 0.5 * length]])
    inner = ends / 3 + rng.normal(0, 0.6, (2, 3)) * [1, 0.7, 1]
    t = np.linspace(0, 1, 40)[:, None]
    points = (
        (1 - t) ** 3 * ends[0]
        + 3 * t * (1 - t) ** 2 * inner[0]
        + 3 * t**2 * (1 - t) * inner[1]
        + t**3 * ends[1]
    )
    bumps = np.interp(t[:, 0], np.linspace(0, 1, 6), rng.uniform(0.75, 1.25, 6))
    radii = radius * bumps * np.sqrt(1 - (2 * t[:, 0] - 1) ** 6).clip(0.4)
    return frame.floor + (middle + points) @ frame.axes, radii


def fill_chain(
    chain: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...], affine: np.ndarray, fine: int = 3
) -> np.ndarray:
    """Share of each voxel that lies in a chain, from ``fine**3`` points in it; float32."""
    share = np.zeros(shape, np.float32)
    inverse = np.linalg.inv(affine)
    size = np.linalg.norm(affine[:3, :3], axis=0).min()
    index = apply_affine(inverse, chain[0])
    margin = chain[1].max() / size + 1
    low = np.floor(index.min(axis=0) - margin).astype(int).clip(0, shape)
    high = np.ceil(index.max(axis=0) + margin + 1).astype(int).clip(0, shape)
    if (high <= low).any():
        return share
    ends = zip(low, high, strict=True)
    steps = [np.arange(a * fine, b * fine) / fine + (1 / fine - 1) / 2 for a, b in ends]
    points = apply_affine(affine, np.stack(np.meshgrid(*steps, indexing='ij'), axis=-1))
    inside = np.zeros(points.shape[:3], bool)
    for centre, radius in zip(*chain, strict=True):
        inside |= ((points - centre) ** 2).sum(axis=-1) <= radius**2
    n, m, k = high - low
    means = inside.reshape(n, fine, m, fine, k, fine).mean(axis=(1, 3, 5))
    share[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = means
    return share


def chain_centroid(chain: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Centre of mass of a chain, shape (3,), mm, from voxels of 0.2 mm."""
    low = (chain[0] - chain[1][:, None]).min(axis=0)
    affine = np.diag([0.2, 0.2, 0.2, 1.0])
    affine[:3, 3] = low
    shape = np.ceil(((chain[0] + chain[1][:, None]).max(axis=0) - low) / 0.2).astype(int) + 1
    filled = fill_chain(chain, tuple(shape.tolist()), affine, 1)
    return apply_affine(affine, np.argwhere(filled > 0.5).mean(axis=0))


def tissue_levels(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Signal of each number of aseg, and that of arteries; the brainstem is 1."""
    dark_fluid = rng.random() < 0.5
    levels = np.zeros(600)
    levels[1:] = rng.uniform(0.7, 1.1)
    levels[list(FLUID)] = rng.normal(0.35, 0.08) if dark_fluid else rng.normal(1.4, 0.2)
    levels[list(GREY)] = rng.normal(0.85, 0.05) if dark_fluid else rng.normal(1.1, 0.07)
    levels[list(WHITE)] = rng.normal(1.03, 0.03)
    levels[list(VENTRAL)] = rng.normal(1.08, 0.05)
    levels[STEM] = 1.0
    levels[OUTSIDE:] = rng.uniform(0.1, 1.5, 100)
    return levels, rng.normal(1.4, 0.2) if dark_fluid else abs(rng.normal(0.2, 0.1))


def make_test_scan(
    labels: np.ndarray,
    affine: np.ndarray,
    seed: int,
    *,
    extent_mm: tuple[float, float, float] = (150.0, 180.0, 44.0),
    visible: tuple[bool, bool] | None = None,
) -> TestScan:
    """Scan a label map.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k), numbers of aseg, and from 500 on outside of the brain.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    seed : int
        The same seed gives the same scan.
    extent_mm : tuple of float
        Field of view; its third axis is that of slices, across the brainstem.
    visible : tuple of bool, optional
        Whether left and right are seen, instead of a draw.
    """
    rng = np.random.default_rng([seed, 77])
    frame = stem_frame(labels, affine)
    common = rng.standard_normal(3)
    chains = [draw_chain(frame, side, common, rng) for side in range(2)]
    seen = rng.random(2) >= _UNSEEN if visible is None else np.array(visible)
    grid, shape = _fine_grid(frame, extent_mm, rng)
    signal, fluid, artery = _paint_labels(labels, affine, grid, shape, rng)
    shares = [fill_chain(chain, shape, grid) for chain in chains]
    _paint_walks(signal, np.maximum(*shares), artery, rng)
    excess = float(np.clip(rng.normal(*_EXCESS), 0.04, 0.4))
    for share, shown in zip(shares, seen, strict=True):
        patches = 1 + 0.25 * _field(shape, 3.0, rng)
        own = excess * rng.uniform(0.6, 1.0) * shown
        signal += np.float32(own) * share * patches.clip(0.4, 1.6)
    volume, ratio = measure(signal, fluid, rng)
    change = np.diag([*ratio, 1.0])
    change[:3, 3] = (np.array(ratio) - 1) / 2
    out = grid @ change
    places = np.stack([chain_centroid(chain) for chain in chains])
    points = np.where(seen[:, None], places, np.nan)
    masks = np.zeros(volume.shape, np.uint8)
    for side in np.flatnonzero(seen):
        masks[fill_chain(chains[side], volume.shape, out) >= 0.5] = side + 1
    return TestScan(volume, out, points, places, masks)


def _fine_grid(
    frame: StemFrame, extent_mm: tuple[float, float, float], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Oblique grid: slices across the stem, a pose of the head, the nuclei not in the middle."""
    axes = frame.axes.T @ Rotation.from_rotvec(rng.normal(0, 0.12, 3)).as_matrix()
    shape = tuple(2 * round(edge / FINE_MM / 2) for edge in extent_mm)
    shift = rng.normal([0, 0.15 * extent_mm[1], 0], [5, 8, 0.12 * extent_mm[2]])
    grid = np.eye(4)
    grid[:3, :3] = axes * FINE_MM
    grid[:3, 3] = frame.floor + axes @ (shift - FINE_MM * (np.array(shape) - 1) / 2)
    return grid, shape


def _paint_labels(
    labels: np.ndarray,
    affine: np.ndarray,
    grid: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Signal and share of fluid on the fine grid, and the signal of arteries."""
    levels, artery = tissue_levels(rng)
    to_labels = np.linalg.inv(affine) @ grid
    index = apply_affine(to_labels, np.moveaxis(np.indices(shape), 0, -1)).reshape(-1, 3).T
    # Signals are interpolated, not labels, so that borders hold both tissues.
    painted = levels[labels.clip(0, 599)].astype(np.float32)
    wet = np.isin(labels, FLUID).astype(np.float32)
    signal = map_coordinates(painted, index, order=1).reshape(shape)
    fluid = map_coordinates(wet, index, order=1).reshape(shape)
    signal *= 1 + rng.uniform(0.01, 0.04) * _field(shape, rng.uniform(0.8, 2.0), rng)
    return signal * (1 + 0.03 * _field(shape, 8.0, rng)), fluid, artery


def _field(shape: tuple[int, ...], width_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random field of SD 1 whose spectrum falls from a wavelength on; float32."""
    spectrum = np.fft.rfftn(rng.standard_normal(shape, dtype=np.float32))
    waves = [*(np.fft.fftfreq(n, FINE_MM) for n in shape[:2]), np.fft.rfftfreq(shape[2], FINE_MM)]
    x, y, z = np.meshgrid(*(w.astype(np.float32) for w in waves), indexing='ij', sparse=True)
    squared = x * x + y * y + z * z
    field = np.fft.irfftn(spectrum / (1 + squared * (2 * np.pi * width_mm) ** 2), shape, (0, 1, 2))
    return (field / field.std()).astype(np.float32)


def _paint_walks(
    signal: np.ndarray, nuclei: np.ndarray, artery: float, rng: np.random.Generator
) -> None:
    """Paint vessels as random walks around the nuclei, in place."""
    found = np.argwhere(nuclei > 0)
    if not len(found):
        return
    low = (found.min(axis=0) - _BOX_MM / 2 / FINE_MM).astype(int).clip(0)
    high = found.max(axis=0) + int(_BOX_MM / 2 / FINE_MM)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    away = distance_transform_edt(nuclei[box] == 0) * FINE_MM
    for _ in range(_WALKS):
        line = np.zeros(away.shape, bool)
        place = rng.uniform(0, 1, 3) * (np.array(away.shape) - 1)
        step = rng.standard_normal(3)
        for _ in range(int(rng.integers(15, 60))):
            step = 0.85 * step / np.linalg.norm(step) + 0.25 * rng.standard_normal(3)
            place = place + 0.8 * step
            voxel = tuple(np.round(place).astype(int))
            if (np.array(voxel) < 0).any() or (np.array(voxel) >= away.shape).any():
                break
            line[voxel] = True
        level = artery if rng.random() < 0.6 else rng.normal(1.0, 0.25)
        radius = rng.uniform(0.3, 1.1)
        if line.any():
            tube = (radius + 0.3 - distance_transform_edt(~line) * FINE_MM).clip(0, 0.6) / 0.6
            tube *= away - radius > _GAP_MM
            signal[box] += (tube * (level - signal[box])).astype(np.float32)


def measure(
    signal: np.ndarray, fluid: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Measure a signal in k-space, in slices of the third axis.

    Parameters
    ----------
    signal, fluid : numpy.ndarray
        Shape (n, m, k): on the fine grid; n and m are even.
    rng : numpy.random.Generator
        Draws slices, resolution, ghosts, coil and noise.

    Returns
    -------
    volume : numpy.ndarray
        float32.
    ratio : tuple of float
        Edges of its voxels, in those of the fine grid.
    """
    thick = int(rng.integers(1, 6))
    count = signal.shape[2] // thick
    blocks = (*signal.shape[:2], count, thick)
    slices, wet = (v[..., : count * thick].reshape(blocks).mean(-1) for v in (signal, fluid))
    n, m = slices.shape[:2]
    coil = np.exp(np.linspace(-1, 1, n)[:, None, None] * rng.normal(0, 0.07))
    k_space = np.fft.fft2(slices * coil, axes=(0, 1))
    if rng.random() < 0.4:
        # A signal that varies from line to line appears again at a distance.
        beat = np.cos(2 * np.pi * np.arange(m) * rng.integers(8, 30) / m)
        ghosts = np.fft.fft2(wet, axes=(0, 1)) * beat[:, None]
        k_space += rng.uniform(0.03, 0.12) * ghosts
    finer = rng.uniform(0.55, 0.95)
    kept = [2 * round(edge * finer / 2) for edge in (n, m)]
    rows, columns = (_lowest(edge, few) for edge, few in zip((n, m), kept, strict=True))
    k_space = k_space[rows][:, columns] * (kept[0] * kept[1] / (n * m))
    image = np.fft.ifft2(k_space, axes=(0, 1))
    image = _recentre(image, (n / kept[0], m / kept[1]))
    sd = abs(rng.normal(0.025, 0.01))
    noise = rng.standard_normal((2, *image.shape)) * sd
    volume = np.abs(image + noise[0] + 1j * noise[1]).astype(np.float32)
    return volume, (n / kept[0], m / kept[1], float(thick))


def _lowest(edge: int, few: int) -> np.ndarray:
    """Return the indices of the lowest frequencies, in the order of the FFT."""
    return np.concatenate([np.arange(few // 2), np.arange(edge - few // 2, edge)])


def _recentre(image: np.ndarray, ratio: tuple[float, float]) -> np.ndarray:
    """Shift by part of a voxel, so that the first voxel begins where the fine grid does."""
    spectrum = np.fft.fft2(image, axes=(0, 1))
    for axis, r in enumerate(ratio):
        shift = (r - 1) / (2 * r)
        turn = np.exp(2j * np.pi * np.fft.fftfreq(image.shape[axis]) * shift)
        spectrum *= turn.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.fft.ifft2(spectrum, axes=(0, 1))
