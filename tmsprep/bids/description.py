"""What describes the folder of outputs: dataset_description.json and .bidsignore."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

from tmsprep import __version__, atomic
from tmsprep.bids.names import BidsError
from tmsprep.protocols import Protocol
from tmsprep.text import parse_json, read_text

logger = logging.getLogger(__name__)

BIDS_VERSION = '1.10.0'

#: Where BIDS expects the data set if it is inside the outputs.
RAW = 'sourcedata/raw'
#: For data sets that are made of the raw one alone.
NO_LINKS: Mapping[str, Path] = MappingProxyType({})

# Outputs that BIDS has no names for. The validator wants folders without a slash at the end.
BIDSIGNORE = (
    *('*_protocol-*', '*.html', 'group_*', 'crossval_*', 'train_*', 'localizer_*'),
    *('figures', 'logs', 'nav'),
)


def write_dataset_description(
    out_dir: Path, bids_dir: Path, protocol: Protocol, links: Mapping[str, Path] = NO_LINKS
) -> None:
    """Write dataset_description.json and .bidsignore of the outputs.

    Files are replaced as a whole and only if they change, so that parallel jobs that write to the
    same folder do not disturb each other.

    Parameters
    ----------
    out_dir : Path
        The folder of the outputs, made if need be.
    bids_dir : Path
        The data set that they come from, 'raw' in BIDS URIs.
    protocol : Protocol
        The targets; the name of the outputs says those of all protocols of the folder.
    links : mapping
        Label in BIDS URIs to each further data set that the outputs are made of. Those of earlier
        runs stay.

    Raises
    ------
    BidsError
        If the folder belongs to another data set or program.
    """
    check_out_dir(out_dir)
    path = out_dir / 'dataset_description.json'
    earlier = _read_own(out_dir)
    named = {str(name): str(words) for name, words in earlier.get('Protocols', {}).items()}
    protocols = dict(sorted({**named, protocol.name: protocol.words['targets']}.items()))
    places = {**_earlier_links(earlier), **{k: _link(out_dir, v, k) for k, v in links.items()}}
    description = _describe(out_dir, bids_dir, protocols, dict(sorted(places.items())))
    _replace(path, json.dumps(description, indent=2, ensure_ascii=False) + '\n')
    ignore = out_dir / '.bidsignore'
    lines = _lines(ignore)
    missing = [line for line in BIDSIGNORE if line not in lines]
    _replace(ignore, '\n'.join([*lines, *missing]) + '\n')


def check_out_dir(out_dir: Path) -> None:
    """Refuse a folder that another program or a raw data set has described as its own.

    Raises
    ------
    BidsError
        With what is in the folder and the cure.
    """
    if not (Path(out_dir) / 'dataset_description.json').is_file():
        return
    names = _programs(_read_own(Path(out_dir)))
    if 'tmsprep' not in names:
        owner = ', '.join(names) or 'a raw data set'
        raise BidsError(
            f'{out_dir}: this folder holds {owner} (see its dataset_description.json). '
            f'Give tmsprep a folder of its own, such as {Path(out_dir) / "tmsprep"}.'
        )


def _read_own(out_dir: Path) -> dict[str, Any]:
    """Read the description of the outputs.

    One that a power failure has damaged must not stop all later runs: in a folder with the logs of
    this program it is written again.
    """
    path = out_dir / 'dataset_description.json'
    if not path.is_file():
        return {}
    try:
        description = read_description(path)
    except BidsError as error:
        if not _has_our_logs(out_dir):
            raise
        logger.warning('%s It is written again.', error)
        return {'GeneratedBy': [{'Name': 'tmsprep'}]}
    if not isinstance(description.get('Protocols', {}), dict):
        del description['Protocols']
    return description


def _has_our_logs(out_dir: Path) -> bool:
    for path in (out_dir / 'logs').glob('*/config.toml'):
        try:
            if read_text(path).startswith('# tmsprep '):
                return True
        except (OSError, ValueError):
            continue
    return False


def _programs(description: Mapping[str, Any]) -> list[str]:
    """List the programs that made a data set."""
    programs = description.get('GeneratedBy')
    entries = programs if isinstance(programs, list) else []
    return [str(program.get('Name')) for program in entries if isinstance(program, dict)]


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file; none of a file that is missing or damaged."""
    try:
        lines = read_text(path).splitlines() if path.is_file() else []
    except (OSError, ValueError):
        return []
    return [line for line in lines if line.isprintable()]


def read_description(path: Path) -> dict[str, Any]:
    """Read a dataset_description.json.

    Raises
    ------
    BidsError
        If it is not a JSON object.
    """
    try:
        description = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise BidsError(f'{path}: cannot be read as JSON ({error}). Correct the file.') from error
    if not isinstance(description, dict):
        raise BidsError(f'{path}: must be a JSON object, {{"Name": ..., "BIDSVersion": ...}}')
    return description


def generated_by_tmsprep(path: Path) -> bool:
    """Tell whether a file lies in a data set that this package has made."""
    for parent in path.absolute().parents:
        description = parent / 'dataset_description.json'
        if description.is_file():
            return 'tmsprep' in _programs(read_description(description))
    return False


def _earlier_links(description: Mapping[str, Any]) -> dict[str, str]:
    """Links of earlier runs to data sets other than the raw one."""
    links = description.get('DatasetLinks')
    known = links.items() if isinstance(links, dict) else ()
    return {str(name): str(place) for name, place in known if name != 'raw'}


def _describe(
    out_dir: Path, bids_dir: Path, protocols: Mapping[str, str], links: Mapping[str, str]
) -> dict[str, Any]:
    path = bids_dir / 'dataset_description.json'
    raw = read_description(path) if path.is_file() else {}
    source = {'URL': 'bids:raw:'}
    if isinstance(raw.get('DatasetDOI'), str):
        source['DOI'] = raw['DatasetDOI']
    targets = ' and '.join(dict.fromkeys(protocols.values()))
    return {
        'Name': f'tmsprep: {targets} of {raw.get("Name") or bids_dir.resolve().name}',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [{'Name': 'tmsprep', 'Version': __version__}],
        'SourceDatasets': [source, *({'URL': f'bids:{name}:'} for name in links)],
        'DatasetLinks': {'raw': link_to_raw(out_dir, bids_dir), **links},
        'Protocols': dict(protocols),
    }


def link_to_raw(out_dir: Path, bids_dir: Path) -> str:
    """Say where the data set is, seen from the outputs, without naming folders of this computer.

    Outputs are shared: a path from the root would tell the name of the user.

    Returns
    -------
    str
        A relative path, percent-encoded as BIDS wants it. If the two have no folder in common
        below ``/home`` or the like, `RAW`, where BIDS expects the data set inside the outputs.

    Examples
    --------
    >>> link_to_raw(Path('/data/study/derivatives/tmsprep'), Path('/data/study'))
    '../..'
    >>> link_to_raw(Path('/scratch/out'), Path('/home/anna/bids'))
    'sourcedata/raw'
    """
    return _link(out_dir, bids_dir, 'raw')


def _link(out_dir: Path, data: Path, name: str) -> str:
    out, there = out_dir.resolve(), data.resolve()
    path = os.path.relpath(there, out)
    below = [part for part in path.split('/') if part != '..']
    shared = len(there.parts) - 1 - len(below)
    return quote(os.fsencode(path)) if len(below) < 2 or shared > 1 else f'sourcedata/{name}'


def linked_data(out_dir: Path) -> Path | None:
    """Find where the outputs say that the data set is; None if they do not say it."""
    try:
        links = read_description(out_dir / 'dataset_description.json').get('DatasetLinks')
    except BidsError:
        return None
    raw = links.get('raw') if isinstance(links, dict) else None
    return out_dir / unquote(raw) if isinstance(raw, str) and raw else None


def _replace(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode():
        atomic.write_text(path, text)
