"""Weights files that are damaged, crafted, or of another network: refused, with the file named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.settings import NetworkSettings, check_localizer
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.settings import (
    N_CLASSES,
    CoReUNetSettings,
    PatchUNetSettings,
    check_coeruleus,
)
from tmsprep.networks.archive import WeightsError, open_archive, write_archive
from tmsprep.networks.settings import UNetSettings, check_brain
from tmsprep.networks.unet import BrainUNet

KIND = 'a-kind-1'
HALF = np.array([1.5, -2.0, 0.25], '<f2').tobytes()


def craft(path: Path, header: Any, data: bytes = HALF, length: int | None = None) -> Path:
    """Write a file of the format of safetensors, whatever its header says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, 'little') + text + data)
    return path


def entry(dtype: str = 'F16', shape: Any = (3,), offsets: Any = (0, 6)) -> dict[str, Any]:
    return {'dtype': dtype, 'shape': shape, 'data_offsets': offsets}


def header(**tensors: Any) -> dict[str, Any]:
    return {'__metadata__': {'format': KIND}, **(tensors or {'a': entry()})}


def test_read(tmp_path: Path) -> None:
    archive = open_archive(craft(tmp_path / 'w.safetensors', header()), KIND)
    assert archive.arrays['a'].tolist() == [1.5, -2.0, 0.25]
    assert dict(archive.metadata) == {'format': KIND}
    assert len(archive.sha256) == 64


CRAFTED: dict[str, Callable[[Path], Any]] = {
    'huge_length': lambda p: craft(p, header(), length=2**63),
    'length_beyond_file': lambda p: craft(p, header(), length=10**6),
    'zero_length': lambda p: craft(p, header(), length=0),
    'cut_header': lambda p: p.write_bytes(craft(p, header()).read_bytes()[:40]),
    'cut_data': lambda p: craft(p, header(), HALF[:-1]),
    'more_data': lambda p: craft(p, header(), HALF + b'xx'),
    'not_utf8': lambda p: craft(p, b'{"\xff": 1}'),
    'deep': lambda p: craft(p, b'[' * 100_000 + b']' * 100_000),
    'list': lambda p: craft(p, [1, 2]),
    'metadata_list': lambda p: craft(p, {'__metadata__': [1], 'a': entry()}),
    'metadata_number': lambda p: craft(p, {'__metadata__': {'format': 3}, 'a': entry()}),
    'unknown_dtype': lambda p: craft(p, header(a=entry('F7'))),
    'whole_numbers': lambda p: craft(p, header(a=entry('I16'))),
    'truth_values': lambda p: craft(p, header(a=entry('BOOL', (6,)))),
    'overlap': lambda p: craft(p, header(a=entry(), b=entry())),
    'gap': lambda p: craft(p, header(a=entry(offsets=(2, 8))), HALF + b'xx'),
    'backwards': lambda p: craft(p, header(a=entry(offsets=(6, 0)))),
    'negative': lambda p: craft(p, header(a=entry(offsets=(-6, 0)))),
    'other_shape': lambda p: craft(p, header(a=entry(shape=(4,)))),
    'overflowing_shape': lambda p: craft(p, header(a=entry(shape=(2**40, 2**40)))),
    'twice': lambda p: craft(
        p, json.dumps(header()).replace('"a"', '"a": {}, "a"').encode(), HALF
    ),
    'nan': lambda p: craft(p, header(), np.array([1, np.nan, 2], '<f2').tobytes()),
    'infinite': lambda p: craft(p, header(), np.array([1, -np.inf, 2], '<f2').tobytes()),
    'fifo': lambda p: os.mkfifo(p),
    'other_kind': lambda p: craft(p, {'__metadata__': {'format': 'x'}, 'a': entry()}),
    'too_large': lambda p: os.truncate(craft(p, header()), 3 * 10**9),
}


@pytest.mark.parametrize('name', CRAFTED)
def test_crafted(tmp_path: Path, name: str) -> None:
    path = tmp_path / 'crafted.safetensors'
    CRAFTED[name](path)
    with pytest.raises(WeightsError, match=r'crafted\.safetensors'):
        open_archive(path, KIND)


def test_changed(tmp_path: Path) -> None:
    path = craft(tmp_path / 'w.safetensors', header())
    known = open_archive(path, KIND).sha256
    assert open_archive(path, KIND, known).sha256 == known
    craft(path, header(), HALF[::-1])
    with pytest.raises(WeightsError, match=r'w\.safetensors has changed since the run began'):
        open_archive(path, KIND, known)


@pytest.mark.parametrize('value', [float('nan'), float('-inf'), 70_000.0])
def test_not_written(tmp_path: Path, value: float) -> None:
    """The largest number of half precision is 65504."""
    path = tmp_path / 'w.safetensors'
    write_archive(path, KIND, {'a': torch.tensor([65_504.0])}, {})
    before = path.read_bytes()
    with pytest.raises(FloatingPointError, match=r'w\.safetensors is not written: a is not'):
        write_archive(path, KIND, {'a': torch.tensor([1.0, value])}, {})
    assert path.read_bytes() == before


@pytest.mark.parametrize('residual', ['shared', 'separate', 'none'])
def test_localizer_shapes(residual: str) -> None:
    shape = NetworkSettings(
        3, crops=(8, 4, 5), kernels=2, channels=3, hidden=4, residual=residual, residual_layers=2
    )
    assert shape.parameter_shapes() == shapes_of(MultiResolutionNet(shape))


def test_unet_shapes() -> None:
    deep = UNetSettings((8, 16, 24), block=2)
    assert deep.parameter_shapes(1) == shapes_of(BrainUNet(deep))
    core = CoReUNetSettings((8, 16), block=2, targets=3)
    assert core.parameter_shapes(3) == shapes_of(CoReUNet(core))
    patch = PatchUNetSettings((8,), block=4)
    assert patch.parameter_shapes(N_CLASSES) == shapes_of(PatchUNet(patch))


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


#: What can stand where a number or a list is expected.
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**30, 1e308, -1, 0, 3]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'fuzzed.safetensors'
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r'fuzzed\.safetensors'):
        open_archive(path, KIND)


@given(
    st.dictionaries(
        st.sampled_from(['a', 'b', '__metadata__', 'é']),
        ODD | st.builds(entry, st.sampled_from(['F16', 'F32', 'F64', 'BF16', 'U8']), ODD, ODD),
    ),
    st.binary(max_size=16),
    st.integers(-3, 3),
)
@settings(max_examples=200)
def test_any_header(
    tmp_path_factory: pytest.TempPathFactory, content: Any, data: bytes, off: int
) -> None:
    """A header is read whole, with arrays that fill the rest of the file, or refused."""
    path = tmp_path_factory.getbasetemp() / 'fuzzed.safetensors'
    text = json.dumps({'__metadata__': {'format': KIND}, **content}).encode()
    length = max(0, len(text) + off)
    craft(path, text, data, length)
    archive = accepted(path, lambda archive: archive)
    if archive is not None:
        rest = len(text) + len(data) - length
        assert sum(array.nbytes for array in archive.arrays.values()) == rest
        assert all(np.isfinite(array).all() for array in archive.arrays.values())


def accepted(path: Path, check: Callable) -> Any:
    """Return what a check returns; None if the file is refused, with its name in the message."""
    try:
        return check(open_archive(path, KIND))
    except WeightsError as error:
        message = str(error)
    assert path.name in message
    return None


SMALL = NetworkSettings(2, crops=(2,), kernels=1, channels=1, hidden=1, residual='none')


def texts_of_localizer() -> dict[str, Any]:
    return {
        'labels': ['A', 'B'],
        'settings': [SMALL.as_dict()],
        'card': {'name': 'x'},
        'mirror': [1, 0],
        'shape': [[1.0, 2, 3], [4, 5, 6]],
        'calibration': None,
    }


CHECKS: dict[str, tuple[Callable, dict[str, Any], dict[str, tuple[int, ...]]]] = {
    'localizer': (check_localizer, texts_of_localizer(), SMALL.parameter_shapes('0.')),
    'coeruleus': (
        check_coeruleus,
        {
            'labels': ['L', 'R'],
            'localizer': [CoReUNetSettings((8,)).as_dict()],
            'segmenter': [PatchUNetSettings((8,)).as_dict()],
            'card': {},
            'voxel_mm': 0.75,
        },
        CoReUNetSettings((8,)).parameter_shapes(2, 'localizer.0.')
        | PatchUNetSettings((8,)).parameter_shapes(3, 'segmenter.0.'),
    ),
    'brain': (
        check_brain,
        {'settings': UNetSettings((8,)).as_dict()},
        UNetSettings((8,)).parameter_shapes(1),
    ),
}


def written(
    path: Path, name: str, changed: dict[str, Any], shapes: dict[str, Any] | None = None
) -> Path:
    _, texts, expected = CHECKS[name]
    tensors = {k: torch.zeros(shape) for k, shape in (shapes or expected).items()}
    metadata = {k: json.dumps(value) for k, value in {**texts, **changed}.items()}
    return write_archive(path, KIND, tensors, metadata)


@pytest.mark.parametrize('name', CHECKS)
def test_content(tmp_path: Path, name: str) -> None:
    """Exactly the parameters of the network: none more, none less, each of its shape."""
    check, _, shapes = CHECKS[name]
    path = tmp_path / 'w.safetensors'
    check(open_archive(written(path, name, {}), KIND))
    first = min(shapes)
    for damage, message in (
        ({**shapes, 'extra': (2,)}, "has, beyond the network it describes, 'extra'"),
        ({k: v for k, v in shapes.items() if k != first}, f'it lacks {first!r}'),
        ({**shapes, first: (*shapes[first], 2)}, f'{first} has the shape'),
    ):
        with pytest.raises(WeightsError, match=r'w\.safetensors') as raised:
            check(open_archive(written(path, name, {}, damage), KIND))
        assert message in str(raised.value)


@pytest.mark.parametrize(
    ('name', 'changed'),
    [
        ('localizer', {'labels': ['A', 'A']}),
        ('localizer', {'labels': ['A', 'B\x1b[2J']}),
        ('localizer', {'labels': 'AB'}),
        ('localizer', {'settings': []}),
        ('localizer', {'settings': [{**SMALL.as_dict(), 'residual_layers': 10**9}]}),
        ('localizer', {'settings': [{**SMALL.as_dict(), 'kernels': 10**9}]}),
        ('localizer', {'settings': [{**SMALL.as_dict(), 'extent': 0.0}]}),
        ('localizer', {'settings': [{**SMALL.as_dict(), 'unknown': 1}]}),
        ('localizer', {'settings': [{**SMALL.as_dict(), 'targets': True}]}),
        ('localizer', {'shape': [[1, 2, float('nan')], [1, 2, 3]]}),
        ('localizer', {'shape': [[1, 2, 3]]}),
        ('localizer', {'mirror': [5, 0]}),
        ('localizer', {'calibration': {'level': 0.9}}),
        ('localizer', {'card': {'name': 'a\nb'}}),
        ('coeruleus', {'voxel_mm': float('nan')}),
        ('coeruleus', {'voxel_mm': -1}),
        ('coeruleus', {'segmenter': [{**PatchUNetSettings((8,)).as_dict(), 'patch': [9999] * 3}]}),
        ('coeruleus', {'localizer': [CoReUNetSettings((8,), targets=3).as_dict()]}),
        ('brain', {'settings': {'features': [10**6], 'block': 1}}),
        ('brain', {'settings': {'features': [28], 'block': 1}}),
    ],
)
def test_odd_texts(tmp_path: Path, name: str, changed: dict[str, Any]) -> None:
    path = written(tmp_path / 'odd.safetensors', name, changed)
    with pytest.raises(WeightsError, match=r'odd\.safetensors'):
        CHECKS[name][0](open_archive(path, KIND))


def test_not_json(tmp_path: Path) -> None:
    for text in ('{', '[' * 100_000, '[NaN]', ''):
        path = write_archive(tmp_path / 'w.safetensors', KIND, {}, {'labels': text})
        with pytest.raises(WeightsError, match=r"w\.safetensors: 'labels' of its metadata"):
            open_archive(path, KIND).value('labels')


@pytest.mark.parametrize('name', CHECKS)
@given(data=st.data())
@settings(max_examples=100)
def test_any_texts(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    check, texts, _ = CHECKS[name]
    key = data.draw(st.sampled_from(sorted(texts)))
    given, changed = texts[key], data.draw(ODD)
    if isinstance(given, list) and isinstance(given[0], dict) and data.draw(st.booleans()):
        inner = data.draw(st.sampled_from(sorted(given[0])))
        changed = [{**given[0], inner: changed}]
    path = written(tmp_path_factory.getbasetemp() / 'fuzzed.safetensors', name, {key: changed})
    accepted(path, check)
