"""File names of BIDS: what they say, and those of the derivatives."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tmsprep.text import printable

#: Keys of file names and what PyBIDS, and so a filter file, calls them.
ENTITIES = {
    'sub': 'subject',
    'ses': 'session',
    'sample': 'sample',
    'task': 'task',
    'acq': 'acquisition',
    'ce': 'ceagent',
    'stain': 'staining',
    'trc': 'tracer',
    'rec': 'reconstruction',
    'dir': 'direction',
    'run': 'run',
    'mod': 'modality',
    'echo': 'echo',
    'flip': 'flip',
    'inv': 'inv',
    'mt': 'mt',
    'part': 'part',
    'proc': 'proc',
    'hemi': 'hemisphere',
    'space': 'space',
    'recording': 'recording',
    'chunk': 'chunk',
}
EXTENSIONS = ('.nii', '.nii.gz')

#: Entities that the names of outputs add, or that only derivatives have.
OUTPUT_ENTITIES = (
    *('desc', 'protocol', 'label', 'hemi', 'from', 'to', 'mode', 'res', 'den', 'atlas'),
)
#: Names of the scanner frame, as values of the entity ``space``.
SCANNER_SPACES = ('T1w', 'individual', 'native', 'orig', 'scanner')
#: Longest name of an image without its suffix: names of outputs and temporary files are up to 100
#: characters longer, and file systems take 255 bytes.
MAX_STEM = 150

_LABEL = r'[a-zA-Z0-9+]+'
_WHAT = {'sub': 'participant', 'ses': 'session'}

#: Longest label of a participant or session: reports and records are named after it.
MAX_LABEL = 100
_NAME = re.compile(
    rf'(?P<stem>sub-{_LABEL}(?:_[a-z]+-{_LABEL})*)_(?P<suffix>[a-zA-Z0-9]+)(?P<extension>\.nii(?:\.gz)?)'
)


class BidsError(ValueError):
    """A data set, or a name in it, that cannot be used; the message names it and the cure."""


@dataclass(frozen=True)
class ImageRef:
    """Reference to one image of a data set: its file, and what its name says.

    Parameters
    ----------
    path : Path
        The file.
    relative_path : PurePosixPath
        The same from the data set's root, as a BIDS URI needs it.
    entities : dict
        Keys as in the file name ('sub', 'ses', 'acq', ...) and their labels, in the name's order;
        labels are text, so leading zeros stay.
    suffix : str
        'T1w', or what a filter asked for, such as 'UNIT1'.

    Examples
    --------
    >>> image = ImageRef.from_path(Path('/ds'), Path('/ds/sub-01/anat/sub-01_run-1_T1w.nii.gz'))
    >>> image.subject, image.stem, image.uri
    ('01', 'sub-01_run-1', 'bids:raw:sub-01/anat/sub-01_run-1_T1w.nii.gz')
    """

    path: Path
    relative_path: PurePosixPath
    entities: dict[str, str] = field(hash=False)
    suffix: str = 'T1w'

    @classmethod
    def from_path(cls, bids_dir: Path, path: Path) -> ImageRef:
        """Read everything from the file's name.

        Raises
        ------
        BidsError
            If the name breaks the rules of BIDS, contradicts the folder that holds it, is that of
            a derivative or of another frame than the scanner's, or leaves no room for those of
            outputs.
        """
        relative = PurePosixPath(path.relative_to(bids_dir).as_posix())
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise BidsError(
                f'{path}: not a BIDS file name. Labels may hold only the letters a-z, A-Z and '
                'digits (no space, accent, dash or underscore), and the name must read '
                'sub-<label>[_<entity>-<label>]_<suffix>.nii.gz. Rename the file and its folder.'
            )
        pairs = [part.split('-') for part in match['stem'].split('_')]
        entities = dict(pairs)
        if len(entities) < len(pairs):
            raise BidsError(f'{path}: an entity stands twice in the name. Rename the file.')
        _check_raw(path, entities)
        image = cls(path, relative, entities, match['suffix'])
        expected = image.folder / 'anat' / path.name
        if relative != expected:
            raise BidsError(
                f'{path}: by its name this file belongs at {expected} in the data set. '
                'Move or rename it, after making sure whose image it is.'
            )
        return image

    @property
    def subject(self) -> str:
        """The participant's label, without 'sub-'."""
        return self.entities['sub']

    @property
    def session(self) -> str | None:
        """The session's label, without 'ses-', if the name has one."""
        return self.entities.get('ses')

    @property
    def stem(self) -> str:
        """All entities of the name, such as ``sub-01_ses-A_run-1``, without the suffix."""
        return '_'.join(f'{key}-{label}' for key, label in self.entities.items())

    @property
    def folder(self) -> PurePosixPath:
        """``sub-01``, or ``sub-01/ses-A`` if the name has a session."""
        session = () if self.session is None else (f'ses-{self.session}',)
        return PurePosixPath(f'sub-{self.subject}', *session)

    @property
    def uri(self) -> str:
        """BIDS URI of the input; `write_dataset_description` says what 'raw' is."""
        return f'bids:raw:{self.relative_path}'


def _check_raw(path: Path, entities: Mapping[str, str]) -> None:
    """Refuse the name of an image that is no raw one, or leaves no room for names of outputs."""
    taken = [f'{key}-{entities[key]}' for key in OUTPUT_ENTITIES if key in entities]
    if taken:
        raise BidsError(
            f'{path}: {" and ".join(taken)} in its name marks a derivative, and outputs could not '
            'be told from it. If it is in the scanner frame, name it without; else give the raw '
            'image.'
        )
    space = entities.get('space', 'orig')
    if space not in SCANNER_SPACES:
        raise BidsError(
            f'{path}: by its name this image is in the space {space}, not in the scanner frame, '
            'and so would be the points. Give the raw image; or, if it is in the scanner frame, '
            'name it without space.'
        )
    stem = path.name.rpartition('_')[0]
    if len(stem) > MAX_STEM:
        raise BidsError(
            f'{path}: its name is too long for those of outputs ({len(stem)} characters before '
            f'the suffix, at most {MAX_STEM}). Shorten its labels.'
        )


def derivative_path(
    out_dir: Path,
    image: ImageRef,
    *,
    suffix: str,
    extension: str,
    desc: str | None = None,
    folder: str = 'anat',
    **entities: str,
) -> Path:
    """Name a derivative of one image.

    Parameters
    ----------
    out_dir : Path
        Root of the derivative data set.
    image : ImageRef
        The source; all entities of its name are kept, so no two images share an output.
    suffix, extension : str
        Such as 'targets' and '.tsv'.
    desc : str, optional
        The description, always the last entity, as BIDS orders them.
    folder : str
        'anat' or 'figures', below the participant and the session.
    **entities : str
        Further entities in their order; for Python's keyword write ``**{'from': 'T1w'}``.

    Returns
    -------
    Path
        Such as ``OUT/sub-01/ses-A/anat/sub-01_ses-A_desc-brain_mask.nii.gz``.

    Raises
    ------
    BidsError
        If the image's own name has one of the further entities already, or a label is invalid.
    """
    extra = dict(entities) if desc is None else {**entities, 'desc': desc}
    for key, label in extra.items():
        if key in image.entities:
            raise BidsError(
                f'{image.path}: its name has {key}-{image.entities[key]} already, where the '
                f'output {key}-{label} would go. Give the raw image a name without {key}.'
            )
        if not re.fullmatch(_LABEL, label):
            raise BidsError(f'{key}-{label}: not a BIDS label; use letters and digits only')
    stem = '_'.join([image.stem, *(f'{key}-{label}' for key, label in extra.items())])
    return Path(out_dir) / image.folder / folder / f'{stem}_{suffix}{extension}'


@dataclass(frozen=True)
class Layout:
    """Names of everything that one protocol writes into an output folder.

    The protocol is part of every name, so that protocols can share a folder.

    Parameters
    ----------
    out_dir : Path
        Root of the derivative data set.
    protocol : str
        Name of the protocol.

    Examples
    --------
    >>> layout = Layout(Path('out'), 'deep-nuclei')
    >>> layout.report('01').as_posix()
    'out/sub-01_protocol-deepnuclei.html'
    >>> layout.level('group', 'participants').as_posix()
    'out/group_protocol-deepnuclei_participants.tsv'
    """

    out_dir: Path
    protocol: str

    @property
    def label(self) -> str:
        """Value of the entity ``protocol``: the protocol's name in letters and digits."""
        return re.sub(r'[^a-zA-Z0-9]', '', self.protocol)

    def derivative(
        self,
        image: ImageRef,
        suffix: str,
        extension: str,
        *,
        desc: str | None = None,
        folder: str = 'anat',
        **entities: str,
    ) -> Path:
        """Name a derivative of one image; see `derivative_path`."""
        return derivative_path(
            self.out_dir,
            image,
            suffix=suffix,
            extension=extension,
            desc=desc,
            folder=folder,
            **{'protocol': self.label, **entities},
        )

    def table(self, image: ImageRef, desc: str, suffix: str = 'targets') -> Path:
        """Name a method's table of one image; its sidecar ends in ``.json``."""
        return self.derivative(image, suffix, '.tsv', desc=desc)

    def figure(self, image: ImageRef, desc: str, suffix: str = 'T1w') -> Path:
        """Name a figure of the report."""
        return self.derivative(image, suffix, '.svg', desc=desc, folder='figures')

    def head(self, image: ImageRef) -> Path:
        """Name the head that the viewer of the report shows."""
        return self.derivative(image, 'T1w', '.bin.gz', desc='viewer', folder='figures')

    def files(self, image: ImageRef, folder: str = 'anat') -> list[Path]:
        """List what lies in the folder 'anat' or 'figures' of one image, by name."""
        home = self.out_dir / image.folder / folder
        return sorted(home.glob(f'{image.stem}_protocol-{self.label}_*'))

    def navigation(self, image: ImageRef) -> Path:
        """Directory of the files for neuronavigators of one image; their names begin like it."""
        name = f'{image.stem}_protocol-{self.label}'
        return self.out_dir / image.folder / 'nav' / name

    def navigations(self, subject: str) -> list[Path]:
        """List the directories of files for neuronavigators of one participant, by name."""
        home = self.out_dir / f'sub-{subject}'
        return sorted(home.glob(f'**/nav/sub-{subject}_*protocol-{self.label}'))

    def report(self, subject: str) -> Path:
        """Name the report of one participant; `subject` is the label without 'sub-'."""
        return self.out_dir / f'sub-{subject}_protocol-{self.label}.html'

    def level(self, level: str, name: str = '', extension: str = '.tsv') -> Path:
        """Name a file of the level 'group', 'crossval' or 'train'."""
        parts = [level, f'protocol-{self.label}', *([name] if name else [])]
        return self.out_dir / ('_'.join(parts) + extension)

    def weights(self) -> Path:
        """Name the weights file that is trained; its model card ends in ``.md``."""
        name = re.sub(r'[^A-Za-z0-9-]+', '_', self.protocol)
        return self.out_dir / f'localizer_{name}.safetensors'

    def logs(self, subject: str) -> Path:
        """Directory of the error records of one participant, of all protocols."""
        return self.out_dir / 'logs' / f'sub-{subject}'

    def record(self, image: ImageRef, node: str) -> Path:
        """Name the error record of one step for one image; '*' for all steps."""
        name = f'{image.stem}_{image.suffix}_protocol-{self.label}_{node}.error.json'
        return self.logs(image.subject) / name

    def problems(self, subject: str) -> Path:
        """Name the record of what is wrong with the input files of one participant."""
        return self.logs(subject) / f'sub-{subject}_protocol-{self.label}_input.error.json'

    def records(self, subject: str) -> list[Path]:
        """List the error records of one participant, by name."""
        return sorted(self.logs(subject).glob(f'*_protocol-{self.label}_*.error.json'))


def check_label(label: str, key: str = 'sub') -> str:
    """Return a label that keeps the rule of BIDS.

    It becomes part of file names, of commands and of lists that other programs read.

    Raises
    ------
    BidsError
        If it holds anything but letters and digits, or too many; the message names the cure.
    """
    if _is_label(label):
        return label
    raise BidsError(
        f'{key}-{printable(label)}: not a BIDS label of a {_WHAT[key]}. Use only the letters a-z, '
        f'A-Z and digits (no space, quote, accent, dash or underscore), at most {MAX_LABEL}'
    )


def _is_label(label: str) -> bool:
    return len(label) <= MAX_LABEL and re.fullmatch(_LABEL, label) is not None


def labels_in(folder: Path, key: str) -> list[str]:
    """List the labels of the ``<key>-*`` folders inside one, in natural order.

    Parameters
    ----------
    folder : Path
        The data set for key 'sub', a participant's folder for key 'ses'.
    key : str
        'sub' or 'ses'.

    Returns
    -------
    list of str
        Those that keep the rule of BIDS; see `refused_labels`.
    """
    return sorted(filter(_is_label, _labels(folder, key)), key=natural_key)


def refused_labels(bids_dir: Path) -> dict[str, str]:
    """Name the folders ``sub-*`` of a data set whose label breaks the rule of BIDS.

    Returns
    -------
    dict
        The label, made safe to show, to a message with the cure.
    """
    refused = {}
    for label in sorted(_labels(bids_dir, 'sub')):
        try:
            check_label(label)
        except BidsError as error:
            refused[printable(label)] = (
                f'{error}, so this participant is left out. Rename the folder in {bids_dir} and '
                'its files, or move it out of the data set.'
            )
    return refused


def _labels(folder: Path, key: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name[len(key) + 1 :] for e in entries if _is_folder(e, f'{key}-')]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _is_folder(entry: os.DirEntry[str], prefix: str) -> bool:
    try:
        return entry.name.startswith(prefix) and entry.is_dir()
    except OSError:
        # A link into a folder that may not be entered, or to itself: reading it says so.
        return True


def may_be(path: Path, kind: Callable[[Path], bool]) -> bool:
    """Tell whether a path is of a kind, or may not be looked at: then reading it says why.

    Parameters
    ----------
    path : Path
        In a folder that perhaps may not be entered.
    kind : callable
        Such as ``Path.is_file``, which raises PermissionError there, and so would stop everybody.
    """
    try:
        return kind(path)
    except OSError:
        return True


def natural_key(text: str) -> list[tuple[int, int, str, str]]:
    """Sort 'sub-2' before 'sub-10'; equal numbers with more leading zeros come later."""
    return [_part_key(part) for part in re.split(r'(\d+)', text)]


def _part_key(part: str) -> tuple[int, int, str, str]:
    # Numbers by length and digits: of more than 4300 digits Python makes no number.
    digits = part.lstrip('0')
    return (1, len(digits), digits, part) if part.isdecimal() else (0, 0, part, '')


def shorten(names: list[str], most: int = 20) -> str:
    """Join names for a message, only the first ones if there are many."""
    rest = len(names) - most
    return ', '.join(names[:most]) + (f' and {rest} more' if rest > 0 else '')
