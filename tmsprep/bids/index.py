"""The list of a data set's images, by PyBIDS and its database."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.bids.names import EXTENSIONS, BidsError

if TYPE_CHECKING:
    from bids.layout import BIDSLayout

FEW = 50
"""So many people are looked up one by one: a list of the whole data set would cost more as soon as
it holds a few hundred (our choice)."""

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

    Of up to `FEW` participants nobody else's files are touched, so that a job for three people
    costs the same in a data set of ten and of a hundred thousand.

    Parameters
    ----------
    bids_dir : Path
        Absolute path of the data set.
    participants : list of str
        Labels without 'sub-', of people who are there.
    database_dir : Path, optional
        Folder of a PyBIDS database of the whole data set, used if it is there.
    make_database : bool
        Make it if it is not there.

    Returns
    -------
    list of Path
        Files in ``sub-<label>/[ses-<label>/]anat`` that end in .nii or .nii.gz, sorted. Links
        that lead nowhere are among them.

    Raises
    ------
    BidsError
        If the database belongs to another data set.
    """
    use_database = database_dir is not None and (make_database or has_database(database_dir))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if use_database:
            files = _from_database(bids_dir, participants, database_dir)
        elif len(participants) <= FEW:
            files = _one_by_one(bids_dir, participants)
        else:
            # Milliseconds for each person in the data set, wanted or not.
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
    """All images of a layout, from its root on."""
    files = layout.get(return_type='file', extension=list(EXTENSIONS))
    return [Path(file).relative_to(layout.root) for file in files]


def _from_database(bids_dir: Path, participants: list[str], database_dir: Path) -> list[Path]:
    layout = _open_database(bids_dir, database_dir)
    if len(participants) > FEW:
        return _images(layout)
    from bids.layout.models import BIDSFile, Tag

    # By places, which are the table's key: PyBIDS' own query would read every image's record.
    query = layout.session.query(BIDSFile.path).join(Tag, Tag.file_path == BIDSFile.path)
    query = query.filter(Tag.entity_name == 'extension', Tag._value.in_(EXTENSIONS))
    files = []
    for label in participants:
        home = f'{layout.root}/sub-{label}'
        # '0' is what comes after '/'.
        inside = query.filter(BIDSFile.path > f'{home}/', BIDSFile.path < f'{home}0')
        files += [Path(path).relative_to(layout.root) for (path,) in inside]
    return files


def has_database(folder: Path) -> bool:
    """Tell whether there is a PyBIDS database in a folder."""
    return (folder / 'layout_index.sqlite').is_file()


def _open_database(bids_dir: Path, database_dir: Path) -> BIDSLayout:
    """Open a database, after making it if need be.

    A new one is complete, with metadata, so that other BIDS apps can use it; it is made beside
    its place and renamed, so that parallel jobs never see half of one.
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
    """Rename a new database into place, unless another job was faster."""
    database_dir.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        file.replace(database_dir / file.name)
    partial.rmdir()
