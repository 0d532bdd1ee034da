"""Records of what went wrong, one JSON file per failure."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from tmsprep.atomic import write_text
from tmsprep.bids.names import ImageRef
from tmsprep.running.machine import explain_shortage

logger = logging.getLogger(__name__)

INPUT = 'input'
"""Name under which a problem with a participant's files is recorded."""


def record_path(out_dir: Path, image: ImageRef, node: str) -> Path:
    """Where the record of an image's failed node lies."""
    return logs_of(out_dir, image.subject) / f'{image.stem}_{image.suffix}_{node}.error.json'


def logs_of(out_dir: Path, subject: str) -> Path:
    """Folder of one participant's records."""
    return out_dir / 'logs' / f'sub-{subject}'


def record_error(
    out_dir: Path,
    image: ImageRef,
    node: str,
    error: dict[str, str] | None,
    node_dir: Path | None = None,
) -> None:
    """Write the record of a failure, or remove the one of an earlier run.

    Parameters
    ----------
    out_dir : Path
        Folder of all derivatives.
    image : ImageRef
        Whose node it is.
    node : str
        Its name.
    error : dict or None
        'message' and 'traceback'; None if there was no failure.
    node_dir : Path, optional
        The node's working folder, if the next run must delete it so that the node is tried again.
    """
    path = record_path(out_dir, image, node)
    if error is None:
        path.unlink(missing_ok=True)
        return
    again = {} if node_dir is None else {'node_dir': str(node_dir)}
    record = {'node': node, 'image': image.path.name, 'cure': '', **error, **again}
    write_text(path, json.dumps(record, indent=1))


def record_problems(out_dir: Path, subject: str, problems: Iterable[str]) -> None:
    """Replace the record of what is wrong with a participant's files."""
    path = logs_of(out_dir, subject) / f'sub-{subject}_{INPUT}.error.json'
    message = '\n'.join(problems)
    if not message:
        path.unlink(missing_ok=True)
        return
    record = {'node': INPUT, 'image': '', 'message': message, 'cure': '', 'traceback': ''}
    write_text(path, json.dumps(record, indent=1))


def read_records(out_dir: Path, subject: str) -> list[dict[str, str]]:
    """All records of one participant, in the order of their names."""
    paths = sorted(logs_of(out_dir, subject).glob('*.error.json'))
    return [json.loads(path.read_text(encoding='utf-8')) for path in paths]


def forget_failed_nodes(out_dir: Path, work_dir: Path, image: ImageRef) -> None:
    """Delete what failed earlier, so that Nipype tries it again instead of using its cache.

    Parameters
    ----------
    out_dir, work_dir : Path
        Of the run; nothing outside of `work_dir` is deleted.
    image : ImageRef
        Whose nodes to forget.
    """
    pattern = f'{image.stem}_{image.suffix}_*.error.json'
    for path in logs_of(out_dir, image.subject).glob(pattern):
        record = json.loads(path.read_text(encoding='utf-8'))
        node_dir = Path(record.get('node_dir', ''))
        if node_dir.is_absolute() and node_dir.is_relative_to(work_dir):
            shutil.rmtree(node_dir, ignore_errors=True)
        path.unlink(missing_ok=True)


def record_crashes(
    folder: Path, out_dir: Path, images: dict[str, ImageRef]
) -> list[tuple[ImageRef, str]]:
    """Turn Nipype's crash files into records.

    Parameters
    ----------
    folder : Path
        Where Nipype left them.
    out_dir : Path
        Folder of all derivatives.
    images : dict
        Name of an image's workflow to the image.

    Returns
    -------
    list of tuple
        Image and message of each crash.
    """
    crashes = []
    for path in sorted(folder.glob('crash-*.txt')):
        text = path.read_text(encoding='utf-8', errors='replace')
        node = re.search(r'^Node: (\S+)', text, re.MULTILINE)
        parts = node[1].split('.') if node else []
        image = next((images[part] for part in parts if part in images), None)
        if image is None:
            logger.error('a node failed that belongs to no image; see %s', path)
            continue
        work = re.search(r'^Working directory: (.+)', text, re.MULTILINE)
        folders = [out_dir, *([Path(work[1].strip())] if work else [])]
        message = explain_shortage(crash_message(text), folders)
        record_error(out_dir, image, parts[-1], {'message': message, 'traceback': text})
        crashes.append((image, message))
    return crashes


def crash_message(text: str) -> str:
    """Return the last exception of a crash file, without the name of its class."""
    raised = re.findall(r'^[\t ]*[\w.]*(?:Error|Exception|Exit|Interrupt): (.*)$', text, re.M)
    return raised[-1].strip() if raised else text.strip().splitlines()[-1]
