"""Filter files: which images of a participant are used.

A filter file is JSON of the form that fMRIPrep takes, with the query 't1w' only, which stands for
the images to use, whatever their contrast::

    {"t1w": {"acquisition": "mprage", "run": [1, 2], "ceagent": null, "reconstruction": "*"}}

A list means any of its items, null that the name lacks the entity, "*" that it has it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from tmsprep.bids.names import ENTITIES, EXTENSIONS, BidsError, ImageRef
from tmsprep.text import MOST_SETTINGS, parse_json, read_text

#: Entities of the images that are used without a filter, which replaces them key by key.
DEFAULT_ENTITIES = {'datatype': 'anat', 'suffix': 'T1w', 'part': [None, 'mag']}

#: The one query of a filter file.
QUERY = 't1w'

# Participants are chosen by --participant-label.
_KEYS = ('datatype', 'suffix', 'extension', *(e for e in ENTITIES.values() if e != 'subject'))
# Whole numbers, which may be written with or without leading zeros.
_INDICES = {'run', 'echo', 'flip', 'inv', 'chunk'}


def load_filters(name: str | Path) -> dict[str, Any]:
    """Read a filter file.

    Parameters
    ----------
    name : str or Path
        A path, the bare name of a preset of `tmsprep.bids_filters`, such as 'mp2rage_uni', or
        JSON itself, as saved settings have it.

    Returns
    -------
    dict
        ``{'t1w': {entity: value, ...}}``, checked.

    Raises
    ------
    BidsError
        If there is no such file or preset, or its content is not a filter.
    """
    text, path = str(name), None
    if not text.startswith('{'):
        path = Path(name) if Path(name).is_file() else _preset(text)
    try:
        filters = parse_json(text if path is None else read_text(path, MOST_SETTINGS))
    except (OSError, ValueError) as error:
        raise BidsError(f'{name}: cannot be read as JSON ({error})') from error
    check_filters(filters, str(name))
    return filters


def _preset(name: str) -> Any:
    presets = files('tmsprep.bids_filters')
    known = sorted(p.name[:-5] for p in presets.iterdir() if p.name.endswith('.json'))
    if name.removesuffix('.json') not in known:
        raise BidsError(f'{name}: no such filter file, nor a preset ({", ".join(known)})')
    return presets / f'{name.removesuffix(".json")}.json'


def check_filters(filters: object, where: str) -> None:
    """Refuse a filter that would be ignored or never match.

    Raises
    ------
    BidsError
        If a query, a key or a value is not known; the message lists what is.
    """
    if not isinstance(filters, dict) or not all(isinstance(q, dict) for q in filters.values()):
        raise BidsError(f'{where}: must read {{"t1w": {{"<entity>": "<label>", ...}}}}')
    for query, values in filters.items():
        _known(query, (QUERY,), f'{where}: unknown query')
        for key, value in values.items():
            _known(key, _KEYS, f'{where}: unknown key')
            items = value if isinstance(value, list) else [value]
            if not items or not all(_is_value(item) for item in items):
                raise BidsError(
                    f'{where}: {key} must be text, a whole number, null, "*", or a list of these'
                )


def _is_value(item: object) -> bool:
    return item is None or (isinstance(item, (str, int)) and not isinstance(item, bool))


def _known(key: str, known: tuple[str, ...], problem: str) -> None:
    if key in known:
        return
    near = ENTITIES.get(key) or next(iter(difflib.get_close_matches(key, known, 1)), None)
    hint = f'; did you mean {near!r}?' if near in known else ''
    if key in ('subject', 'sub', 'participant'):
        hint = '; choose participants by --participant-label'
    raise BidsError(f'{problem} {key!r}{hint} (known: {", ".join(known)})')


def wanted_entities(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entities that filters ask for, and the defaults that they do not replace."""
    return {**DEFAULT_ENTITIES, **filters.get(QUERY, {})}


def matches(image: ImageRef, wanted: Mapping[str, Any]) -> bool:
    """Tell whether an image has all the entities that are asked for."""
    facts = {ENTITIES.get(key, key): label for key, label in image.entities.items()}
    facts['suffix'] = image.suffix
    facts['datatype'] = image.relative_path.parent.name
    facts['extension'] = next(e for e in reversed(EXTENSIONS) if image.path.name.endswith(e))
    return all(_accepts(key, value, facts.get(key)) for key, value in wanted.items())


def _accepts(key: str, value: object, label: str | None) -> bool:
    wanted = value if isinstance(value, list) else [value]
    if label is None:
        return None in wanted
    return '*' in wanted or any(_same(key, item, label) for item in wanted if item is not None)


def _same(key: str, item: object, label: str) -> bool:
    if key in _INDICES and str(item).isdecimal() and label.isdecimal():
        return int(str(item)) == int(label)
    if key == 'extension':
        return str(item).lstrip('.') == label.lstrip('.')
    return str(item) == label
