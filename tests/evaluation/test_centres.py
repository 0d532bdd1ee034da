from __future__ import annotations

import numpy as np

from tmsprep.evaluation.centres import centres_of_mass

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1.0]])


def test_two_labels_by_hand() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 1, 2] = labels[2, 1, 2] = 1
    labels[3, 3, 0] = 2
    centres = centres_of_mass(labels, AFFINE)
    np.testing.assert_allclose(centres, [[9.5, -19.5, 9], [8.5, -18.5, 5]])


def test_an_absent_label_has_no_centre() -> None:
    labels = np.zeros((2, 2, 2), np.uint8)
    labels[1, 1, 1] = 2
    centres = centres_of_mass(labels, np.eye(4))
    assert np.isnan(centres[0]).all()
    assert centres[1].tolist() == [1, 1, 1]
    assert centres_of_mass(labels, np.eye(4), values=(2,)).tolist() == [[1, 1, 1]]
