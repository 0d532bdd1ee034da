"""What earlier runs and other programs have made of an image, found by the names of files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

from tmsprep.bids.description import read_description
from tmsprep.bids.names import BidsError, ImageRef
from tmsprep.options import NamedPath
from tmsprep.text import printable

#: Names of programs beyond those that a dataset_description.json gives.
FREESURFER, CHARM = 'FreeSurfer', 'SimNIBS charm'

#: Volumes of FreeSurfer from which a brain mask is made, the best first.
_FREESURFER_MASKS = ('brainmask.mgz', 'aparc+aseg.mgz', 'aseg.mgz')

#: Its whole heads before their intensities were changed much, in the frame of all its volumes.
_FREESURFER_HEADS = ('orig.mgz', 'nu.mgz', 'T1.mgz')

#: Space of the coordinates that charm writes: SimNIBS warps against FSL's MNI152_T1_1mm.
CHARM_SPACE = 'MNI152NLin6Asym'

#: With more entities than this, only the whole name and the one without ``run`` are looked for.
_MOST_ENTITIES = 6


@dataclass(frozen=True)
class Earlier:
    """Files in one folder that were made from one image, by their names.

    Parameters
    ----------
    folder : str
        Label of the folder in BIDS URIs.
    tool : str
        Program and version, as far as the folder says.
    exact : bool
        Whether the names hold every entity of the image; else they may be those of another image.
    mask : str
        Brain mask, or labels from which one is made; '' if there is none.
    head : str
        T1w in the frame of the other files, by which they are told from those of another image.
    transforms : dict
        Template to two files: one moves points of the template to the T1w, the other one back.
    to_head : str
        Transform that resamples the image in the frame of `head`, where that is an average.
    average : bool
        Whether `head` is an average of several images, in a frame of its own.
    sidecars : list of str
        JSON files that say what the others were made from.
    uris : dict
        BIDS URI of each file to its path.
    """

    folder: str
    tool: str
    exact: bool
    mask: str = ''
    head: str = ''
    transforms: dict[str, list[str]] = field(default_factory=dict)
    to_head: str = ''
    average: bool = False
    sidecars: list[str] = field(default_factory=list)
    uris: dict[str, str] = field(default_factory=dict)


def label_folders(folders: Sequence[NamedPath]) -> dict[str, Path]:
    """Give each folder a label of its own for BIDS URIs; names that were given stay.

    Examples
    --------
    >>> folders = [NamedPath(Path('a/out')), NamedPath(Path('b/out')), NamedPath(Path('c'), 'fs')]
    >>> list(label_folders(folders))
    ['out', 'out-2', 'fs']
    """
    taken = {folder.name for folder in folders if folder.name} | {'raw'}
    labelled: dict[str, Path] = {}
    for folder in folders:
        label, number = folder.label, 1
        while not folder.name and label in taken:
            number += 1
            label = f'{folder.label}-{number}'
        taken.add(label)
        labelled[label] = folder.path
    return labelled


def find_earlier(
    image: ImageRef, folders: Sequence[NamedPath], protocol: str, spaces: Sequence[str]
) -> list[Earlier]:
    """Find what may have been made from an image, in the order of the folders.

    Parameters
    ----------
    image : ImageRef
        The input.
    folders : sequence of NamedPath
        Outputs of this package, of fMRIPrep or sMRIPrep, directories of subjects of FreeSurfer,
        folders with ``m2m_*`` of SimNIBS, or files named in BIDS' way.
    protocol : str
        Value of the entity ``protocol`` in names of this package's outputs.
    spaces : sequence of str
        Templates whose transforms are of use.
    """
    found = []
    for label, folder in label_folders(folders).items():
        stems = list(_stems(image))
        for made in (
            _in_bids(image, label, folder, stems, protocol, spaces),
            _in_freesurfer(image, label, folder, stems),
            _in_charm(image, label, folder, stems),
        ):
            if made is not None:
                found.append(made)
    return found


def _stems(image: ImageRef) -> Iterator[str]:
    """Yield names of an image with fewer and fewer entities.

    fMRIPrep leaves out ``run``, and of several images averaged all that differs between them.
    """
    others = [key for key in image.entities if key != 'sub']
    if len(others) > _MOST_ENTITIES:
        kept = [tuple(others), tuple(key for key in others if key != 'run')]
    else:
        kept = [some for n in range(len(others), -1, -1) for some in combinations(others, n)]
        # Of names with as many entities, first those without a run.
        kept.sort(key=lambda some: (-len(some), 'run' in some))
    for some in dict.fromkeys(kept):
        yield '_'.join(f'{key}-{image.entities[key]}' for key in ('sub', *some))


def _in_bids(
    image: ImageRef,
    label: str,
    folder: Path,
    stems: Sequence[str],
    protocol: str,
    spaces: Sequence[str],
) -> Earlier | None:
    """Look where a derivative data set has its files, and at the top of the folder."""
    homes = [folder / image.folder / 'anat', folder / f'sub-{image.subject}' / 'anat', folder]
    listed = {home: _listed(home) for home in homes}
    for stem in stems:
        names = [f'{stem}_protocol-{protocol}', stem] if stem == image.stem else [stem]

        def find(end: str, names: Sequence[str] = names) -> str:
            paths = (
                home / f'{name}_{end}'
                for name in names
                for home in homes
                if f'{name}_{end}' in listed[home]
            )
            return next((str(path) for path in paths if _readable(path)), '')

        mask = find('desc-brain_mask.nii.gz')
        pairs = {
            space: [find(f'from-{a}_to-{b}_mode-image_xfm.h5') for a, b in _ways(space)]
            for space in spaces
        }
        transforms = {space: pair for space, pair in pairs.items() if all(pair)}
        if not (mask or transforms):
            continue
        head = find('desc-preproc_T1w.nii.gz')
        to_head = _to_head(image, homes)
        paths = [mask, head, to_head, *(path for pair in transforms.values() for path in pair)]
        return Earlier(
            label,
            program_of(folder),
            stem == image.stem,
            mask,
            head,
            transforms,
            to_head,
            average=_averaged(image, homes, stem),
            sidecars=list(_sidecars(paths)),
            uris=_uris(label, folder, paths),
        )
    return None


def _readable(path: Path) -> bool:
    """Tell whether a file is there and may be read: others own it."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:
        return False


def _listed(home: Path) -> set[str]:
    """List a folder, once for hundreds of names; nothing if it may not be listed."""
    try:
        with os.scandir(home) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()


def _ways(space: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ('T1w', space), (space, 'T1w')


def _to_head(image: ImageRef, homes: Sequence[Path]) -> str:
    paths = (home / f'{image.stem}_from-orig_to-T1w_mode-image_xfm.txt' for home in homes)
    return next((str(path) for path in paths if _readable(path)), '')


def _averaged(image: ImageRef, homes: Sequence[Path], stem: str) -> bool:
    """Tell whether images were averaged under a name, each of which then has a transform."""
    kept = set(stem.split('_'))
    anats = (homes[0], homes[1], *homes[1].parent.glob('ses-*/anat'))
    pattern = f'sub-{image.subject}_*from-orig_to-T1w_mode-image_xfm.txt'
    return any(kept <= set(path.name.split('_')) for home in anats for path in home.glob(pattern))


def _sidecars(paths: Sequence[str]) -> Iterator[str]:
    for path in filter(None, paths):
        name = Path(path).name.removesuffix('.gz')
        sidecar = Path(path).with_name(name).with_suffix('.json')
        if _readable(sidecar):
            yield str(sidecar)


def _uris(label: str, folder: Path, paths: Sequence[str]) -> dict[str, str]:
    return {
        f'bids:{label}:{quote(Path(path).relative_to(folder).as_posix())}': path
        for path in filter(None, paths)
    }


def program_of(folder: Path) -> str:
    """Name the program, and its version, that has made a data set; '' if that does not say."""
    description = folder / 'dataset_description.json'
    try:
        programs = read_description(description).get('GeneratedBy')
        program = programs[0] if isinstance(programs, list) else {}
        parts = [str(program.get(key) or '') for key in ('Name', 'Version')]
    except (BidsError, IndexError, AttributeError):
        return ''
    return printable(' '.join(filter(None, parts))[:60])


def _subjects(image: ImageRef, stems: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield names that other programs give to a participant, and whether they are exact."""
    for stem in stems:
        yield stem, stem == image.stem
        yield stem.removeprefix('sub-'), stem == image.stem


def _first(home: Path, names: Sequence[str]) -> str:
    paths = (home / name for name in names)
    return next((str(path) for path in paths if _readable(path)), '')


def _in_freesurfer(
    image: ImageRef, label: str, folder: Path, stems: Sequence[str]
) -> Earlier | None:
    """Look into a directory of subjects, that of fMRIPrep, and the folder of one subject."""
    tops = (folder, folder / 'sourcedata' / 'freesurfer')
    homes = [(top / name, exact) for name, exact in _subjects(image, stems) for top in tops]
    for home, exact in [*homes, (folder, False)]:
        mask = _first(home / 'mri', _FREESURFER_MASKS)
        if mask:
            head = _first(home / 'mri', _FREESURFER_HEADS)
            uris = _uris(label, folder, [mask, head])
            return Earlier(label, FREESURFER, exact, mask, head, uris=uris)
    return None


def _in_charm(image: ImageRef, label: str, folder: Path, stems: Sequence[str]) -> Earlier | None:
    """Look for ``m2m_<name>``, at the top, in the participant's folder, or the folder itself."""
    tops = (folder, folder / image.folder, folder / f'sub-{image.subject}')
    homes = [
        (top / f'm2m_{name}', exact) for name, exact in _subjects(image, stems) for top in tops
    ]
    if folder.name.startswith('m2m_'):
        homes.append((folder, False))
    for home, exact in homes:
        mask = _first(home, ['final_tissues.nii.gz'])
        fields = [
            _first(home / 'toMNI', [f'{name}_nonl.nii.gz'])
            for name in ('MNI2Conform', 'Conform2MNI')
        ]
        if not (mask or all(fields)):
            continue
        head = _first(home, ['T1.nii.gz'])
        transforms = {CHARM_SPACE: fields} if all(fields) else {}
        paths = [mask, head, *(fields if transforms else ())]
        uris = _uris(label, folder, paths)
        return Earlier(label, CHARM, exact, mask, head, transforms, uris=uris)
    return None
