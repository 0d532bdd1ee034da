from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tmsprep.imaging.intensities import mend
from tmsprep.imaging.noise import suppress_noise

SHAPE = (40, 44, 48)
SIZE_MM = (4.0, 4.0, 4.0)
RNG = partial(np.random.default_rng, 0)


def ball() -> np.ndarray:
    position = np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2
    return np.linalg.norm(position, axis=-1).T < 17


def uniform() -> np.ndarray:
    return RNG().uniform(0, 1, SHAPE)


def of_two_echoes() -> np.ndarray:
    """Combination of two complex images of nothing but noise (Marques et al. 2010, eq. 3)."""
    real, imaginary = RNG().normal(size=(2, 2, *SHAPE))
    first, second = real + 1j * imaginary
    return np.real(first.conj() * second) / (abs(first) ** 2 + abs(second) ** 2) + 0.5


def halves() -> np.ndarray:
    return RNG().integers(0, 2, SHAPE)


def head(noise: np.ndarray) -> np.ndarray:
    """Smooth head from 0.2 to 0.9 in noise from 0 to 1."""
    tissue = np.linspace(0.2, 0.9, SHAPE[2]) + RNG().normal(0, 0.03, SHAPE)
    return np.where(ball(), tissue, noise).astype(np.float32)


@pytest.mark.parametrize('make', [uniform, of_two_echoes, halves])
@pytest.mark.parametrize(('gain', 'offset'), [(1, -0.5), (4095, 0)])
def test_noise_becomes_air(make: object, gain: float, offset: float) -> None:
    image = (gain * head(make()) + offset).astype(np.float32)
    data, findings = suppress_noise(image, SIZE_MM)
    assert len(findings) == 1
    assert 'treated as air' in findings[0]
    assert np.mean(data[~ball()] == image.min()) > 0.98
    assert np.mean(data[ball()] == image[ball()]) > 0.9
    # In the image that the methods get, 0 is air.
    mended = mend(image, SIZE_MM)
    assert np.mean(mended.data[~ball()] <= 0.01 * gain) > 0.98
    assert np.median(mended.data[ball()]) == pytest.approx(0.55 * gain, rel=0.05)


def test_padding_beside_noise() -> None:
    image = 4095 * head(uniform())
    image[0] = -32768
    mended = mend(image, SIZE_MM)
    assert 'padding at -32768' in mended.findings[0]
    assert 'noise as bright as tissue' in mended.findings[1]
    assert np.mean(mended.data[~ball()] < 10) > 0.98


@pytest.mark.parametrize('level', [0, 0.05, 0.3])
def test_dim_noise_is_kept(level: float) -> None:
    image = head(level * uniform())
    data, findings = suppress_noise(image, SIZE_MM)
    assert data is image
    assert findings == []


@pytest.mark.parametrize('case', ['no head', 'small head', 'interpolated'])
def test_only_said(case: str) -> None:
    """Without a head, or where noise looks like one, nothing is replaced, but it is said."""
    image = {
        'no head': uniform().astype(np.float32),
        'small head': head(uniform()),
        'interpolated': head(np.clip(0.5 + 2 * (gaussian_filter(uniform(), 1) - 0.5), 0, 1)),
    }[case]
    size = (1.0, 1.0, 1.0) if case == 'small head' else SIZE_MM
    data, findings = suppress_noise(image, size)
    assert data is image
    assert len(findings) == 1
    assert 'give the image with suppressed background' in findings[0]


def test_bright_smooth_background_is_no_noise() -> None:
    image = head(np.full(SHAPE, 0.7))
    assert suppress_noise(image, SIZE_MM) == (image, [])
