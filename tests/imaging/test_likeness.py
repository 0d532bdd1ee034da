from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from derivative_trees import RIGID, brain, corrected

from tmsprep.imaging.likeness import LIKENESS_BOUND, likeness

HEAD, MASK = brain(np.eye(4))
INSIDE = np.asarray(MASK.dataobj) > 0


def moved(matrix: np.ndarray) -> nib.Nifti1Image:
    other = corrected(HEAD)
    return nib.Nifti1Image(np.asarray(other.dataobj), matrix @ other.affine)


def shift(*mm: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return matrix


def test_same_head() -> None:
    """Whatever its axes, bias field and scale; also where another program has moved it."""
    assert likeness(HEAD, moved(np.eye(4)), INSIDE) > 0.99
    assert likeness(HEAD, moved(np.linalg.inv(RIGID)), INSIDE, RIGID) > 0.99


@pytest.mark.parametrize('matrix', [shift(3), shift(0, 0, -3), RIGID])
def test_elsewhere(matrix: np.ndarray) -> None:
    """The average brain of this test is smoother than a head, of which 2 mm are seen."""
    assert likeness(HEAD, moved(matrix), INSIDE) < LIKENESS_BOUND


def test_nothing_to_compare() -> None:
    assert likeness(HEAD, moved(shift(900)), INSIDE) == -1
    assert likeness(HEAD, moved(np.eye(4)), np.zeros_like(INSIDE)) == -1
    empty = nib.Nifti1Image(np.full(HEAD.shape, np.nan, np.float32), HEAD.affine)
    assert likeness(HEAD, empty, INSIDE) == -1
