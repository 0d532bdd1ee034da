"""What is kept between runs: prepared examples, results of steps, and checkpoints.

Power failures and bad disks cut files or turn bits over, and clean-up jobs delete old files. So
all that is kept is read back with its checksums; what is damaged is named, and made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import shutil
import traceback
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tmsprep.atomic import atomic_path
from tmsprep.files import SEAL, broken_seal, remove_inside, seal
from tmsprep.learning.examples import Example, Record, fingerprint
from tmsprep.tables import read_json, write_json

if TYPE_CHECKING:
    from tmsprep.methods.learner import Learner

logger = logging.getLogger('tmsprep')

_FACTS = 'facts.json'

_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError)

#: Begins the names of folders that are not finished.
_UNFINISHED = '.unfinished-'

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(ValueError):
    """A kept file that is not as it was written; the message names it."""


def prepare_record(
    learner: Learner, example: Example, folder: Path
) -> tuple[Record, dict[str, str] | None]:
    """Prepare one example, or take what an earlier run prepared.

    A damaged file does not stop the training on the others.

    Parameters
    ----------
    learner : Learner
        Of the method.
    example : Example
        The image and its annotation.
    folder : Path
        Directory of all that is prepared. What is prepared has a folder of its own there, named by
        the content of the example's files.

    Returns
    -------
    tuple
        The record, and 'message' and 'traceback' if the example cannot be used.
    """
    content, cache = '', folder / example.name
    try:
        content = fingerprint(example, learner.version)
        cache = folder / f'{example.name}_{content[:12]}'
        facts = _intact_facts(cache)
        if facts is None:
            facts = _prepare(learner, example, content, cache)
    except Exception as error:
        text = str(error) or type(error).__name__
        mask = '' if example.mask is None else f' (mask: {example.mask})'
        named = any(str(path) in text for path in example.files)
        message = text if named else f'{example.image}{mask}: {text}'
        failure = {'message': message, 'traceback': traceback.format_exc()}
        return Record(example, content, cache, message), failure
    return Record(example, content, cache, facts=facts), None


def _intact_facts(cache: Path) -> dict[str, Any] | None:
    """Return the facts of an example that was prepared; None if it must be prepared again."""
    reason = broken_seal(cache)
    if not reason:
        return read_json(cache / _FACTS)
    if (cache / SEAL).exists():
        logger.warning('%s: %s, so it is prepared again', cache, reason)
    return None


def _prepare(learner: Learner, example: Example, content: str, cache: Path) -> dict[str, Any]:
    """Prepare beside the final place, so that steps that run at once see all of it or nothing."""
    unfinished = cache.with_name(f'{_UNFINISHED}{uuid.uuid4().hex[:8]}')
    unfinished.mkdir(parents=True)
    try:
        facts = learner.prepare(example, unfinished)
        if fingerprint(example, learner.version) != content:
            raise ValueError(
                f'{example.image}: it, or its mask, changed while it was read; start again when '
                'the copy is finished'
            )
        write_json(unfinished / _FACTS, facts)
        seal(unfinished)
        remove_inside(cache, cache.parent)
        unfinished.rename(cache)
    except OSError:
        # Another step may have prepared the same in the meantime.
        if broken_seal(cache):
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return read_json(cache / _FACTS)


def intact_records(learner: Learner, records: Iterable[Record]) -> list[Record]:
    """Check what was prepared, possibly long ago, and prepare what is damaged again.

    Raises
    ------
    ValueError
        If an image cannot be prepared again, or is not the one that was prepared.
    """
    checked = []
    for record in records:
        if not record.error and broken_seal(record.cache):
            again, _ = prepare_record(learner, record.example, record.cache.parent)
            if again.error:
                raise ValueError(again.error)
            check_unchanged(learner, [record])
            record = again
        checked.append(record)
    return checked


def check_unchanged(learner: Learner, records: Iterable[Record]) -> None:
    """Refuse to go on with images, or masks, that are others than when the run began.

    Raises
    ------
    ValueError
        With the file.
    """
    for record in records:
        if not record.error and fingerprint(record.example, learner.version) != record.fingerprint:
            raise ValueError(
                f'{record.example.image}: it, or its mask, has changed since the run began; start '
                'the same command again'
            )


def remove_unfinished(folder: Path) -> None:
    """Remove what killed runs left of preparing; no other run may be using the folder."""
    for path in folder.glob(f'{_UNFINISHED}*'):
        remove_inside(path, folder)


def kept(folder: Path, content: Any, make: Callable[[Path], None]) -> Path:
    """Return the directory of a step's result, which is made unless it is there and intact.

    Parameters
    ----------
    folder : Path
        Directory of the step; results with other content in it are deleted.
    content : Any
        All that the result depends on, JSON-ready.
    make : callable
        Makes the result in a directory. A damaged result is deleted before; one that is not
        finished is not, so that what makes it can resume.
    """
    text = json.dumps(content, sort_keys=True, default=str)
    path = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    reason = broken_seal(path)
    if not reason:
        return path
    if (path / SEAL).exists():
        logger.warning('%s: %s, so it is made again', path, reason)
        remove_inside(path, folder)
    for other in folder.glob('*'):
        if other != path and other.is_dir():
            remove_inside(other, folder)
    path.mkdir(parents=True, exist_ok=True)
    make(path)
    seal(path)
    return path


def save_checked(path: Path, content: Any) -> Path:
    """Write what Torch can save, followed by its checksum, whole or not at all.

    Torch itself does not check what it reads: a bit that has turned over is another weight.
    """
    stream = io.BytesIO()
    torch.save(content, stream)
    data = stream.getvalue()
    with atomic_path(path) as partial:
        partial.write_bytes(data + hashlib.sha256(data).digest())
    return path


def load_checked(path: Path, device: Any = 'cpu') -> Any:
    """Read what `save_checked` wrote.

    Raises
    ------
    DamagedError
        If it is not what was written.
    """
    try:
        content = Path(path).read_bytes()
        data, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            raise ValueError('its checksum is another')
        return torch.load(io.BytesIO(data), weights_only=True, map_location=device)
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        raise DamagedError(f'{path}: damaged ({error})') from error
