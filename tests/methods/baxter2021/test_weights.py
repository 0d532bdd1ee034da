from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.files import file_sha256
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.methods.baxter2021.weights import Localizer, load_localizer, save_localizer
from tmsprep.networks.archive import WeightsError, read_archive, write_archive
from tmsprep.networks.brain_extraction import save_brain_unet
from tmsprep.networks.settings import UNetSettings
from tmsprep.networks.unet import BrainUNet

SMALL = {'kernels': 3, 'channels': 2, 'hidden': 5, 'residual_layers': 2, 'residual_width': 4}


@pytest.fixture
def localizer() -> Localizer:
    torch.manual_seed(0)
    shapes = ({'crops': (4, 4)}, {'crops': (4, 5, 6), 'residual': 'separate'})
    members = tuple(MultiResolutionNet(NetworkSettings(2, **SMALL, **s)).eval() for s in shapes)
    return Localizer(
        ('A', 'B'),
        members,
        {'name': 'test', 'licence': 'none'},
        mirror=(1, None),
        shape=torch.tensor([[1.5, 2.25, 3.0], [1.0, 1.0, 0.125]]),
        calibration=ErrorRadius(
            ('A', 'B'), 0.9, (3.5, 2.0), 1.5, math.inf, (14, 8), {'match': 0.9}
        ).as_dict(),
        settle_mm=2.5,
    )


def test_round_trip_in_half_precision(tmp_path: Path, localizer: Localizer) -> None:
    path = save_localizer(tmp_path / 'w.safetensors', localizer)
    again = load_localizer(path)
    assert again.labels == localizer.labels
    assert again.card == localizer.card
    assert again.mirror == localizer.mirror
    assert torch.equal(again.shape, localizer.shape)
    assert again.calibration == localizer.calibration
    assert again.settle_mm == 2.5
    assert len(again.members) == 2
    for member, original in zip(again.members, localizer.members, strict=True):
        assert member.settings == original.settings
        assert not member.training
        found, expected = member.state_dict(), original.state_dict()
        assert list(found) == list(expected)
        for name, tensor in found.items():
            assert tensor.dtype == torch.float32
            # Half precision has 11 bits, and steps of 2^-24 near 0; rounding errs by half of it.
            torch.testing.assert_close(tensor, expected[name], rtol=2**-11, atol=2**-25)


def test_a_second_round_trip_changes_nothing(tmp_path: Path, localizer: Localizer) -> None:
    first = save_localizer(tmp_path / 'a.safetensors', localizer)
    second = save_localizer(tmp_path / 'b.safetensors', load_localizer(first))
    assert file_sha256(first) == file_sha256(second)


KIND = 'tmsprep-multiresolution-1'


def _missing(path: Path, localizer: Localizer) -> None:
    pass


def _folder(path: Path, localizer: Localizer) -> None:
    path.mkdir()


def _empty(path: Path, localizer: Localizer) -> None:
    path.touch()


def _text(path: Path, localizer: Localizer) -> None:
    path.write_text('version https://git-lfs.github.com/spec/v1\n')


def _truncated(path: Path, localizer: Localizer) -> None:
    save_localizer(path, localizer)
    path.write_bytes(path.read_bytes()[:-100])


def _other_kind(path: Path, localizer: Localizer) -> None:
    save_brain_unet(path, BrainUNet(UNetSettings(features=(8, 8))), {})


def _no_kind(path: Path, localizer: Localizer) -> None:
    from safetensors.torch import save_file

    save_file({'a': torch.zeros(1)}, path)


@pytest.mark.parametrize(
    'damage', [_missing, _folder, _empty, _text, _truncated, _other_kind, _no_kind]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, localizer, damage) -> None:
    path = tmp_path / 'mine.safetensors'
    damage(path, localizer)
    with pytest.raises(WeightsError, match=r'mine\.safetensors'):
        load_localizer(path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        write_archive(tmp_path / 'w.safetensors', KIND, {'a': 'no tensor'}, {})
    assert list(tmp_path.iterdir()) == []


def test_checksum_of_three_letters(tmp_path: Path) -> None:
    path = tmp_path / 'abc'
    path.write_bytes(b'abc')
    # The example of FIPS 180-2, appendix B.1.
    expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert file_sha256(path) == expected


def test_missing_parameter(tmp_path: Path, localizer: Localizer) -> None:
    path = save_localizer(tmp_path / 'w.safetensors', localizer)
    tensors, metadata = read_archive(path, 'tmsprep-multiresolution-1')
    del tensors['0.levels.0.maps'], metadata['format']
    write_archive(path, 'tmsprep-multiresolution-1', tensors, metadata)
    with pytest.raises(WeightsError, match=r'(?s)w\.safetensors is damaged.*levels\.0\.maps'):
        load_localizer(path)


@pytest.mark.parametrize('value', ['-1', '"far"', 'true', '1e999', 'null'])
def test_damaged_settle_mm(tmp_path: Path, localizer: Localizer, value: str) -> None:
    path = save_localizer(tmp_path / 'w.safetensors', localizer)
    tensors, metadata = read_archive(path, KIND)
    del metadata['format']
    write_archive(path, KIND, tensors, {**metadata, 'settle_mm': value})
    with pytest.raises(WeightsError, match=r'w\.safetensors'):
        load_localizer(path)
