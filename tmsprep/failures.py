"""Records of what went wrong, one JSON file per failure."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.running.machine import explain_shortage
from tmsprep.tables import write_json
from tmsprep.text import parse_json, read_text

logger = logging.getLogger(__name__)

#: Step under which a problem with a participant's files is recorded.
INPUT = 'input'

#: Step that runs after the tables are written.
_FIGURES = 'figures'

#: Largest record that is read, bytes: ten thousand lines of traceback.
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class ErrorRecord:
    """A step that failed.

    Parameters
    ----------
    node : str
        Name of the step.
    image : str
        File name of the image; '' if it concerns the whole participant.
    message : str
        What happened, with the file.
    cure : str
        Further advice.
    traceback : str
        Where it happened.
    tables_written : bool
        Whether the run went on and wrote the tables, in which the method is ``failed``.
    """

    node: str
    image: str = ''
    message: str = ''
    cure: str = ''
    traceback: str = ''
    tables_written: bool = False

    @property
    def tables_are_older(self) -> bool:
        """Whether the step stopped its run before the tables were written.

        The figures come after the tables.
        """
        return not self.tables_written and self.node != _FIGURES

    @property
    def figures_are_older(self) -> bool:
        """Whether the step stopped its run before all figures were drawn."""
        return not self.tables_written


def record_error(
    layout: Layout,
    image: ImageRef,
    node: str,
    error: Mapping[str, str] | None,
    *,
    tables_written: bool = False,
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
    tables_written : bool
        See `ErrorRecord`.
    """
    path = layout.record(image, node)
    if error is None:
        path.unlink(missing_ok=True)
        return
    record = ErrorRecord(node, image.path.name, **error, tables_written=tables_written)
    write_json(path, asdict(record))


def record_problems(layout: Layout, subject: str, problems: Iterable[str]) -> None:
    """Replace the record of what is wrong with a participant's files."""
    path = layout.problems(subject)
    message = '\n'.join(problems)
    if not message:
        path.unlink(missing_ok=True)
        return
    write_json(path, asdict(ErrorRecord(INPUT, message=message)))


def read_records(layout: Layout, subject: str) -> list[ErrorRecord]:
    """Read the records of one participant and protocol, in the order of their names.

    One that cannot be read counts as the failure of the step in its name.
    """
    return [_read_record(layout, path) for path in layout.records(subject)]


def _read_record(layout: Layout, path: Path) -> ErrorRecord:
    try:
        return read_record(path)
    except ValueError as error:
        # The image is in the name, without its extension.
        image, _, rest = path.name.partition(f'_protocol-{layout.label}_')
        stem, _, suffix = image.rpartition('_')
        name = '' if '-' in suffix or not stem else image
        return ErrorRecord(rest.removesuffix('.error.json'), name, str(error))


def read_record(path: Path) -> ErrorRecord:
    """Read one record.

    Raises
    ------
    ValueError
        If it is damaged or no record; the message names the file and the cure.
    """
    again = 'start the participant level again, which replaces it'
    try:
        content = parse_json(read_text(path, _MOST_BYTES))
        kinds = {name: type(value) for name, value in asdict(ErrorRecord('')).items()}
        wrong = [n for n, kind in kinds.items() if not isinstance(content.get(n, kind()), kind)]
        if wrong:
            raise ValueError(f'{wrong[0]!r} is of another kind')
        return ErrorRecord(**{'node': ''} | {n: content[n] for n in kinds if n in content})
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(
            f'{path}: this record of an earlier failure cannot be read ({error}); {again}'
        ) from error


def forget_records(layout: Layout, image: ImageRef) -> bool:
    """Delete the records of one image, before its steps are repeated.

    Returns
    -------
    bool
        Whether there were any.
    """
    pattern = layout.record(image, '*')
    found = sorted(pattern.parent.glob(pattern.name))
    for path in found:
        _delete(path)
    return bool(found)


def forget_useless_records(layout: Layout, subject: str, bids_dir: Path) -> None:
    """Name and delete the records of a participant that no run would replace.

    They cannot be read, or are of an image that the data set holds no longer.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    subject : str
        Label of the participant, without ``sub-``.
    bids_dir : Path
        The data set.
    """
    for path in layout.records(subject):
        try:
            image = read_record(path).image
        except ValueError as error:
            logger.warning('%s', error)
        else:
            if not image or _is_there(bids_dir, subject, image):
                continue
            logger.warning('%s: deleted, as the data set holds no %s', path, image)
        _delete(path)


def _is_there(bids_dir: Path, subject: str, image: str) -> bool:
    """Tell whether the data set holds an image, or a link to one, at the place for its name."""
    session = re.search(r'_(ses-[^_]+)_', image)
    folder = Path(f'sub-{subject}', *([session[1]] if session else []), 'anat')
    return os.path.lexists(bids_dir / folder / Path(image).name)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # Nothing of ours: it only stands in the way.
        path.rename(path.with_name(f'{path.name}.old'))
    else:
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
