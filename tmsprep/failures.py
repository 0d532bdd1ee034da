"""Records of what went wrong, one JSON file per failure."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.running.machine import explain_shortage
from tmsprep.tables import read_json, write_json

logger = logging.getLogger(__name__)

#: Step under which a problem with a participant's files is recorded.
INPUT = 'input'


def record_error(
    layout: Layout,
    image: ImageRef,
    node: str,
    error: Mapping[str, str] | None,
    node_dir: Path | None = None,
) -> None:
    """Write the record of a failure, or delete that of an earlier run.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The input.
    node : str
        Name of the step.
    error : mapping or None
        'message' and 'traceback'; None if there was no failure.
    node_dir : Path, optional
        Working directory of the step, if the next run must delete it so that the step is
        repeated.
    """
    path = layout.record(image, node)
    if error is None:
        path.unlink(missing_ok=True)
        return
    again = {} if node_dir is None else {'node_dir': str(node_dir)}
    write_json(path, {'node': node, 'image': image.path.name, 'cure': '', **error, **again})


def record_problems(layout: Layout, subject: str, problems: Iterable[str]) -> None:
    """Replace the record of what is wrong with a participant's files."""
    path = layout.problems(subject)
    message = '\n'.join(problems)
    if not message:
        path.unlink(missing_ok=True)
        return
    write_json(path, {'node': INPUT, 'image': '', 'message': message, 'cure': '', 'traceback': ''})


def read_records(layout: Layout, subject: str) -> list[dict[str, Any]]:
    """Read the records of one participant and protocol, in the order of their names."""
    return [json.loads(path.read_text(encoding='utf-8')) for path in layout.records(subject)]


def forget_failed_nodes(layout: Layout, work_dir: Path, image: ImageRef) -> None:
    """Delete what failed earlier, so that Nipype repeats it instead of using its cache.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    work_dir : Path
        Nothing outside of it is deleted but the records.
    image : ImageRef
        The input.
    """
    pattern = layout.record(image, '*')
    for path in pattern.parent.glob(pattern.name):
        node_dir = Path(read_json(path).get('node_dir', ''))
        if node_dir.is_absolute() and node_dir.is_relative_to(work_dir):
            shutil.rmtree(node_dir, ignore_errors=True)
        path.unlink(missing_ok=True)


def record_crashes(
    folder: Path, layout: Layout, images: Mapping[str, ImageRef]
) -> list[tuple[ImageRef, str]]:
    """Turn Nipype's crash files into records.

    Parameters
    ----------
    folder : Path
        Directory of the crash files.
    layout : Layout
        Names of the outputs.
    images : mapping
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
            logger.error('a step failed that belongs to no image; see %s', path)
            continue
        work = re.search(r'^Working directory: (.+)', text, re.MULTILINE)
        folders = [layout.out_dir, *([Path(work[1].strip())] if work else [])]
        message = explain_shortage(crash_message(text), folders)
        record_error(layout, image, parts[-1], {'message': message, 'traceback': text})
        crashes.append((image, message))
    return crashes


def crash_message(text: str) -> str:
    """Return the last exception of a crash file, without the name of its class."""
    raised = re.findall(r'^[\t ]*[\w.]*(?:Error|Exception|Exit|Interrupt): (.*)$', text, re.M)
    return raised[-1].strip() if raised else text.strip().splitlines()[-1]
