"""What is read back between runs: intact, or named and made again."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.learning.examples import Example, Record
from tmsprep.learning.kept import (
    DamagedError,
    check_unchanged,
    intact_records,
    kept,
    load_checked,
    prepare_record,
    remove_unfinished,
    save_checked,
)
from tmsprep.methods.learner import Learner
from tmsprep.protocols import load_protocol


class Counting(Learner):
    """Prepares the letters of an image and their number, and counts how often."""

    times = 0

    def prepare(self, example: Example, cache: Path) -> dict[str, Any]:
        self.times += 1
        text = example.image.read_text()
        (cache / 'letters.txt').write_text(text.upper())
        return {'count': len(text), 'third': 1 / 3}

    def network(self, training: Any) -> Any: ...
    def task(self, *given: Any, **more: Any) -> Any: ...
    def predict(self, *given: Any) -> Any: ...
    def save(self, path: Path, model: Any, card: Mapping[str, str]) -> Path: ...


@pytest.fixture
def learner() -> Counting:
    return Counting(load_protocol('tms'), {})


@pytest.fixture
def example(tmp_path: Path) -> Example:
    path = tmp_path / 'sub-01_T1w.nii'
    path.write_text('abcd')
    return Example('sub-01', path)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable:
    monkeypatch.setattr(logging.getLogger('tmsprep'), 'propagate', True)
    return lambda: [record.getMessage() for record in caplog.records]


def good(learner: Learner, example: Example, folder: Path) -> Record:
    record, failure = prepare_record(learner, example, folder)
    assert failure is None, record.error
    return record


def flip(path: Path) -> None:
    """Turn a bit over, without a trace in size or time."""
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    'flipped': lambda cache: flip(cache / 'letters.txt'),
    'cut': lambda cache: (cache / 'letters.txt').write_text('AB'),
    'gone': lambda cache: (cache / 'letters.txt').unlink(),
    'facts': lambda cache: flip(cache / 'facts.json'),
    'seal_cut': lambda cache: (cache / 'checksums.json').write_text('{"letters'),
    'seal_list': lambda cache: (cache / 'checksums.json').write_text('[1]'),
    'more': lambda cache: (cache / 'foreign').write_text('x'),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_damaged(
    tmp_path: Path, learner: Counting, example: Example, log: Callable, name: str
) -> None:
    first = good(learner, example, tmp_path / 'kept')
    assert first.facts == {'count': 4, 'third': 1 / 3}
    assert good(learner, example, tmp_path / 'kept') == first
    assert learner.times == 1
    DAMAGE[name](first.cache)
    assert good(learner, example, tmp_path / 'kept') == first
    assert learner.times == 2
    assert (first.cache / 'letters.txt').read_text() == 'ABCD'
    (message,) = log()
    assert message.startswith(f'{first.cache}: ')
    assert message.endswith('so it is prepared again')
    # In the middle of a run too.
    DAMAGE[name](first.cache)
    assert intact_records(learner, [first]) == [first]
    assert learner.times == 3


def test_purged(tmp_path: Path, learner: Counting, example: Example) -> None:
    first = good(learner, example, tmp_path / 'kept')
    shutil.rmtree(tmp_path / 'kept')
    assert intact_records(learner, [first]) == [first]


def test_identity(tmp_path: Path, learner: Counting, example: Example) -> None:
    """By content: not by size and time, nor by place."""
    first, times = good(learner, example, tmp_path / 'kept'), example.image.stat()
    example.image.write_text('dcba')
    os.utime(example.image, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = good(learner, example, tmp_path / 'kept')
    assert (second.cache / 'letters.txt').read_text() == 'DCBA'
    assert second.cache != first.cache
    copy = replace(example, image=tmp_path / 'copy.nii')
    copy.image.write_text('abcd')
    assert good(learner, copy, tmp_path / 'kept').cache == first.cache
    assert learner.times == 2
    for records in (check_unchanged, lambda *given: list(intact_records(*given))):
        shutil.rmtree(first.cache, ignore_errors=True)
        with pytest.raises(
            ValueError, match=r'sub-01_T1w\.nii: .*has changed since the run began'
        ):
            records(learner, [first])


def test_replaced_while_read(tmp_path: Path, learner: Counting, example: Example) -> None:
    class Late(Counting):
        def prepare(self, example: Example, cache: Path) -> dict[str, Any]:
            facts = super().prepare(example, cache)
            example.image.write_text('another')
            return facts

    record, failure = prepare_record(Late(learner.protocol, {}), example, tmp_path / 'kept')
    assert failure is not None
    assert f'{example.image}: it, or its mask, changed while it was read' in record.error
    assert list((tmp_path / 'kept').iterdir()) == []


def test_failure(tmp_path: Path, learner: Counting, example: Example) -> None:
    example.image.unlink()
    record, failure = prepare_record(learner, example, tmp_path / 'kept')
    assert failure is not None
    assert str(example.image) in record.error == failure['message']
    with pytest.raises(ValueError, match='No such file'):
        intact_records(learner, [Record(example, 'f', tmp_path / 'kept' / 'sub-01_f')])
    # Those with an error are passed over.
    assert intact_records(learner, [record]) == [record]


def test_unfinished(tmp_path: Path, learner: Counting, example: Example) -> None:
    left = tmp_path / 'kept' / '.unfinished-0123abcd'
    left.mkdir(parents=True)
    (left / 'letters.txt').write_text('AB')
    first = good(learner, example, tmp_path / 'kept')
    remove_unfinished(tmp_path / 'kept')
    assert list((tmp_path / 'kept').iterdir()) == [first.cache]


def test_kept(tmp_path: Path, log: Callable) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        (path / 'result').write_text((path / 'half').name)

    first = kept(tmp_path / 'step', {'seed': 1}, make)
    assert kept(tmp_path / 'step', {'seed': 1}, make) == first
    assert len(made) == 1
    # Not finished: what is there stays, so that it can be resumed.
    (first / 'checksums.json').unlink()
    (first / 'half').touch()
    kept(tmp_path / 'step', {'seed': 1}, make)
    assert (first / 'half').exists()
    assert log() == []
    # Damaged: nothing of it stays.
    flip(first / 'result')
    assert kept(tmp_path / 'step', {'seed': 1}, make) == first
    assert not (first / 'half').exists()
    assert log() == [f'{first}: result is missing or damaged, so it is made again']
    # Of other inputs: only the latest is kept.
    second = kept(tmp_path / 'step', {'seed': 2}, make)
    assert list((tmp_path / 'step').iterdir()) == [second]
    assert len(made) == 4


def test_checked(tmp_path: Path) -> None:
    content = {'weights': torch.tensor([1.0, 2.5]), 'log': [{'loss': 0.1}]}
    found = load_checked(save_checked(tmp_path / 'a.pt', content))
    assert found['weights'].tolist() == [1.0, 2.5]
    assert found['log'] == [{'loss': 0.1}]


@given(data=st.data())
@settings(max_examples=60)
def test_any_bit(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = save_checked(tmp_path_factory.getbasetemp() / 'bits.pt', {'a': torch.arange(9.0)})
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content[: data.draw(st.sampled_from([len(content), None, -1, 40]))]))
    with pytest.raises(DamagedError, match=r'bits\.pt: damaged'):
        load_checked(path)


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'bytes.pt'
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r'bytes\.pt: damaged'):
        load_checked(path)
