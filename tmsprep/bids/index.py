"""The list of a data set's images, by PyBIDS and its database."""

from __future__ import annotations

import re
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.bids.names import EXTENSIONS, BidsError

if TYPE_CHECKING:
    from bids.layout import BIDSLayout


def list_images(
    bids_dir: Path, participants: list[str], database_dir: Path | None = None
) -> list[Path]:
    """List the anatomical images of some participants.

    PyBIDS reads the entities of a whole path, so that a data set below a folder such as
    ``sub-lab`` or ``me_run-2`` confuses it. It is asked only for what the end of a path decides;
    names are read by `tmsprep.bids.names`.

    Parameters
    ----------
    bids_dir : Path
        Absolute path of the data set.
    participants : list of str
        Labels without 'sub-'.
    database_dir : Path, optional
        Folder of a PyBIDS database of the whole data set, used if it is there, made if not.

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
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if database_dir is None:
            layout = _index(bids_dir, participants)
        else:
            layout = _open_database(bids_dir, database_dir)
        files = layout.get(return_type='file', extension=list(EXTENSIONS))
    relative = [Path(file).relative_to(layout.root) for file in files]
    anat = _anat_pattern(participants)
    return sorted(bids_dir / path for path in relative if anat.fullmatch(f'/{path.as_posix()}'))


def _anat_pattern(participants: list[str]) -> re.Pattern[str]:
    """Match the participants' anat folders, what is in them and the folders on the way."""
    people = '|'.join(re.escape(label) for label in participants)
    return re.compile(rf'/sub-({people})(/ses-[^/]+)?(/anat(/[^/]+)?)?')


def _index(bids_dir: Path, participants: list[str]) -> BIDSLayout:
    """Index only what is asked for, without reading any JSON: milliseconds per participant."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    others = re.compile(f'^(?!{_anat_pattern(participants).pattern}$)')
    indexer = BIDSLayoutIndexer(validate=False, ignore=[others], index_metadata=False)
    return BIDSLayout(bids_dir, validate=False, indexer=indexer)


def _open_database(bids_dir: Path, database_dir: Path) -> BIDSLayout:
    """Open a database, after making it if need be.

    A new one is complete, with metadata, so that other BIDS apps can use it; it is made beside
    its place and renamed, so that parallel jobs never see half of one.
    """
    from bids.layout import BIDSLayout

    if not (database_dir / 'layout_index.sqlite').is_file():
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
