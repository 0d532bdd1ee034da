"""The list of a data set's images, and PyBIDS' database of it."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tmsprep.bids.names import EXTENSIONS, BidsError, shorten
from tmsprep.text import parse_json, printable, read_text

if TYPE_CHECKING:
    from bids.layout import BIDSLayout

logger = logging.getLogger('tmsprep')

#: Up to this number of participants are looked up one by one in a database.
FEW = 50

_ANAT = re.compile(r'sub-([^/]+)(/ses-[^/]+)?/anat/[^/.][^/]*')
# PyBIDS reads a file of this name in every folder, as settings of its own.
_NO_SETTINGS = f'{uuid.uuid4().hex}.json'
_KINDS = {
    stat.S_IFIFO: 'a pipe',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
}


class Listing(NamedTuple):
    """Anatomical images of some participants.

    Parameters
    ----------
    files : list of Path
        Files in ``sub-<label>/[ses-<label>/]anat`` that end in .nii or .nii.gz, sorted; broken
        links are among them, and what is no regular file (see `special`).
    problems : dict
        For each participant with a folder that cannot be read, one message per folder.
    """

    files: list[Path]
    problems: dict[str, list[str]]


def list_images(
    bids_dir: Path,
    participants: list[str],
    database_dir: Path | None = None,
    *,
    make_database: bool = True,
) -> Listing:
    """List the anatomical images of some participants.

    The folders of all others stay untouched, so that a job for three costs the same in a data set
    of ten and of a hundred thousand, and nothing is opened. Names are read by
    `tmsprep.bids.names`: PyBIDS reads the entities of a whole path, so that a data set below a
    folder such as ``sub-lab`` or ``me_run-2`` confuses it.

    Parameters
    ----------
    bids_dir : Path
        Absolute path of the data set.
    participants : list of str
        Labels without 'sub-'.
    database_dir : Path, optional
        Directory of a PyBIDS database of the whole data set, used if it exists.
    make_database : bool
        Whether the database is made if it does not exist. It is made of the whole data set,
        whoever the participants are.

    Raises
    ------
    BidsError
        If the database belongs to another data set.
    """
    if database_dir is not None and (has_database(database_dir) or make_database):
        layout = _open_database(bids_dir, database_dir)
        if layout is not None:
            return Listing(_from_database(bids_dir, participants, layout), {})
    files: list[Path] = []
    problems: dict[str, list[str]] = {}
    for label in participants:
        found, unreadable = _scan(bids_dir / f'sub-{label}')
        files += found
        if unreadable:
            problems[label] = unreadable
    return Listing(sorted(files), problems)


def _scan(home: Path) -> tuple[list[Path], list[str]]:
    """List the images of one participant, and say which folders cannot be read."""
    problems: list[str] = []
    sessions = [path for path in _entries(home, problems) if path.name.startswith('ses-')]
    folders = [home / 'anat', *(path / 'anat' for path in sessions)]
    found = [path for folder in folders for path in _entries(folder, problems)]
    return [path for path in found if _is_image(path)], problems


def _entries(folder: Path, problems: list[str]) -> Iterator[Path]:
    try:
        names = sorted(Path(entry) for entry in os.scandir(folder))
        if not os.access(folder, os.X_OK):
            # The names can be listed, and nothing else.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        yield from names
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        problems.append(
            f'{folder}: this folder cannot be read ({error.strerror}). Check its permissions '
            '(a folder needs r and x), or the link.'
        )


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith('.')
    return not hidden and path.name.endswith(EXTENSIONS) and not os.path.isdir(path)  # noqa: PTH112


def special(path: Path) -> str:
    """Say what a file is that cannot be read as one, '' for others.

    Opening a pipe waits for ever, and reading a device never ends.
    """
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), '')
    except OSError:
        # Reading it says why.
        return ''


def _from_database(bids_dir: Path, participants: list[str], layout: BIDSLayout) -> list[Path]:
    """List images of a database, which knows them relative to the root of its own."""
    from bids.layout.models import BIDSFile, Tag

    # By path, the key of the table: PyBIDS' own query would read the record of every image.
    query = layout.session.query(BIDSFile.path).join(Tag, Tag.file_path == BIDSFile.path)
    query = query.filter(Tag.entity_name == 'extension', Tag._value.in_(EXTENSIONS))
    if len(participants) > FEW:
        paths = [path for (path,) in query]
    else:
        paths = []
        for label in participants:
            folder = f'{layout.root}/sub-{label}'
            # '0' is the character after '/'.
            inside = query.filter(BIDSFile.path > f'{folder}/', BIDSFile.path < f'{folder}0')
            paths += [path for (path,) in inside]
    wanted = set(participants)
    relative = (Path(path).relative_to(layout.root) for path in paths)
    matches = ((_ANAT.fullmatch(path.as_posix()), path) for path in relative)
    return sorted(bids_dir / path for match, path in matches if match and match[1] in wanted)


def has_database(folder: Path) -> bool:
    """Tell whether there is a PyBIDS database in a folder."""
    return (folder / 'layout_index.sqlite').is_file()


def _open_database(bids_dir: Path, database_dir: Path) -> BIDSLayout | None:
    """Open a database, made first if it does not exist; None if PyBIDS cannot make it.

    Raises
    ------
    BidsError
        If it belongs to another data set.
    """
    from bids.layout import BIDSLayout

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if not has_database(database_dir) and not _make_database(bids_dir, database_dir):
            return None
        layout = BIDSLayout(bids_dir, validate=False, database_path=database_dir)
    # PyBIDS takes the data set from the database, whatever was asked for.
    if Path(layout.root).resolve() != bids_dir.resolve():
        raise BidsError(
            f'{database_dir}: this PyBIDS database is of {layout.root}, not of {bids_dir}. Give '
            'another --bids-database-dir, or delete it and it will be made again.'
        )
    return layout


def _make_database(bids_dir: Path, database_dir: Path) -> bool:
    """Make a database of a data set, but for what PyBIDS cannot read.

    It is complete, with metadata, so that other BIDS apps can use it; it is made under a
    temporary name and renamed, so that parallel jobs never see a part of one.
    """
    from bids.layout import BIDSLayout, BIDSLayoutIndexer
    from bids.layout.validation import DEFAULT_LOCATIONS_TO_IGNORE

    left_out = _Unreadable(bids_dir)
    indexer = BIDSLayoutIndexer(
        ignore=[*DEFAULT_LOCATIONS_TO_IGNORE, left_out], config_filename=_NO_SETTINGS
    )
    partial = database_dir.parent / f'.{uuid.uuid4().hex[:8]}.{database_dir.name}'
    try:
        BIDSLayout(bids_dir, validate=False, database_path=partial, indexer=indexer)
        _move_database(partial, database_dir)
    except Exception as error:
        # Whatever PyBIDS stumbles over in the files of one participant.
        logger.warning('%s: PyBIDS made no database, so none is used (%s)', database_dir, error)
        return False
    if left_out.names:
        logger.warning(
            '%s: without what PyBIDS cannot read: %s', database_dir, shorten(left_out.names)
        )
    return True


class _Unreadable:
    """What PyBIDS is told to leave out, in the form of a pattern: it would wait, loop or stop.

    Parameters
    ----------
    root : Path
        The data set.
    """

    def __init__(self, root: Path) -> None:
        self.names: list[str] = []
        self._root = root
        self._folders: dict[Path, Path] = {}

    def search(self, path: str) -> bool:
        """Tell whether to leave out a file or folder; `path` starts with '/' at the root."""
        left_out = self._is_unreadable(path)
        if left_out:
            self.names.append(printable(path[1:]))
        return left_out

    def _is_unreadable(self, path: str) -> bool:
        file = self._root / path[1:]
        if special(file) or not path.isprintable():
            return True
        try:
            if stat.S_ISDIR(file.stat().st_mode):
                return self._is_closed(file)
            return path.endswith('.json') and not isinstance(parse_json(read_text(file)), dict)
        except FileNotFoundError:
            # A link whose content has not been fetched.
            return False
        except (OSError, ValueError):
            return True

    def _is_closed(self, folder: Path) -> bool:
        """Tell whether a folder may not be entered, or is known by another name, as in a loop."""
        first = self._folders.setdefault(folder.resolve(), folder)
        return first != folder or not os.access(folder, os.R_OK | os.X_OK)


def _move_database(partial: Path, database_dir: Path) -> None:
    """Move the files of a new database into place."""
    database_dir.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        file.replace(database_dir / file.name)
    partial.rmdir()
