"""The derivatives of one image: tables of targets, and what else its methods write."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.bids.names import ImageRef, Layout, may_be
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.status import (
    GYRUS_UNKNOWN,
    NOT_VISIBLE,
    RADIUS,
    UNUSABLE,
    WRONG_GYRUS,
)
from tmsprep.evaluation.table_checks import check_table
from tmsprep.evaluation.template import add_mni, mni_columns
from tmsprep.files import remove_inside
from tmsprep.formats.targets_tsv import read_rows
from tmsprep.methods import get_method, methods_of
from tmsprep.methods.base import Method, points_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import (
    COIL_COLUMNS,
    COLUMNS,
    FRAME,
    TEXT_COLUMNS,
    Column,
    all_points,
    chosen_labels,
    column,
    narrow,
    read_json,
    write_table,
)
from tmsprep.template import TemplateMap
from tmsprep.text import open_text, shown, without_folders

logger = logging.getLogger(__name__)

#: Value of the entity ``desc`` of the table of the raters' consensus.
EXPERT = 'expert'

#: Value of the entity ``desc`` of the table of a reviewer's decisions.
REVIEWED = 'reviewed'
#: The same of the table of points given in a template.
POINTS = 'points'

#: Status of points that need a look to the entry of the sidecar that lists their targets.
DOUBTS = {
    NOT_VISIBLE: 'NotVisible',
    WRONG_GYRUS: 'WrongGyrus',
    GYRUS_UNKNOWN: 'GyrusUnknown',
}

#: Columns that every table of targets begins with.
FIRST_COLUMNS = ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status')


def write_outcomes(
    layout: Layout,
    image: ImageRef,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int,
    chosen: Sequence[str] = (),
) -> dict[str, Path]:
    """Write the table, the sidecar and the further derivatives of each method of one image.

    Tables of the other methods of the protocol, from earlier runs, stay if they are of the same
    image and targets; their distances from the new points are written again. Otherwise they are
    deleted: they would be wrong points.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The input; its entities name the outputs.
    outcomes : mapping
        Method to outcome, for those that were run.
    protocol : Protocol
        The targets.
    properties : mapping
        Of the input: 'shape', 'affine', 'sha256'.
    random_seed : int
        Seed of the run.
    chosen : sequence of str
        Labels of the targets that the tables list; empty for all. What is said of them does not
        depend on it.

    Returns
    -------
    dict
        Method that was run to its table.
    """
    delete_outdated(layout, image, protocol, properties['sha256'])
    entries = image_entries(image, protocol, properties, random_seed)
    known = {
        name: outcomes[name] if name in outcomes else _read_outcome(layout, image, name, protocol)
        for name in dict.fromkeys([*(m.name for m in methods_of(protocol)), *outcomes])
    }
    everything = {name: outcome for name, outcome in known.items() if outcome is not None}
    tables = {}
    for name, outcome in everything.items():
        others = [other for other in everything.values() if other is not outcome]
        tables[name] = targets_table(get_method(name), outcome, others, protocol, properties)
    mni = add_mni(tables, protocol, find_way(everything, image, layout, properties['sha256']))
    written = {}
    for name, outcome in everything.items():
        method, path = get_method(name), layout.table(image, name)
        further = {'MNI': mni[name]} if name in mni else {}
        if name in outcomes:
            rows, narrowed = narrow(tables[name], chosen)
            made_of = {**entries, 'Sources': [*entries['Sources'], *reused_files(outcome)]}
            entered = {**made_of, **_details(outcome), **further, **narrowed}
            _write_table(path, rows, method, entered)
            method.write(outcome, image, layout, protocol, entries)
            written[name] = path
        else:
            # As many targets as the run that located them had chosen.
            rows, narrowed = narrow(tables[name], chosen_labels(outcome.details))
            _write_table(path, rows, method, {**outcome.details, **further, **narrowed})
    return written


def find_way(
    outcomes: Mapping[str, Outcome],
    image: ImageRef,
    layout: Layout,
    sha256: str,
    *,
    doubtful: bool = False,
) -> TemplateMap | None:
    """Find the way between an image and a template that a method offers.

    Parameters
    ----------
    outcomes : mapping
        Method to its outcome, of this run or an earlier one.
    image, layout, sha256
        As for `Method.template_map`.
    doubtful : bool
        Whether that of a method none of whose own points can be relied on is good enough.
    """
    for name, outcome in outcomes.items():
        way = get_method(name).template_map(outcome, image, layout, sha256)
        if way is not None and (doubtful or _is_reliable(outcome)):
            return way
    return None


def _is_reliable(outcome: Outcome) -> bool:
    """Tell whether any point of an outcome may be relied on."""
    if outcome.points is None:
        return False
    found = np.array(outcome.points.labels)[outcome.points.found]
    return not set(found.tolist()) <= set(outcome.unreliable)


def reused_files(outcome: Outcome) -> list[str]:
    """BIDS URIs of what a method took from ``--derivatives``, by its entry 'Reused'."""
    taken = outcome.details.get('Reused', [])
    return list(dict.fromkeys(str(entry['File']) for entry in taken))


def targets_table(
    method: Method,
    outcome: Outcome,
    others: Sequence[Outcome],
    protocol: Protocol,
    properties: Mapping[str, Any],
) -> pd.DataFrame:
    """Make the table of one method: one row per target of the protocol, whatever happened.

    Parameters
    ----------
    method : Method
        The method.
    outcome : Outcome
        Of this method.
    others : sequence of Outcome
        Of the other methods, in the order of the protocol.
    protocol : Protocol
        The targets, in order.
    properties : mapping
        Of the input: 'shape' and 'affine'.
    """
    points = points_of(outcome, protocol)
    columns: dict[str, Any] = {
        'label': protocol.labels,
        'hemisphere': [target.hemisphere for target in protocol.targets],
        'region': [target.region for target in protocol.targets],
        **dict(zip('xyz', points.coordinates.T, strict=True)),
        'status': method.status(outcome, others, protocol, properties),
    }
    columns.update(outcome.words)
    for name, values in outcome.columns.items():
        columns[name] = np.array(values, dtype=np.float64)
    if RADIUS in columns:
        # Nothing is promised for a point with a warning: the calibration has no such points.
        columns[RADIUS][np.array(columns['status']) != 'ok'] = np.nan
    # Nobody should lay a coil over a point that must not be used.
    for name in set(COIL_COLUMNS) & set(columns):
        columns[name][np.isin(columns['status'], list(UNUSABLE))] = np.nan
    for other in others:
        columns[f'distance_to_{other.method}_mm'] = points.distance(points_of(other, protocol))
    return pd.DataFrame(columns)


def image_entries(
    image: ImageRef,
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int | None = None,
) -> dict[str, Any]:
    """Entries of a sidecar: which image the derivative is of, and what it must not be used for."""
    seed = {} if random_seed is None else {'RandomSeed': random_seed}
    findings = properties.get('findings', [])
    return {
        'Protocol': protocol.name,
        'Sources': [image.uri],
        'ReferenceImage': {
            'Path': str(image.relative_path),
            'Shape': list(properties['shape']),
            'Affine': properties['affine'],
            **properties.get('forms', {}),
            'SHA256': properties['sha256'],
        },
        **({'ImageFindings': list(findings)} if findings else {}),
        'SoftwareVersion': __version__,
        **seed,
        'Disclaimer': disclaimer(protocol),
    }


def _details(outcome: Outcome) -> dict[str, Any]:
    failed = outcome.points is None and outcome.error is not None
    # Sidecars are shared; the error record has the whole paths.
    message = without_folders(shown(outcome.error['message'])) if outcome.error else ''
    error = {'Error': message} if failed else {}
    findings = {'Findings': outcome.findings} if outcome.findings else {}
    doubts = {'Unreliable': outcome.unreliable} if outcome.unreliable else {}
    gyri = {entry: outcome.doubts[key] for key, entry in DOUBTS.items() if key in outcome.doubts}
    refused = {'Refused': True} if outcome.refused else {}
    return {**outcome.details, **error, **refused, **findings, **doubts, **gyri}


def _write_table(
    path: Path, table: pd.DataFrame, method: Method, entries: Mapping[str, Any]
) -> None:
    mni = entries.get('MNI')
    columns: dict[str, Column] = {
        **(mni_columns(mni['Space'], mni['Mapping']) if mni else {}),
        **method.columns,
        'status': column('What is known about the point', **method.statuses),
    }
    for name in table.columns:
        if name.startswith('distance_to_'):
            other = get_method(name.removeprefix('distance_to_').removesuffix('_mm'))
            columns[name] = column(f'Distance from the point by {other.title}', 'mm')
    write_table(path, table, method.description, columns, Method=method.name, **entries)


def _read_outcome(
    layout: Layout, image: ImageRef, method: str, protocol: Protocol
) -> Outcome | None:
    """Read the outcome of a method back from its table of an earlier run; None without one.

    Raises
    ------
    ValueError
        If the table is damaged.
    """
    path = layout.table(image, method)
    sidecar = read_json(path.with_suffix('.json'))
    if not (path.is_file() and sidecar):
        return None
    points = all_points(path)
    table = pd.read_csv(open_text(path), sep='\t', na_values=['n/a'], keep_default_na=False)
    table = table.set_index('label', drop=False).reindex(protocol.labels)
    described = {*COLUMNS, *get_method(method).columns} - set(FIRST_COLUMNS) - TEXT_COLUMNS
    columns = {
        name: [None if np.isnan(value) else value for value in table[name].astype(float).tolist()]
        for name in table.columns
        if name in described
    }
    apart = {*table.columns, *FRAME, 'Method', 'Description', 'MNI'}
    details = {key: value for key, value in sidecar.items() if key not in apart}
    return Outcome(
        method,
        points,
        columns,
        details,
        findings=details.get('Findings', []),
        unreliable=details.get('Unreliable', []),
        words={
            name: table[name].fillna('').tolist() for name in TEXT_COLUMNS & set(table.columns)
        },
        doubts={key: details[entry] for key, entry in DOUBTS.items() if entry in details},
        refused=bool(details.get('Refused')),
    )


def located_points(layout: Layout, image: ImageRef, methods: Iterable[str]) -> dict[str, PointSet]:
    """Read the points of one image that methods have left, mm, RAS+; unreadable ones are not."""
    found = {}
    for method in methods:
        try:
            found[method] = all_points(layout.table(image, method))
        except ValueError:
            continue
    return found


def delete_outdated(
    layout: Layout, image: ImageRef, protocol: Protocol, sha256: str
) -> list[Path]:
    """Delete what an earlier run wrote for another image or other targets.

    The image may have been replaced under the same name; then all derivatives of it go, except
    tables that hold already. Or the list of targets has changed under the name of the protocol;
    then its tables and figures go. Files for navigators go in both cases. Tables of other origin
    are left alone. Decisions of a reviewer about another image are renamed.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    protocol : Protocol
        The targets as they are now.
    sha256 : str
        Checksum of the image as it is now.

    Returns
    -------
    list of Path
        The deleted tables.
    """
    set_aside_review(layout, image, sha256)
    names = [*(method.name for method in methods_of(protocol)), EXPERT]
    every = {name: layout.table(image, name) for name in names}
    tables = {name: path for name, path in every.items() if is_own_table(path)}
    outdated = [
        path for name, path in tables.items() if not _holds(layout, image, name, protocol, sha256)
    ]
    if not outdated:
        return []
    for path in outdated:
        logger.warning(
            '%s: deleted, because it was damaged, of other targets, or of another image of the '
            'same name',
            path,
        )
    # Files for navigators are made of all tables, whichever of them holds.
    remove_inside(layout.navigation(image), layout.out_dir)
    doomed = layout.files(image, 'figures')
    if any(source_sha256(path) != sha256 for path in outdated):
        kept = {file for path in tables.values() for file in (path, path.with_suffix('.json'))}
        review = layout.table(image, REVIEWED).stem
        doomed += [
            path
            for path in layout.files(image)
            if path not in kept and not path.name.startswith(review)
        ]
    # The tables last: if this is interrupted, the next run finds them.
    for path in (*doomed, *outdated, *(path.with_suffix('.json') for path in outdated)):
        path.unlink(missing_ok=True)
    return outdated


def set_aside_review(layout: Layout, image: ImageRef, sha256: str) -> list[Path]:
    """Rename a reviewer's decisions about another image of the same name, and say so.

    They are a person's work, so they are not deleted; under their name they would be wrong points.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    sha256 : str
        Checksum of the image as it is now; '' if it is not known, then nothing is done.

    Returns
    -------
    list of Path
        The new names, which end in the beginning of the checksum of the image that was looked at.
    """
    table = layout.table(image, REVIEWED)
    of = _reviewed_sha256(table)
    if not (of and sha256) or of == sha256:
        return []
    paths = [table.with_suffix(extension) for extension in ('.tsv', '.json', '.mrk.json')]
    renamed = [set_aside(path, f'of-{of[:8]}') for path in paths if path.is_file()]
    logger.warning(
        '%s: decisions about another image of the same name; kept as %s. Decide again in the '
        'viewer of the new report',
        table,
        renamed[0].name,
    )
    return renamed


def set_aside(path: Path, why: str) -> Path:
    """Add an ending to the name of a file, with a number if there is such a file already."""
    target, number = path.with_name(f'{path.name}.{why}'), 1
    while target.exists():
        number += 1
        target = path.with_name(f'{path.name}.{why}-{number}')
    return path.rename(target)


def _reviewed_sha256(path: Path) -> str:
    """Checksum of the image that decisions are about, by their first row; '' if not known."""
    try:
        row = next((row for _, row in read_rows(path, ('label', 'image_sha256'))), {})
    except ValueError:
        return ''
    value = row.get('image_sha256', '')
    return value if re.fullmatch('[0-9a-f]{64}', value) else ''


def is_own_table(path: Path) -> bool:
    """Tell whether this package has written a table, by its sidecar."""
    return may_be(path, Path.is_file) and 'SoftwareVersion' in read_json(path.with_suffix('.json'))


def sidecar_path(path: str | Path) -> Path:
    """Name the sidecar of a table, an image or a transform."""
    path = Path(path)
    return path.with_name(path.name.removesuffix('.gz')).with_suffix('.json')


def source_sha256(path: str | Path) -> str:
    """Checksum of the image that a derivative was made from, by its sidecar; '' if it has none."""
    image = read_json(sidecar_path(path)).get('ReferenceImage')
    return str(image.get('SHA256', '')) if isinstance(image, dict) else ''


def _holds(layout: Layout, image: ImageRef, name: str, protocol: Protocol, sha256: str) -> bool:
    """Tell whether the table of a method or the raters is whole, and of this image and list."""
    path = layout.table(image, name)
    try:
        if name != EXPERT:
            _read_outcome(layout, image, name, protocol)
        labels = check_table(path, protocol).labels
    except ValueError:
        return False
    chosen = chosen_labels(read_json(path.with_suffix('.json'))) or protocol.labels
    listed = [label for label in protocol.labels if label in chosen]
    return source_sha256(path) == sha256 and [*labels] == listed


def write_experts(
    layout: Layout,
    image: ImageRef,
    table: pd.DataFrame,
    protocol: Protocol,
    properties: Mapping[str, Any],
    columns: Mapping[str, Column],
    chosen: Sequence[str] = (),
    **entries: Any,
) -> Path:
    """Write the table of the raters' consensus on one image.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    table : pandas.DataFrame
        One row per target.
    protocol : Protocol
        The targets.
    properties : mapping
        Of the image: 'shape', 'affine', 'sha256'.
    columns : mapping
        Descriptions of the columns beyond `tmsprep.tables.COLUMNS`.
    chosen : sequence of str
        As for `write_outcomes`.
    **entries : Any
        Entries of the sidecar, such as the raters.
    """
    rows, narrowed = narrow(table, chosen)
    return write_table(
        layout.table(image, EXPERT),
        rows,
        'Consensus of the raters of this image (Baxter et al. 2021, section 2.1)',
        columns,
        **{'Method': EXPERT, **image_entries(image, protocol, properties), **narrowed, **entries},
    )
