"""The arguments that are no options: folders and the analysis level."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from tmsprep.bids.description import RAW
from tmsprep.bids.foreign import CONVERSIONS
from tmsprep.bids.names import EXTENSIONS
from tmsprep.config import CONFIGS
from tmsprep.intake import Kind, kind_of
from tmsprep.options import Option
from tmsprep.text import shown

#: How a single image is given.
IMAGE_FORM = 'tmsprep IMAGE OUT_DIR'

#: The level at which an image can stand in place of a data set.
_OF_IMAGES = 'participant'

_PATH = Option('path', '', Path)


class Places(NamedTuple):
    """What a command line says besides options.

    Parameters
    ----------
    level : str
        Analysis level.
    folders : dict
        Name of a setting to the path given for it; see `tmsprep.config.RunConfig.folders`.
    source : Path, optional
        An image in place of a data set, which it will be put into.
    """

    level: str
    folders: dict[str, Path]
    source: Path | None = None


def read_places(words: Sequence[str]) -> Places:
    """Tell apart the arguments that are no options.

    Parameters
    ----------
    words : sequence of str
        In the order in which they were typed.

    Raises
    ------
    ValueError
        If there are too few or too many, or the level is missing or misspelt; the message says
        what to type.
    """
    if not words:
        raise ValueError(f'nothing to work on; type {_form("participant")}, or {IMAGE_FORM}')
    if len(words) == 2 and words[1] not in CONFIGS and kind_of(Path(words[0])).is_image:
        words = [*words, _OF_IMAGES]
    *paths, level = words
    if level not in CONFIGS:
        raise ValueError(_without_level(words))
    wanted = CONFIGS[level].folders
    if len(paths) != len(wanted):
        given = f' ({_command(*paths)})' if paths else ''
        raise ValueError(
            f'{level} takes {len(wanted)} of {" ".join(wanted).upper()}, and {len(paths)} are '
            f'given{given}; type {_form(level)}'
        )
    folders = {name: _PATH.parse(path) for name, path in zip(wanted, paths, strict=True)}
    return _places(level, folders)


def _places(level: str, folders: dict[str, Path]) -> Places:
    """Look for an image where a folder is expected."""
    out_dir, data = folders['out_dir'], folders.get('bids_dir')
    if _is_nifti(out_dir):
        hint = f'to localise in it, type {_command("tmsprep", str(out_dir))} OUT_DIR'
        raise ValueError(f'{out_dir}: is an image, not a folder for outputs; {hint}')
    if data is None or not (kind := kind_of(data)).is_image:
        return Places(level, folders)
    if level != _OF_IMAGES:
        hint = f'to localise in it, type {_command("tmsprep", str(data), str(out_dir))}'
        raise ValueError(f'{data}: is {kind.value}, and {level} takes a BIDS data set; {hint}')
    return Places(level, {'bids_dir': out_dir / RAW, 'out_dir': out_dir}, data)


def _without_level(words: Sequence[str]) -> str:
    """Say what to type where the last word is no analysis level."""
    level = next((word for word in words if word in CONFIGS), '')
    if level:
        others = [word for word in words if word != level]
        return f'the analysis level comes last; type {_command("tmsprep", *others, level)}'
    *paths, last = words
    meant = closest(last, CONFIGS)
    if meant and len(paths) == len(CONFIGS[meant].folders):
        return f'{last!r} is no analysis level; did you mean {meant}?'
    if len(words) > 2:
        return f'{last!r} is no analysis level; choose from {", ".join(CONFIGS)}'
    path = Path(words[0])
    kind = kind_of(path)
    if len(words) == 2 and _is_nifti(Path(words[1])):
        return f'the image comes first; type {_command("tmsprep", words[1], words[0])}'
    if kind is Kind.MISSING:
        return f'{path}: no such file or folder'
    if kind is Kind.OTHER:
        return f'{path}: is a file, {not_an_image(path)}'
    if kind is Kind.FOLDER and (hint := single_image(path)):
        return f'{path}: not a BIDS data set{hint}'
    if kind.is_image:
        return f'the folder for outputs is missing; type {_command("tmsprep", words[0])} OUT_DIR'
    folders = ' '.join(name.upper() for name in CONFIGS[_OF_IMAGES].folders[len(words) :])
    return (
        'the analysis level is missing; type '
        f'{_command("tmsprep", *words)} {f"{folders} " if folders else ""}{_OF_IMAGES}'
    )


def _is_nifti(path: Path) -> bool:
    return path.name.endswith(EXTENSIONS) and path.is_file()


def not_an_image(path: Path) -> str:
    """Say how a file of another format can be used: the end of a sentence."""
    name = path.name.lower()
    if name.endswith(EXTENSIONS):
        return 'whose name must end in small letters, .nii or .nii.gz; rename it'
    for extension, command in CONVERSIONS.items():
        if name.endswith(extension):
            out = path.with_name(f'{path.name[: -len(extension)]}.nii.gz')
            quoted = {'file': path, 'out': out, 'folder': path.parent}
            words = {key: shlex.quote(str(value)) for key, value in quoted.items()}
            return f'neither a BIDS data set nor NIfTI; run {command.format(**words)}'
    return 'neither a BIDS data set nor an image (.nii, .nii.gz, DICOM, or DICOM in a zip file)'


def single_image(folder: Path) -> str:
    """Say how to run a NIfTI file of a folder that is no data set: the end of a sentence."""
    found = sorted(path for path in folder.iterdir() if path.name.endswith(EXTENSIONS))
    return (
        f'; to run one image, type {_command("tmsprep", str(found[0]))} OUT_DIR' if found else ''
    )


def _form(level: str) -> str:
    return usage(level, CONFIGS[level].folders)


def _command(*words: str) -> str:
    """Join words for a message so that they can be typed."""
    return shown(shlex.join(words), most=300)


def closest(word: str, known: Iterable[str]) -> str:
    """Return the one of some known words that a misspelt one is most like; '' if none is.

    Examples
    --------
    >>> closest('--localisers', ['--localizers', '--sloppy']), closest('x', ['participant'])
    ('--localizers', '')
    """
    return next(iter(get_close_matches(word, list(known), 1)), '')


def usage(level: str, folders: Iterable[str]) -> str:
    """Return the form of a command.

    Examples
    --------
    >>> usage('group', ['bids_dir', 'out_dir'])
    'tmsprep BIDS_DIR OUT_DIR group'
    """
    return ' '.join(['tmsprep', *(name.upper() for name in folders), level])
