"""Assign files of annotated points to images."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tmsprep.bids.description import generated_by_tmsprep
from tmsprep.bids.filters import matches
from tmsprep.bids.names import (
    ENTITIES,
    MAX_LABEL,
    SCANNER_SPACES,
    BidsError,
    ImageRef,
    natural_key,
    shorten,
)
from tmsprep.formats.targets_tsv import read_rows
from tmsprep.methods import method_names

#: Name of a rater whose files have no desc-<rater>.
RATER = 'rater'

#: Value of desc of the decisions that a reviewer made in the viewer of a report.
_REVIEWED = 'reviewed'

#: Pattern of the label of an entity.
ENTITY_LABEL = r'[a-zA-Z0-9+]+'

_NAME = re.compile(
    rf'(?P<stem>sub-{ENTITY_LABEL}(?:_[a-z]+-{ENTITY_LABEL})*)(?:_(?P<suffix>[a-zA-Z0-9]+))?'
    r'(?P<extension>(?i:\.tsv|\.mrk\.json|\.fcsv|\.txt))'
)
# What the beginning of a file of points says, whatever its name is.
_SIGNS = {
    '.txt': re.compile(r'# *Coordinate system:|# *Target Name\t', re.IGNORECASE),
    '.json': re.compile(r'"markups"|markups-schema'),
    # The first line has the columns, in any order.
    '.tsv': re.compile(r'\A(?=.*\blabel\b)(?=.*\bx\b)(?=.*\by\b)(?=.*\bz\b)'),
}
_BEGINNING = 2000
_FORM = (
    'sub-<label>[_ses-<label>][_run-<index>]_desc-<rater>_targets.tsv (or .mrk.json, .fcsv, .txt)'
)


@dataclass(frozen=True)
class AnnotationFile:
    """A file of points, by one rater, of one image.

    Parameters
    ----------
    path : Path
        The file.
    image : ImageRef
        The image that the points were set in.
    rater : str
        Label of desc, or `RATER`.
    """

    path: Path
    image: ImageRef
    rater: str


class FoundAnnotations(NamedTuple):
    """The files of points below a folder.

    Parameters
    ----------
    files : list of AnnotationFile
        By image, in the order given, then by rater.
    problems : dict
        For each participant with something wrong, one message per problem.
    notes : list of str
        Messages about files that are not used without being wrong.
    """

    files: list[AnnotationFile]
    problems: dict[str, list[str]]
    notes: list[str]


def find_annotations(images: Mapping[str, Sequence[ImageRef]], folder: Path) -> FoundAnnotations:
    """Find files of points by their names; only tables with other names are opened.

    Parameters
    ----------
    images : mapping
        For each participant's label the images of this run.
    folder : Path
        Searched with all folders below it, hidden ones excepted. Files are named
        ``sub-<label>[_<entity>-<label>][_desc-<rater>]_targets.tsv`` (or ``.txt``); with
        ``.mrk.json`` or ``.fcsv`` the suffix is free and may be left out. All entities but desc
        and space must be the image's. A folder that cannot be entered is a problem of the
        participant it is named after.

    Raises
    ------
    BidsError
        If the folder is missing or holds no file of points at all, or if a folder that is no
        participant's cannot be entered.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BidsError(f'{folder}: no such folder of annotations')
    candidates, notes, closed = _candidates(folder)
    found = FoundAnnotations([], defaultdict(list), notes)
    for error in closed:
        _add_closed(error, folder, found)
    if not candidates and not found.problems:
        raise BidsError(f'{folder}: no file of points here. Name them {_FORM}. {" ".join(notes)}')
    chosen: dict[tuple[str, str], list[AnnotationFile]] = defaultdict(list)
    not_chosen = []
    for path in candidates:
        subject = _stem(path).split('_')[0].removeprefix('sub-')
        try:
            file = _assign(path, folder, images)
        except BidsError as error:
            found.problems[subject].append(str(error))
            continue
        if file is None:
            not_chosen.append(path.name)
        else:
            chosen[file.image.stem, file.rater].append(file)
    if not_chosen:
        notes.append(f'Files of participants or sessions not in this run: {shorten(not_chosen)}.')
    for files in chosen.values():
        _add(files, found)
    stems = [image.stem for several in images.values() for image in several]
    order = {stem: place for place, stem in enumerate(stems)}
    found.files.sort(key=lambda file: (order[file.image.stem], natural_key(file.rater)))
    return FoundAnnotations(found.files, dict(found.problems), notes)


def annotated_names(folder: Path) -> list[dict[str, str]]:
    """List what the names of the files of points say of their images.

    Parameters
    ----------
    folder : Path
        As for `find_annotations`.

    Returns
    -------
    list of dict
        Keys and labels ('sub', 'ses', ...) without desc and space, one for each image that the
        names tell apart. Of names of which one says less than another (``sub-01`` and
        ``sub-01_ses-A``) only the longer is given.
    """
    names: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in _candidates(Path(folder))[0]:
        pairs = dict(part.split('-', 1) for part in _stem(path).split('_'))
        own = ('desc', 'space', *(['protocol'] if _is_review(path) else []))
        name = {key: label for key, label in pairs.items() if key not in own}
        if name not in names[name['sub']]:
            names[name['sub']].append(name)
    return [
        name
        for several in names.values()
        for name in several
        if not any(name.items() < other.items() for other in several)
    ]


def _candidates(folder: Path) -> tuple[list[Path], list[str], list[OSError]]:
    """List files of points with good names, in natural order.

    Also notes on other files and own outputs, and the errors of folders that cannot be entered.
    """
    good, own, misnamed = [], [], []
    closed: list[OSError] = []
    for path in _walk(folder, closed):
        if not _looks_like_points(path):
            continue
        match = _NAME.fullmatch(path.name)
        if match is None or _has_other_suffix(match):
            misnamed.append(str(path.relative_to(folder)))
        elif _is_review(path):
            # The point list beside the table holds the same points.
            if path.suffix == '.tsv' or not _beside(path).is_file():
                good.append(path)
        elif is_own_output(path):
            own.append(str(path.relative_to(folder)))
        else:
            good.append(path)
    notes = []
    if misnamed:
        notes.append(
            f'Files in {folder} that look like points, but have no name of the form {_FORM}, and '
            f'are not used: {shorten(misnamed)}.'
        )
    if own:
        notes.append(
            f'Outputs of tmsprep itself in {folder} are not used as annotations: '
            f'{shorten(own)}. If a rater has corrected them, name the rater in desc-<rater>.'
        )
    return good, notes, closed


def _walk(folder: Path, closed: list[OSError]) -> list[Path]:
    """List all that is not hidden below a folder, in natural order."""
    found = []
    for home, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith('.')]
        found += [Path(home, name) for name in (*folders, *files) if not name.startswith('.')]
    return sorted(found, key=lambda path: natural_key(str(path)))


def _add_closed(error: OSError, folder: Path, found: FoundAnnotations) -> None:
    """Name a folder that cannot be entered, for its participant if it has one."""
    path = Path(error.filename or folder)
    message = f'{path}: cannot be entered ({error.strerror}). Check its permissions.'
    names = (part for part in path.relative_to(folder).parts if part.startswith('sub-'))
    subject = next(names, '').removeprefix('sub-')
    if not subject:
        raise BidsError(message)
    found.problems[subject].append(message)


def _has_other_suffix(match: re.Match[str]) -> bool:
    """Tell whether a file whose extension says little lacks the suffix that says what it is."""
    return match['extension'].lower() in ('.tsv', '.txt') and match['suffix'] != 'targets'


def _looks_like_points(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(('.mrk.json', '.fcsv')):
        return True
    if '_targets.' in name:
        # The sidecar of a table has its name.
        return not name.endswith('.json')
    sign = _SIGNS.get(path.suffix.lower())
    # To open a pipe would block.
    if sign is None or not path.is_file():
        return False
    try:
        with path.open(encoding='utf-8', errors='replace') as file:
            return sign.search(file.read(_BEGINNING)) is not None
    except OSError:
        return False


def _is_review(path: Path) -> bool:
    """Tell whether a reviewer saved a file of points in the viewer of a report, by its name."""
    entities = _stem(path).split('_')
    has_protocol = any(entity.startswith('protocol-') for entity in entities)
    return f'desc-{_REVIEWED}' in entities and has_protocol


def _beside(path: Path) -> Path:
    """Name the table that the viewer saves beside a point list."""
    return path.with_name(f'{path.name.partition(".")[0]}.tsv')


def _reviewers(path: Path) -> str:
    """Name the rater of a table of decisions by who made them, in letters and digits."""
    try:
        names = [row.get('reviewer', '') for _, row in read_rows(path, ('label',))]
    except ValueError:
        # Reading the points says what is wrong.
        names = []
    plain_names = (unicodedata.normalize('NFKD', name) for name in dict.fromkeys(names))
    label = ''.join(re.sub('[^a-zA-Z0-9]', '', name) for name in plain_names if name != 'n/a')
    return label[:MAX_LABEL] or _REVIEWED


def is_own_output(path: Path, others: Collection[str] = ()) -> bool:
    """Tell an output of this package by its name and by its data set.

    Parameters
    ----------
    path : Path
        A file whose name is one of BIDS.
    others : collection of str
        Values of the entity ``desc`` that are names of outputs, beyond those of all methods.
    """
    entities = dict(part.split('-', 1) for part in _stem(path).split('_') if '-' in part)
    desc = entities.get('desc', '')
    if desc == 'expert' and 'protocol' not in entities:
        # A rater may have this name; a table of this package never stands without its sidecar.
        own = path.with_suffix('.json').is_file()
    else:
        own = 'protocol' in entities or desc in {*method_names(), *others}
    return own and generated_by_tmsprep(path)


def _stem(path: Path) -> str:
    """All entities of a file's name, without its suffix, if there is one."""
    stem = path.name.partition('.')[0]
    home, _, last = stem.rpartition('_')
    return stem if '-' in last else home


def _entities(path: Path, stem: str) -> dict[str, str]:
    pairs = [part.split('-') for part in stem.split('_')]
    entities = dict(pairs)
    if len(entities) < len(pairs):
        raise BidsError(f'{path}: an entity stands twice in the name. Rename the file.')
    return entities


def _assign(
    path: Path, folder: Path, images: Mapping[str, Sequence[ImageRef]]
) -> AnnotationFile | None:
    """Find the image that a file belongs to; None if its participant or session was not chosen."""
    if _is_review(path):
        image = find_image(path, folder, images, ('desc', 'protocol'))
        return None if image is None else AnnotationFile(path, image, _reviewers(path))
    image = find_image(path, folder, images, ('desc',))
    rater = _entities(path, _stem(path)).get('desc', RATER)
    return None if image is None else AnnotationFile(path, image, rater)


def find_image(
    path: Path,
    folder: Path,
    images: Mapping[str, Sequence[ImageRef]],
    own: Collection[str],
    what: str = 'points',
) -> ImageRef | None:
    """Find the image that a file was annotated in, by the entities of its name.

    Parameters
    ----------
    path : Path
        The file, somewhere below `folder`.
    folder : Path
        Folder of the annotations.
    images : mapping
        For each participant's label the images of this run.
    own : collection of str
        Entities that belong to the file and not to its image.
    what : str
        What the file holds, in the plural.

    Returns
    -------
    ImageRef or None
        None if the participant or session exists but was not chosen.

    Raises
    ------
    BidsError
        If the name fits no image or several, or the file is not in the scanner frame.
    """
    entities = _entities(path, _stem(path))
    _check_folders(path, folder, entities)
    entities = {key: label for key, label in entities.items() if key not in own}
    space = entities.pop('space', 'T1w')
    if space not in SCANNER_SPACES:
        raise BidsError(
            f'{path}: these {what} are in the space {space}, not in the scanner frame of the '
            'image. Move them there and name the file without space.'
        )
    query = {ENTITIES.get(key, key): label for key, label in entities.items()}
    several = images.get(entities['sub'], ())
    fitting = [image for image in several if matches(image, query)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BidsError(
            f'{path}: its name fits several images: {_names(fitting)}. Add the entities '
            '(ses, acq, run, ...) of the image that was annotated.'
        )
    if _is_not_chosen(entities, images):
        return None
    if entities['sub'] not in images:
        raise BidsError(
            f'{path}: there is no sub-{entities["sub"]} in the data set. Correct the name, or '
            'take the file away.'
        )
    raise BidsError(
        f'{path}: no image of sub-{entities["sub"]} has all entities of its name; there are: '
        f'{_names(several) or "none"}. Correct the name, or choose images by --bids-filter-file.'
    )


def _check_folders(path: Path, folder: Path, entities: Mapping[str, str]) -> None:
    """Refuse a file in the folder of another participant or session than its name says."""
    for part in path.relative_to(folder).parts[:-1]:
        key, dash, label = part.partition('-')
        if dash and key in ('sub', 'ses') and entities.get(key) != label:
            raise BidsError(
                f'{path}: lies in the folder {part}, but its name says '
                f'{f"{key}-{entities[key]}" if key in entities else f"nothing of {key}"}. Find '
                'out which participant was annotated, and move or rename the file.'
            )


def _is_not_chosen(entities: Mapping[str, str], images: Mapping[str, Sequence[ImageRef]]) -> bool:
    """Tell whether the participant, or session, exists but was not chosen for this run."""
    anyone = next((image for several in images.values() for image in several), None)
    if anyone is None:
        return False
    root = anyone.path.parents[len(anyone.relative_path.parts) - 1]
    home = root / f'sub-{entities["sub"]}'
    if entities['sub'] not in images:
        return home.is_dir()
    sessions = {image.session for image in images[entities['sub']]}
    session = entities.get('ses')
    return session is not None and session not in sessions and (home / f'ses-{session}').is_dir()


def _names(images: Iterable[ImageRef]) -> str:
    return shorten([image.path.name for image in images])


def _add(files: list[AnnotationFile], found: FoundAnnotations) -> None:
    """Take the one file of an image and a rater, or none if there are several."""
    if len(files) == 1:
        found.files.append(files[0])
        return
    image, rater = files[0].image, files[0].rater
    found.problems[image.subject].append(
        f'{shorten([str(file.path) for file in files])}: several files of the points of '
        f'{image.path.name} by the rater {rater!r}, so none is used. Keep one, or name different '
        'raters by desc-<rater>.'
    )
