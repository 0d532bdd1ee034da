from __future__ import annotations

import numpy as np

from tmsprep.learning.card import WARNING, describe_weights, heed_warning
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet

POINTS = PointSet(('a', 'b', 'c', 'd'), np.array([[1.0] * 3, [2.0] * 3, [3.0] * 3, [np.nan] * 3]))
OUTCOME = Outcome('m', POINTS, findings=['dark'], unreliable=['a'], doubts={'not_visible': ['b']})


def test_networks_that_have_learned_too_little() -> None:
    """None of their points is called right; what is not seen, or missing, stays so."""
    heeded = heed_warning(OUTCOME, {WARNING: 'of no use'})
    assert heeded.findings == ['of no use', 'dark']
    assert heeded.unreliable == ['a', 'c']
    assert heeded.doubts == {'not_visible': ['b']}
    assert heed_warning(OUTCOME, {'name': 'w'}) is OUTCOME


def test_entry_of_a_sidecar() -> None:
    resources = {'weights': '/somewhere/own.safetensors', 'weights_sha256': 'abc'}
    assert describe_weights({}, resources)['Weights'] == {
        'Name': 'own', 'SHA256': 'abc', 'TrainingData': 'not stated'
    }  # fmt: skip
    entry = describe_weights({'name': 'n', 'data': 'd', WARNING: 'of no use'}, resources)
    assert entry['Weights'] == {
        'Name': 'n', 'SHA256': 'abc', 'TrainingData': 'd', 'Warning': 'of no use'
    }  # fmt: skip
