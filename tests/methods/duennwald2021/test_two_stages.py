"""The weights file of the two stages: written, read back, and refused if it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coeruleus_stages import CARD, VOXEL_MM, bright, cubes, stages
from safetensors.torch import load_file, save_file

from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.files import file_sha256
from tmsprep.methods.duennwald2021.networks import PatchUNet, PatchUNetSettings, save_coeruleus
from tmsprep.methods.duennwald2021.options import STAGES_KIND
from tmsprep.methods.duennwald2021.search import locate_stages
from tmsprep.methods.duennwald2021.stage_settings import LIMITS
from tmsprep.methods.duennwald2021.two_stages import load_stages, save_stages
from tmsprep.networks.archive import WeightsError, open_archive

CALIBRATION = ErrorRadius(('LLC', 'RLC'), 0.9, (0.6, 0.7), 0.0, 2.0, (20, 20)).as_dict()


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = stages(limits={'visibility': 0.25}, calibration=CALIBRATION)
    return save_stages(tmp_path_factory.mktemp('weights') / 'known.safetensors', model)


def test_round_trip(weights: Path) -> None:
    again = load_stages(weights, file_sha256(weights))
    model = stages()
    assert (again.labels, again.shape, again.card) == (('LLC', 'RLC'), model.shape, CARD)
    # Limits that the file does not give are those of the package.
    assert again.limits == {**LIMITS, 'visibility': 0.25}
    assert again.calibration == CALIBRATION
    assert again.finder.labels == model.finder.labels
    volume, affine = cubes((48, 48, 32), (16, 20, 16), (32, 20, 16)), np.diag([VOXEL_MM] * 3 + [1])
    one, other = (locate_stages(m, volume, affine) for m in (model, again))
    # Half precision moves the first stage by 8 micrometres, and the crops not at all.
    np.testing.assert_allclose(one.first, other.first, atol=0.01)
    np.testing.assert_allclose(one.points, other.points, atol=1e-4)
    np.testing.assert_array_equal(one.labels(volume.shape), other.labels(volume.shape))


def test_same_bytes(weights: Path, tmp_path: Path) -> None:
    again = save_stages(tmp_path / 'again.safetensors', load_stages(weights))
    assert load_stages(again).limits == load_stages(weights).limits
    assert save_stages(tmp_path / 'x.safetensors', load_stages(again)).read_bytes() == (
        again.read_bytes()
    )


def rewritten(weights: Path, path: Path, change: Callable[[dict, dict[str, str]], None]) -> Path:
    """Write weights with other tensors or metadata."""
    tensors, metadata = load_file(weights), dict(open_archive(weights, STAGES_KIND).metadata)
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def set_to(key: str, value: Any) -> Callable[[dict, dict[str, str]], None]:
    return lambda _, metadata: metadata.update({key: json.dumps(value)})


def rename(tensors: dict, metadata: dict[str, str]) -> None:
    tensors['third.weight'] = tensors.pop('crop.localizer.0.head.weight')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda t, m: t.pop('crop.localizer.0.head.weight'), "lacks 'localizer.0.head.weight'"),
        (lambda t, m: t.pop('finder.0.levels.0.maps'), "lacks '0.levels.0.maps'"),
        (rename, 'belongs to neither stage'),
        (lambda t, m: m.pop('finder.settings'), "lacks 'settings'"),
        (lambda t, m: m.pop('shape'), "lacks 'shape'"),
        (lambda t, m: m.pop('limits'), "lacks 'limits'"),
        (set_to('shape', [16, 16, 24]), 'other patches than crops of 16 x 16 x 24'),
        (set_to('shape', [16, 16, 10**6]), 'shape must be a whole number'),
        (set_to('shape', 16), 'shape: 16 is not a list of three numbers'),
        (set_to('labels', ['LLC', 'XLC']), 'not a left and a right target'),
        (set_to('labels', ['LLC']), 'not a left and a right target'),
        (set_to('crop.labels', ['LLC', 'RLC']), 'more or fewer than 2 targets'),
        (set_to('limits', {'visibility': 1.5}), 'is a probability'),
        (set_to('limits', {'shift_mm': -1}), 'limit shift_mm'),
        (set_to('limits', {'other': 1}), 'its limits are none'),
        (set_to('limits', [1]), 'its limits are none'),
        (set_to('calibration', {**CALIBRATION, 'labels': ['RLC', 'LLC']}), 'other targets'),
        (set_to('calibration', {'quantile': 1}), 'cannot be used'),
        (set_to('calibration', 'x'), 'cannot be used'),
        (set_to('card', {'name': 3}), "'card' of its metadata"),
        (set_to('finder.shape', [[0, 0, 0]]), 'does not fit its 6 targets'),
    ],
)
def test_damaged(weights: Path, tmp_path: Path, change: Callable, message: str) -> None:
    path = rewritten(weights, tmp_path / 'damaged.safetensors', change)
    with pytest.raises(WeightsError, match=message) as error:
        load_stages(path)
    assert 'damaged.safetensors' in str(error.value)


def test_other_patch(tmp_path: Path) -> None:
    other = PatchUNet(PatchUNetSettings((8,), patch=(8, 8, 8)))
    path = save_stages(tmp_path / 'w.safetensors', stages(segmenters=(bright(), other)))
    with pytest.raises(
        WeightsError, match='segments other patches than crops of 16 x 16 x 16 voxels'
    ):
        load_stages(path)


def test_view_of_first_stage(tmp_path: Path) -> None:
    model = stages()
    (member,) = model.finder.members
    member.settings = replace(member.settings, extent=128.0)
    with pytest.raises(WeightsError, match='does not see 256 mm'):
        load_stages(save_stages(tmp_path / 'w.safetensors', model))


def test_other_kind(tmp_path: Path) -> None:
    path = save_coeruleus(tmp_path / 'w.safetensors', stages().crop)
    with pytest.raises(WeightsError, match='does not hold tmsprep-locus-coeruleus-stages-1'):
        load_stages(path)
