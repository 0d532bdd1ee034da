"""The list of a data set's images, by PyBIDS and its database."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.bids.names import EXTENSIONS, BidsError

if TYPE_CHECKING:
    from bids.layout import BIDSLayout

#: Up to this number of participants are looked up one by one: listing the whole data set takes
#: longer as soon as it holds a few hundred (docs/scale.md).
FEW = 50

_ANAT = r'(/ses-[^/]+)?(/anat(/[^/]+)?)?'


def list_images(
    bids_dir: Path,
    participants: list[str],
    database_dir: Path | None = None,
    *,
    make_database: bool = True,
) -> list[Path]:
    """List the anatomical images of some participants.

    PyBIDS reads the entities of a whole path, so that a data set below a folder such as
    ``sub-lab`` or ``me_run-2`` confuses it. It is asked only for what the end of a path decides;
    names are read by `tmsprep.bids.names`.

    For up to `FEW` participants the files of all others stay untouched, so that a job for three
    costs the same in a data set of ten and of a hundred thousand.

    Parameters
    ----------
    bids_dir : Path
        Absolute path of the data set.
    participants : list of str
        Labels without 'sub-', which must exist.
    database_dir : Path, optional
        Directory of a PyBIDS database of the whole data set, used if it exists.
    make_database : bool
        Make the database if it does not exist.

    Returns
    -------
    list of Path
        Files in ``sub-<label>/[ses-<label>/]anat`` that end in .nii or .nii.gz, sorted;
        broken links are among them.

    Raises
    ------
    BidsError
        If the database belongs to another data set.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        files: Iterable[Path]
        if database_dir is not None and (make_database or has_database(database_dir)):
            files = _from_database(bids_dir, participants, database_dir)
        elif len(participants) <= FEW:
            files = _one_by_one(bids_dir, participants)
        else:
            # Milliseconds for each participant of the data set, wanted or not.
            files = _index(bids_dir, rf'/sub-[^/]+{_ANAT}')
    wanted, anat = set(participants), re.compile(r'sub-([^/]+)(/ses-[^/]+)?/anat/[^/]+')
    found = ((anat.fullmatch(path.as_posix()), path) for path in files)
    return sorted(bids_dir / path for match, path in found if match and match[1] in wanted)


def _one_by_one(bids_dir: Path, participants: list[str]) -> Iterator[Path]:
    """Index each participant's folder as if it were a data set: a tenth of a second each."""
    for label in participants:
        yield from (f'sub-{label}' / path for path in _index(bids_dir / f'sub-{label}', _ANAT))


def _index(root: Path, wanted: str) -> list[Path]:
    """List images whose place below `root` matches a pattern, without reading any JSON."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    others = re.compile(f'^(?!{wanted}$)')
    indexer = BIDSLayoutIndexer(validate=False, ignore=[others], index_metadata=False)
    return _images(BIDSLayout(root, validate=False, indexer=indexer))


def _images(layout: BIDSLayout) -> list[Path]:
    """List all images of a layout, relative to its root."""
    files = layout.get(return_type='file', extension=list(EXTENSIONS))
    return [Path(file).relative_to(layout.root) for file in files]


def _from_database(bids_dir: Path, participants: list[str], database_dir: Path) -> list[Path]:
    layout = _open_database(bids_dir, database_dir)
    if len(participants) > FEW:
        return _images(layout)
    from bids.layout.models import BIDSFile, Tag

    # By path, the key of the table: PyBIDS' own query would read the record of every image.
    query = layout.session.query(BIDSFile.path).join(Tag, Tag.file_path == BIDSFile.path)
    query = query.filter(Tag.entity_name == 'extension', Tag._value.in_(EXTENSIONS))
    files = []
    for label in participants:
        folder = f'{layout.root}/sub-{label}'
        # '0' is the character after '/'.
        inside = query.filter(BIDSFile.path > f'{folder}/', BIDSFile.path < f'{folder}0')
        files += [Path(path).relative_to(layout.root) for (path,) in inside]
    return files


def has_database(folder: Path) -> bool:
    """Tell whether there is a PyBIDS database in a folder."""
    return (folder / 'layout_index.sqlite').is_file()


def _open_database(bids_dir: Path, database_dir: Path) -> BIDSLayout:
    """Open a database, made first if it does not exist.

    A new one is complete, with metadata, so that other BIDS apps can use it; it is made under a
    temporary name and renamed, so that parallel jobs never see a part of one.
    """
    from bids.layout import BIDSLayout

    if not has_database(database_dir):
        partial = database_dir.parent / f'.{uuid.uuid4().hex[:8]}.{database_dir.name}'
        BIDSLayout(bids_dir, validate=False, database_path=partial)
        _move_database(partial, database_dir)
    layout = BIDSLayout(bids_dir, validate=False, database_path=database_dir)
    # PyBIDS takes the data set from the database, whatever was asked for.
    if Path(layout.root).resolve() != bids_dir.resolve():
        raise BidsError(
            f'{database_dir}: this PyBIDS database is of {layout.root}, not of {bids_dir}. Give '
            'another --bids-database-dir, or delete it and it will be made again.'
        )
    return layout


def _move_database(partial: Path, database_dir: Path) -> None:
    """Move the files of a new database into place."""
    database_dir.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        file.replace(database_dir / file.name)
    partial.rmdir()
