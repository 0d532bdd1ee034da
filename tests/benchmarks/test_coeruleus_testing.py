from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import apply_affine

from coeruleus_testing import simulator
from coeruleus_testing.simulator import (
    FOURTH_VENTRICLE,
    STEM,
    chain_centroid,
    draw_chain,
    fill_chain,
    make_test_scan,
    measure,
    stem_frame,
)


def label_map(turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A stem of 24 x 20 x 60 mm, and behind it a ventricle that is widest at z = -38.

    Its floor is at y = -40. `turn` degrees about the x axis.
    """
    affine = np.eye(4)
    affine[:3, 3] = [-40, -70, -70]
    x, y, z = np.moveaxis(
        apply_affine(affine, np.moveaxis(np.indices((80, 80, 70)), 0, -1)), -1, 0
    )
    labels = np.full(x.shape, 2)
    labels[(np.abs(x) <= 12) & (np.abs(y + 30) < 10) & (np.abs(z + 35) <= 30)] = STEM
    width = 10 - np.abs(z + 38) / 3
    labels[(np.abs(x) <= width) & (y <= -40) & (y > -48) & (np.abs(z + 38) < 20)] = (
        FOURTH_VENTRICLE
    )
    angle = np.deg2rad(turn)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return labels, tilt @ affine


@pytest.mark.parametrize('turn', [0.0, 20.0])
def test_stem_frame(turn: float) -> None:
    """The floor at 18 mm above the widest level, and the axes, in any pose."""
    labels, affine = label_map(turn)
    frame = stem_frame(labels, affine)
    upright = label_map()[1]
    floor = apply_affine(upright @ np.linalg.inv(affine), frame.floor)
    assert floor == pytest.approx([0, -39.5, -20], abs=1.01)
    right, forwards, up = frame.axes @ (affine @ np.linalg.inv(upright))[:3, :3]
    assert right == pytest.approx([1, 0, 0], abs=0.02)
    assert forwards == pytest.approx([0, 1, 0], abs=0.02)
    assert up == pytest.approx([0, 0, 1], abs=0.02)


def test_chain() -> None:
    """Both sides lie beside the midline, under the floor; the lower end is further out."""
    frame = stem_frame(*label_map())
    rng = np.random.default_rng(0)
    drawn = [[draw_chain(frame, side, np.zeros(3), rng) for side in (0, 1)] for _ in range(60)]
    own = np.array([[(c.mean(0) - frame.floor) @ frame.axes.T for c, _ in pair] for pair in drawn])
    assert own[:, 0, 0].mean() == pytest.approx(-4.6, abs=0.25)
    assert own[:, 1, 0].mean() == pytest.approx(4.6, abs=0.25)
    assert own[..., 1].mean() == pytest.approx(1.1 + 0.95, abs=0.15)
    line, radii = drawn[0][1]
    assert line[0, 0] - line[-1, 0] == pytest.approx(2.4, abs=1e-6)
    assert 8 - 1e-6 <= line[-1, 2] - line[0, 2] <= 16 + 1e-6
    assert (radii > 0.3).all()


def test_fill() -> None:
    """One ball: its volume, and its middle, on voxels that share no axis with it."""
    ball = (np.array([[1.0, -2.0, 3.0]]), np.array([2.0]))
    affine = np.diag([0.5, 0.5, 1.0, 1.0])
    affine[:3, 3] = [-5, -8, -3]
    share = fill_chain(ball, (24, 24, 12), affine)
    assert share.sum() * 0.25 == pytest.approx(4 / 3 * np.pi * 8, rel=0.02)
    weights = share.ravel()
    middle = np.average(np.indices(share.shape).reshape(3, -1), axis=1, weights=weights)
    assert apply_affine(affine, middle) == pytest.approx([1, -2, 3], abs=0.02)
    assert chain_centroid(ball) == pytest.approx([1, -2, 3], abs=0.02)


def test_scan() -> None:
    """Truth and image meet; an unseen side is as if it were not there."""
    labels, affine = label_map()
    frame = stem_frame(labels, affine)
    extent = (54.0, 54.0, 24.0)
    seen = make_test_scan(labels, affine, 4, extent_mm=extent, visible=(True, True))
    assert set(np.unique(seen.masks)) == {0, 1, 2}
    half = make_test_scan(labels, affine, 4, extent_mm=extent, visible=(True, False))
    assert np.isnan(half.points[1]).all()
    assert half.places == pytest.approx(seen.places)
    assert set(np.unique(half.masks)) == {0, 1}
    # What the right nucleus adds lies where the truth is.
    added = np.abs(seen.volume - half.volume)
    brightest = np.unravel_index(added.argmax(), added.shape)
    away = apply_affine(seen.affine, brightest) - seen.points[1]
    assert np.linalg.norm(away) < 8
    assert np.abs(away @ frame.axes.T)[:2].max() < 2.5
    voxels = np.argwhere(seen.masks == 2)
    assert apply_affine(seen.affine, voxels.mean(axis=0)) == pytest.approx(seen.points[1], abs=0.5)


def test_measure_keeps_places() -> None:
    """A blob stays where it is, on whatever voxels are drawn."""
    axes = np.moveaxis(np.indices((40, 48, 30)), 0, -1)
    signal = 50 * np.exp(-(((axes - [20.3, 25.1, 14.0]) / 3.0) ** 2).sum(-1)).astype(np.float32)
    for seed in range(3):
        volume, ratio = measure(signal, np.zeros_like(signal), np.random.default_rng(seed))
        bright = volume * (volume > 0.03 * volume.max())
        middle = np.average(
            np.indices(volume.shape).reshape(3, -1), axis=1, weights=bright.ravel()
        )
        assert middle * ratio + (np.array(ratio) - 1) / 2 == pytest.approx(
            [20.3, 25.1, 14], abs=0.25
        )


def test_seed() -> None:
    """The same seed gives the same bytes, also far from the nuclei."""
    labels, affine = label_map()
    one, again = (make_test_scan(labels, affine, 5, extent_mm=(18, 18, 9)) for _ in range(2))
    assert one.volume.tobytes() == again.volume.tobytes()


def test_shares_nothing() -> None:
    """The second simulator imports nothing of the first, which would tie tests to training."""
    tree = ast.parse(Path(simulator.__file__).read_text(encoding='utf-8'))
    names = [n.module or '' for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert {name.split('.')[0] for name in names} == {
        *('__future__', 'dataclasses', 'numpy', 'nibabel', 'scipy'),
    }
