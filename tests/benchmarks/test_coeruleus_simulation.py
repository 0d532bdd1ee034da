from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from nibabel.affines import apply_affine

from coeruleus_simulation import priors
from coeruleus_simulation.crops import CROP, SHIFT_MM, draw_crop, draw_view
from coeruleus_simulation.heads import Head, make_head, template_lattice
from coeruleus_simulation.nuclei import Nucleus, draw_nuclei, expected_centres, into_tissue
from coeruleus_simulation.rods import Rod, frame
from coeruleus_simulation.scanner import acquire, ghost, slice_weights
from coeruleus_simulation.scans import contrast_to_noise, make_scan, scan
from coeruleus_simulation.sequences import draw_sequence, tissue_signal
from coeruleus_simulation.structures import draw_structures, paint

UPRIGHT = frame(np.array([0.0, 0, 1]), np.array([0.0, 1, 0]))
CLEAN = {'rim': 0.0, 'noise': 0.0, 'blur_mm': 0.0, 'slice_mm': 0.75, 'tegmentum': 0.0}


@lru_cache(maxsize=1)
def head() -> Head:
    """A pons as bright as all, with a fourth ventricle behind it, where the template has it."""
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-50, -86, -78]
    shape = (51, 49, 50)
    x, y, z = np.moveaxis(apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1)), -1, 0)
    t1w = np.ones(shape, np.float32)
    t1w[(np.abs(x) < 6) & (y < -40) & (y > -50) & (np.abs(z + 28) < 10)] = 0.2
    return make_head('one', t1w, np.ones(shape, np.uint8), affine, template_lattice())


def grid(voxel: float, centre: tuple[float, float, float], size: int) -> np.ndarray:
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = np.array(centre) - voxel * (size - 1) / 2
    return affine


def test_head() -> None:
    """The pons is 1, and the template's places are the head's own: its lattice is the identity."""
    one = head()
    assert one.from_template(np.array([3.0, -31, -27])) == pytest.approx([3, -31, -27], abs=1e-9)
    t1w, inside = one.look(np.array([[0.0, -26, -29], [0, -45, -28], [0, 500, 0]]))
    assert t1w == pytest.approx([1, 0.2, 0], abs=0.06)
    assert inside == pytest.approx([1, 1, 0])
    near = one.cut(12.0)
    assert near.inside.size < one.inside.size / 20
    place = np.array([[1.3, -28, -25]])
    assert near.look(place)[0] == pytest.approx(one.look(place)[0], abs=1e-3)


def test_rod_shape() -> None:
    """Length, thickness and middle of what is inside are those of the rod."""
    rod = Rod(np.array([1.0, 2, 3]), UPRIGHT, 12.0, (2.0, 2.0))
    affine = grid(0.25, (1.0, 2.0, 3.0), 64)
    box, strength, inside = rod.shares((64,) * 3, affine)
    filled = np.zeros((64,) * 3)
    filled[box] = inside
    voxels = np.argwhere(filled > 0.5)
    assert np.ptp(voxels, axis=0) * 0.25 + 0.25 == pytest.approx([2, 2, 12], abs=0.26)
    middle = apply_affine(
        affine, (voxels * filled[filled > 0.5][:, None]).sum(0) / filled[filled > 0.5].sum()
    )
    assert middle == pytest.approx([1, 2, 3], abs=0.02)
    assert rod.centroid == pytest.approx([1, 2, 3])
    assert strength.max() == pytest.approx(1, abs=0.01)


def test_rod_strength() -> None:
    """1 on the axis, a half on the surface and at the ends, and what is left at a faded end."""
    rod = Rod(np.zeros(3), UPRIGHT, 10.0, (2.0, 3.0), ends=(1.0, 0.4))
    places = np.array([[0.0, 0, 0], [0, 1, 0], [1.5, 0, 0], [0, 0, -5], [0, 0, 5], [0, 4, 0]])
    assert rod.strength(*rod.coordinates(places)) == pytest.approx(
        [1, 0.5, 0.5, 0.5, 0.2, 0], abs=1e-3
    )


def test_bent_rod() -> None:
    """Its middle is off the chord; its centre of mass is that of its voxels."""
    rod = Rod(np.zeros(3), UPRIGHT, 12.0, (2.0, 2.0), bend=(1.5, 0.0))
    assert rod.line(3) == pytest.approx(np.array([[0, 0, -6], [0, 1.5, 0], [0, 0, 6]]))
    box, _, inside = rod.shares((72,) * 3, grid(0.25, (0, 0, 0), 72))
    filled = np.zeros((72,) * 3)
    filled[box] = inside
    middle = np.average(np.indices(filled.shape).reshape(3, -1), axis=1, weights=filled.ravel())
    assert apply_affine(grid(0.25, (0, 0, 0), 72), middle) == pytest.approx(rod.centroid, abs=0.03)
    # Thick in the middle: over the 2/3 of a parabola.
    assert rod.centroid[1] > 1.0


def test_contrast_in_core() -> None:
    """In even tissue the core is as bright as drawn; an invisible side changes nothing."""
    one, sequence = head(), replace(draw_sequence(np.random.default_rng(1)), white=1.0, **CLEAN)
    rod = Rod(np.array([5.0, -32, -28]), UPRIGHT, 12.0, (2.4, 2.4))
    volume = np.ones((32,) * 3, np.float32)
    affine = grid(0.75, (5.0, -32, -28), 32)
    paint(volume, affine, (rod, 0.2, True), np.ones_like(volume))
    assert volume.max() == pytest.approx(1.2, abs=0.015)
    seen, unseen = (Nucleus(rod, 1.2, visible) for visible in (True, False))
    other = Nucleus(replace(rod, centre=rod.centre * [-1, 1, 1]), 1.2, False)
    drawn = scan(one, affine, (32,) * 3, (other, seen), sequence, 3)
    without = scan(one, affine, (32,) * 3, (other, unseen), sequence, 3)
    nothing = scan(one, affine, (32,) * 3, (other, replace(seen, contrast=1.0)), sequence, 3)
    assert without.volume.tobytes() == nothing.volume.tobytes()
    assert not without.labels.any()
    assert np.isnan(without.points).all()
    assert drawn.points[1] == pytest.approx([15.5, 15.5, 15.5])
    found = np.argwhere(drawn.labels == 2).mean(axis=0)
    assert found == pytest.approx(drawn.points[1], abs=0.1)
    core = (drawn.volume - without.volume)[tuple(np.round(drawn.points[1]).astype(int))]
    assert core == pytest.approx(0.2, abs=0.05)


def test_contrast_to_noise() -> None:
    """Excess over noise in the core of a thick rod; half as much contrast has half of it."""
    one = head()
    clean = replace(draw_sequence(np.random.default_rng(1)), white=1.0, **CLEAN)
    sequence = replace(clean, noise=0.02, blur_mm=0.0)
    rod = Rod(np.array([5.0, -32, -28]), UPRIGHT, 14.0, (4.0, 4.0))
    affine, found = grid(0.75, (5.0, -32, -28), 32), []
    for contrast, visible in ((1.3, True), (1.15, True), (1.3, False)):
        pair = (
            Nucleus(replace(rod, centre=rod.centre * [-1, 1, 1]), 1.2, False),
            Nucleus(rod, contrast, visible),
        )
        shown = scan(one, affine, (32,) * 3, pair, sequence, 3)
        found.append(contrast_to_noise(one, shown, 1, 3))
        assert contrast_to_noise(one, shown, 0, 3) == 0
    assert found[0] == pytest.approx(0.3 / 0.02, rel=0.05)
    assert found[1] == pytest.approx(found[0] / 2, rel=0.02)
    assert found[2] == 0


def test_nuclei() -> None:
    """Places, ranges and visibility of many draws are those of the table."""
    one, rng = head(), np.random.default_rng(0)
    rated = (0.18, 0.04)
    pairs = [draw_nuclei(one, rng, rated) for _ in range(150)]
    shifts = np.array([[n.rod.centre for n in pair] for pair in pairs]) - expected_centres(one)
    # The template's ventricle is 1 mm behind the expected centres here: hardly one is moved.
    assert np.abs(shifts.mean(axis=0)).max() < 0.6
    assert shifts[..., 2].std() == pytest.approx(priors.ALONG, abs=0.3)
    assert shifts[..., 0].std() == pytest.approx(priors.ACROSS, abs=0.2)
    agreement = np.corrcoef(shifts[:, 0, 2], shifts[:, 1, 2])[0, 1]
    assert agreement == pytest.approx(priors.SIDES_AGREE, abs=0.15)
    nuclei = [n for pair in pairs for n in pair]
    assert all(8 <= n.rod.length <= 16 for n in nuclei)
    # As raters measure it, the mean of participants is the published one.
    excess = np.array([[n.contrast - 1 for n in pair] for pair in pairs])
    measured = priors.RATED_SHARE * excess.mean(axis=1)
    assert measured.mean() == pytest.approx(rated[0], abs=0.01)
    assert measured.std() == pytest.approx(rated[1], abs=0.015)
    assert (excess.min(axis=1) / excess.max(axis=1) > 0.49).all()
    assert np.mean([n.visible for n in nuclei]) == pytest.approx(0.87, abs=0.05)
    # Upper ends lie nearer to the midline, on both sides.
    upper = np.array(
        [[abs(n.rod.line(2)[1, 0]) - abs(n.rod.line(2)[0, 0]) for n in p] for p in pairs]
    )
    assert (upper.mean(axis=0) < -1).all()


def test_faintest() -> None:
    """No nucleus that counts as visible is drawn without any signal."""
    pairs = [draw_nuclei(head(), np.random.default_rng(i), (0.0, 0.2)) for i in range(20)]
    assert min(n.contrast for pair in pairs for n in pair) == 1 + priors.FAINTEST


def test_into_tissue() -> None:
    """A nucleus in the ventricle is moved to its floor, one in the pons stays."""
    one, forwards = head(), np.array([0.0, 1, 0])
    wet = Rod(np.array([2.0, -42, -28]), UPRIGHT, 10.0, (2.0, 2.0))
    moved = into_tissue(one, wet, forwards).centre - wet.centre
    # The floor is where its voxels end, at y = -41; the back of the rod was at -43.
    assert moved == pytest.approx([0, 2, 0], abs=0.3)
    dry = replace(wet, centre=np.array([2.0, -36, -28]))
    assert into_tissue(one, dry, forwards).centre == pytest.approx(dry.centre)


def test_classes() -> None:
    """Fluid is dark in FLASH and bright in MT-GRE, arteries the other way round."""
    places = np.array([[[[0.0, -45, -28], [0, -26, -29]]]])
    for name, dark_fluid in (('flash', True), ('mt-gre', False)):
        sequence = draw_sequence(np.random.default_rng(4), name)
        signal, fluid = tissue_signal(head(), places, sequence)
        assert (signal[0, 0, 0] < 0.6) == dark_fluid
        assert signal[0, 0, 1] == pytest.approx(1, abs=0.02)
        assert fluid[0, 0] == pytest.approx([1, 0], abs=0.05)
        assert (sequence.artery > 1) == dark_fluid


def test_vessels_keep_off() -> None:
    nuclei = draw_nuclei(head(), np.random.default_rng(5), (0.139, 0.04))
    sequence = draw_sequence(np.random.default_rng(6))
    lines = np.concatenate([n.rod.line(13) for n in nuclei])
    fixed = 7
    drawn = draw_structures(head(), nuclei, sequence, np.random.default_rng(7))[fixed:]
    assert len(drawn) >= 3
    gaps = [np.linalg.norm(rod.line(21)[:, None] - lines, axis=-1).min() for rod, _, _ in drawn]
    assert min(gaps) >= priors.CLEARANCE


def test_slices() -> None:
    """Thick slices keep a linear course and spread a thin one; noise has the size asked for."""
    average, back = slice_weights(32, 0.75, 2.25, 0.4)
    assert len(average) in (11, 12)
    assert average.sum(axis=1) == pytest.approx(1)
    course = back @ (average @ np.arange(32.0))
    assert course[4:-4] == pytest.approx(np.arange(4.0, 28.0), abs=1e-4)
    even = np.full((24, 24, 24), 10.0, np.float32)
    rng = np.random.default_rng(8)
    assert acquire(even, 0.75, (0.75,) * 3, 0.0, rng) == pytest.approx(even)
    assert acquire(even, 0.75, (0.75,) * 3, 0.5, rng).std() == pytest.approx(0.5, abs=0.02)


def test_ghost() -> None:
    """Copies on both sides, along one in-plane axis, as strong as drawn."""
    fluid = np.zeros((41, 41, 3), np.float32)
    fluid[20, 20, 1] = 1
    copies = ghost(fluid, 1.0, 0.75, np.random.default_rng(9))
    found = np.argwhere(copies)
    assert len(found) == 2
    assert found.mean(axis=0) == pytest.approx([20, 20, 1])
    assert priors.GHOST[0] <= np.abs(copies).max() <= priors.GHOST[1]


def test_crop() -> None:
    """The same seed gives the same bytes; the middle is near; a right nucleus is mirrored."""
    heads = [head()]
    crops = [draw_crop(heads, seed) for seed in range(5)]
    assert crops[2].volume.tobytes() == draw_crop(heads, 2).volume.tobytes()
    assert {crop.side for crop in crops} == {0, 1}
    for crop in crops:
        assert crop.volume.shape == (CROP,) * 3
        assert np.percentile(crop.volume, (5, 95)) == pytest.approx([0, 1], abs=1e-4)
        # Up to 4 mm, at voxels of 0.75 mm less 15 %.
        assert np.linalg.norm(crop.expected - 15.5) <= SHIFT_MM / 0.75 / 0.85
        # The midline lies in the direction of larger first indices, left or right.
        midline = apply_affine(np.linalg.inv(crop.scan.affine), [0.0, -38, -28])
        assert midline[0] > crop.expected[0]
        assert crop.mask.any() <= crop.scan.nuclei[crop.side].visible


def test_same_anatomy_on_any_grid() -> None:
    """Another grid shows the same nuclei at the same places."""
    coarse = make_scan(head(), grid(3.0, (0.0, -30, -28), 16), (16,) * 3, 11)
    fine = make_scan(head(), grid(1.5, (0.0, -30, -28), 32), (32,) * 3, 11)
    places = [apply_affine(one.affine, one.points) for one in (coarse, fine)]
    assert places[0] == pytest.approx(places[1], nan_ok=True)


def test_view() -> None:
    """Whole heads and slabs hold the pons; the grid is as large as asked for."""
    for seed in range(2):
        made, landmarks = draw_view(head(), 4.0, seed)
        assert made.volume.shape[:2] == (48, 60)
        assert (landmarks[0] > -0.5).all()
        assert (landmarks[0] < np.array(made.volume.shape) - 0.5).all()
        assert np.linalg.norm(landmarks[1] - landmarks[2]) == pytest.approx(19 / 4, rel=0.11)
