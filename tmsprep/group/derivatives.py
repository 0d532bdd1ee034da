"""Outputs of the participant level: tables of one protocol, and failures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tmsprep.bids.names import BidsError, ImageRef, Layout, labels_in
from tmsprep.evaluation.status import has_usable
from tmsprep.evaluation.table_checks import check_table
from tmsprep.evaluation.template import MNI, MNI_FROM
from tmsprep.failures import read_records
from tmsprep.formats.targets_tsv import MISSING, read_rows
from tmsprep.group.issues import Issue
from tmsprep.group.points import STATED, in_columns, point_table
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import read_json
from tmsprep.template import template_of

_AXES = ('x', 'y', 'z')


class Geometry(NamedTuple):
    """Grid of an image: its shape, and the affine from voxel indices to mm, RAS+."""

    shape: tuple[int, ...]
    affine: np.ndarray


@dataclass(frozen=True)
class Derivatives:
    """What the participant level left of one protocol.

    Parameters
    ----------
    points : pandas.DataFrame
        See `tmsprep.group.points.COLUMNS`.
    images : dict
        For each participant with outputs the images; the files may be gone.
    geometry : dict
        Name of an image to its grid, where a sidecar has it.
    masks : dict
        Name of an image to its brain mask among the outputs, where there is one.
    atlases : dict
        Name of an image and method to the atlas that the method registered.
    checksums : dict
        Name of an image to the checksum that it had when its points were found.
    issues : list of Issue
        Participants that failed, and files that cannot be read.
    """

    points: pd.DataFrame = field(default_factory=lambda: point_table([]))
    images: dict[str, list[ImageRef]] = field(default_factory=dict)
    geometry: dict[str, Geometry] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    atlases: dict[tuple[str, str], str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


def read_derivatives(
    layout: Layout,
    bids_dir: Path,
    protocol: Protocol,
    methods: Collection[str],
    wanted: Collection[str] = (),
) -> Derivatives:
    """Read the tables of the participant level, each file once; no image is opened.

    Tables of an earlier run than one that failed are left out: the image may have been replaced
    since.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    bids_dir : Path
        Root of the data set, to name images.
    protocol : Protocol
        The targets.
    methods : collection of str
        Methods of the protocol.
    wanted : collection of str
        Labels of participants without 'sub-'; empty for all.
    """
    out_dir = layout.out_dir
    there = {*labels_in(out_dir, 'sub'), *labels_in(out_dir / 'logs', 'sub')}
    found = Derivatives()
    parts: list[pd.DataFrame] = []
    for subject in sorted(there & set(wanted) if wanted else there):
        outdated = _read_records(layout, subject, found.issues)
        for stem, tables in _tables(layout, subject, methods).items():
            if stem in outdated:
                names = ', '.join(path.name for path in tables.values())
                message = f'{names}: of an earlier run than the one that failed, not used'
                found.issues.append(Issue(subject, message))
            else:
                read = list(_read_image(stem, tables, layout, bids_dir, protocol, found))
                statuses = [status for table in read for status in table['status']]
                if statuses and not has_usable(statuses):
                    message = f'{stem}: no usable point by any method; look at the report'
                    found.issues.append(Issue(subject, message))
                parts += read
    points = pd.concat(parts, ignore_index=True) if parts else found.points
    return replace(found, points=points)


def _read_records(layout: Layout, subject: str, issues: list[Issue]) -> set[str]:
    """Add an issue per error record; return the images whose tables are older than a failure."""
    outdated = set()
    for record in read_records(layout, subject):
        stem = re.sub(r'_[^_]*$', '', record.image)
        where = f'{stem}, {record.node}' if stem else record.node
        issues.append(Issue(subject, f'{where}: {record.message} {record.cure}'.strip()))
        if stem and record.tables_are_older:
            outdated.add(stem)
    return outdated


def _tables(layout: Layout, subject: str, methods: Collection[str]) -> dict[str, dict[str, Path]]:
    """Tables of targets of a participant: name of an image to method to file."""
    found: dict[str, dict[str, Path]] = {}
    tail = f'_protocol-{layout.label}_desc-'
    for path in sorted((layout.out_dir / f'sub-{subject}').glob(f'**/*{tail}*_targets.tsv')):
        stem, _, rest = path.name.partition(tail)
        method = rest.removesuffix('_targets.tsv')
        if method in methods:
            found.setdefault(stem, {})[method] = path
    return found


def _read_image(
    stem: str,
    tables: Mapping[str, Path],
    layout: Layout,
    bids_dir: Path,
    protocol: Protocol,
    found: Derivatives,
) -> Iterator[pd.DataFrame]:
    """Read the tables of one image; a damaged one leaves the others alone."""
    sidecars = {name: read_json(path.with_suffix('.json')) for name, path in tables.items()}
    image = _source(stem, sidecars.values(), bids_dir)
    if image is None:
        return
    found.images.setdefault(image.subject, []).append(image)
    mask = layout.derivative(image, 'mask', '.nii.gz', desc='brain')
    if mask.is_file():
        found.masks[stem] = mask
    for method, path in tables.items():
        geometry = _geometry(sidecars[method])
        if geometry is not None:
            found.geometry[stem] = geometry
        reference = sidecars[method].get('ReferenceImage')
        if isinstance(reference, dict):
            found.checksums[stem] = str(reference.get('SHA256', ''))
        atlas = sidecars[method].get('Atlas')
        if isinstance(atlas, dict):
            found.atlases[stem, method] = str(atlas.get('Name'))
        try:
            table = _read_table(path)
            known = table[table['label'].isin(protocol.labels)]
            if len(known) == len(table):
                check_table(path, protocol)
        except (OSError, ValueError) as error:
            why = str(error).removeprefix(f'{path}: ')
            message = f'{path}: cannot be read ({why}). Run the participant level again.'
            found.issues.append(Issue(image.subject, message))
            continue
        if len(known) < len(table):
            message = (
                f'{path}: {len(table) - len(known)} of {len(table)} targets are not in the '
                f'protocol {protocol.name!r}, and are left out. Give the protocol that the tables '
                'were made with (--protocol)'
            )
            severity = 'warning' if len(known) else 'error'
            found.issues.append(Issue(image.subject, message, severity))
        known = known.assign(participant_id=f'sub-{image.subject}', image=stem, method=method)
        mapped = _mni_from(sidecars[method], protocol)
        if not mapped:
            known = known.assign(**dict.fromkeys(MNI, np.nan))
        there = known[list(MNI)].notna().all(axis=1)
        yield in_columns(known.assign(**{MNI_FROM: np.where(there, mapped, '')}))


def _read_table(path: Path) -> pd.DataFrame:
    """Read 'label', 'x', 'y', 'z', 'status' and `STATED` of a table of targets.

    Raises
    ------
    ValueError
        If a column is missing, a number is none, a label repeats, or a point is known on some
        axes only.
    """
    rows = [row for _, row in read_rows(path, ('label', *_AXES, 'status'))]
    labels = tuple(row['label'] for row in rows)
    places = [[_number(row[axis]) for axis in _AXES] for row in rows]
    points = PointSet(labels, np.array(places, dtype=np.float64).reshape(-1, 3))
    return pd.DataFrame(
        {
            'label': labels,
            **dict(zip(_AXES, points.coordinates.T, strict=True)),
            'status': [row['status'] for row in rows],
            **{name: [_number(row.get(name, '')) for row in rows] for name in STATED},
            'repetition': np.nan,
        }
    )


def _mni_from(sidecar: Mapping[str, Any], protocol: Protocol) -> str:
    """Say how a table's coordinates in the template of the protocol were found; '' if not."""
    mni = sidecar.get('MNI')
    if not isinstance(mni, dict) or mni.get('Space') != template_of(protocol):
        return ''
    return 'estimate' if mni.get('Estimated') else 'registration'


def _number(cell: str) -> float:
    return np.nan if cell in MISSING else float(cell)


def _source(stem: str, sidecars: Collection[Mapping[str, Any]], bids_dir: Path) -> ImageRef | None:
    """Name the source of outputs, as a sidecar does; None if the name breaks the rules of BIDS."""
    pairs = [part.split('-', 1) for part in stem.split('_')]
    if any(len(pair) != 2 for pair in pairs):
        return None
    for sidecar in sidecars:
        reference = sidecar.get('ReferenceImage')
        path = reference.get('Path') if isinstance(reference, dict) else None
        try:
            image = ImageRef.from_path(bids_dir, bids_dir / str(path))
        except BidsError:
            continue
        if image.stem == stem:
            return image
    return image_of(dict(pairs), bids_dir)


def image_of(entities: Mapping[str, str], bids_dir: Path) -> ImageRef:
    """Name the T1w image with these entities, which need not exist."""
    stem = '_'.join(f'{key}-{label}' for key, label in entities.items())
    session = [f'ses-{entities["ses"]}'] if 'ses' in entities else []
    folders = [f'sub-{entities["sub"]}', *session, 'anat']
    relative = PurePosixPath(*folders, f'{stem}_T1w.nii.gz')
    return ImageRef(bids_dir / relative, relative, dict(entities))


def _geometry(sidecar: Mapping[str, Any]) -> Geometry | None:
    try:
        shape = tuple(int(size) for size in sidecar['ReferenceImage']['Shape'])
        affine = np.array(sidecar['ReferenceImage']['Affine'], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return Geometry(shape, affine) if affine.shape == (4, 4) else None
