from __future__ import annotations

from pathlib import Path

import tmsprep.data
from tmsprep.learning.card import WARNING
from tmsprep.methods.duennwald2021.two_stages import load_stages

WEIGHTS = Path(tmsprep.data.__file__).parent / 'localizer_locus-coeruleus.safetensors'


def test_shipped_weights() -> None:
    """All networks in under 6 MB; the card says what they were trained on, and what they lack."""
    assert WEIGHTS.stat().st_size < 6e6
    model = load_stages(WEIGHTS)
    assert model.labels == ('LLC', 'RLC')
    assert len(model.finder.members) == 2
    assert len(model.crop.localizers) == 2
    assert len(model.crop.segmenters) == 1
    assert model.card['data'] == 'simulated neuromelanin in real heads; not tested in patients'
    assert WARNING in model.card
    assert 0 < model.limits['visibility'] < 1
    assert model.calibration is not None
    card = WEIGHTS.with_suffix('.md').read_text(encoding='utf-8')
    assert 'not tested in patients' in card
