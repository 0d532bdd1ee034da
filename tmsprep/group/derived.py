"""What the participant level left in the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, derivative_path, labels_in
from tmsprep.group.issues import Issue
from tmsprep.group.points import point_table
from tmsprep.methods import method_names
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import ImageResults, SubjectResults, collect_subject


class Geometry(NamedTuple):
    """Of an image, as a sidecar says: `affine` turns voxel indices into mm, RAS+."""

    shape: tuple[int, ...]
    affine: np.ndarray


class Derived(NamedTuple):
    """What the outputs hold.

    Parameters
    ----------
    points : pandas.DataFrame
        See `tmsprep.group.points.COLUMNS`.
    images : dict
        For each participant with outputs the images, which need not exist any more.
    geometry : dict
        Name of an image to its grid, where a sidecar has it.
    issues : list of Issue
        Who failed, and files that cannot be read.
    masks : dict
        Name of an image to its brain mask among the outputs, where there is one.
    """

    points: pd.DataFrame
    images: dict[str, list[ImageRef]]
    geometry: dict[str, Geometry]
    issues: list[Issue]
    masks: Mapping[str, Path] = MappingProxyType({})


def read_derived(
    out_dir: Path, bids_dir: Path, protocol: Protocol, wanted: Iterable[str] = ()
) -> Derived:
    """Read the tables of the participant level, each file once; no image is opened.

    Parameters
    ----------
    out_dir, bids_dir : Path
        Folder of the outputs; and of the data set, only to name images.
    protocol : Protocol
        The targets.
    wanted : iterable of str
        Labels of participants; nobody for all.
    """
    there = {*labels_in(out_dir, 'sub'), *labels_in(out_dir / 'logs', 'sub')}
    chosen = there & set(wanted) if wanted else there
    rows: list[tuple[object, ...]] = []
    found = Derived(point_table([]), {}, {}, [])
    masks = {}
    for subject in sorted(chosen):
        results = collect_subject(out_dir, subject).of_protocol(coeruleus=False)
        found.issues.extend(_failures(subject, results))
        for image in results.images:
            named = _image(image.name, bids_dir)
            if image.tables and named is not None:
                found.images.setdefault(subject, []).append(named)
                mask = derivative_path(
                    out_dir, named, desc='brain', suffix='mask', extension='.nii.gz'
                )
                if mask.is_file():
                    masks[image.name] = mask
                rows += _rows(image, subject, protocol, found)
    return found._replace(points=point_table(rows), masks=masks)


def _failures(subject: str, results: SubjectResults) -> Iterable[Issue]:
    for problem in results.problems:
        yield Issue(subject, f'{problem}. Run the participant level again.')
    for error in results.errors:
        yield Issue(subject, f'{error.node}: {error.message} {error.cure}'.strip())
    for image in results.images:
        for error in image.errors:
            yield Issue(subject, f'{image.name}, {error.node}: {error.message}'.strip())
        if image.earlier:
            names = ', '.join(path.name for path in image.earlier)
            yield Issue(subject, f'{names}: of an earlier run than the one that failed, not used')


def _image(name: str, bids_dir: Path) -> ImageRef | None:
    """Name the image that outputs are of; None for outputs named by no rule of BIDS."""
    pairs = [part.split('-', 1) for part in name.split('_')]
    if any(len(pair) != 2 for pair in pairs):
        return None
    return image_of(dict(pairs), bids_dir)


def image_of(entities: Mapping[str, str], bids_dir: Path) -> ImageRef:
    """Name the T1w that has these entities, whether it is there or not."""
    stem = '_'.join(f'{key}-{label}' for key, label in entities.items())
    session = [f'ses-{entities["ses"]}'] if 'ses' in entities else []
    folders = [f'sub-{entities["sub"]}', *session, 'anat']
    relative = PurePosixPath(*folders, f'{stem}_T1w.nii.gz')
    return ImageRef(bids_dir / relative, relative, dict(entities))


def _rows(
    image: ImageResults, subject: str, protocol: Protocol, found: Derived
) -> Iterable[tuple[object, ...]]:
    labels = set(protocol.labels)
    for method, table in image.tables.items():
        if method not in method_names():
            continue
        geometry = _geometry(table.sidecar)
        if geometry is not None:
            found.geometry[image.name] = geometry
        known = [row for row in table.rows if row['label'] in labels]
        if len(known) < len(table.rows):
            message = (
                f'{table.path}: {len(table.rows) - len(known)} of {len(table.rows)} targets are '
                f'not of the protocol {protocol.name!r}, and are left out. Give the protocol that '
                'the tables were made with (--protocol)'
            )
            found.issues.append(Issue(subject, message, 'warning' if known else 'error'))
        try:
            rows = [_row(row, image.name, method) for row in known]
        except ValueError as error:
            message = f'{table.path}: {error}. Run the participant level again.'
            found.issues.append(Issue(subject, message))
            continue
        yield from rows


def _row(row: Mapping[str, str], image: str, method: str) -> tuple[object, ...]:
    numbers = [_number(row.get(name, 'n/a')) for name in ('x', 'y', 'z', 'dispersion_mm')]
    participant = image.split('_')[0]
    where, dispersion = numbers[:3], numbers[3]
    if np.isnan(where).any() and not np.isnan(where).all():
        raise ValueError(f'{row["label"]} is known on some axes only')
    return participant, image, method, np.nan, row['label'], *where, row['status'], dispersion


def _number(text: str) -> float:
    return np.nan if text in ('n/a', '') else float(text)


def _geometry(sidecar: Mapping[str, object]) -> Geometry | None:
    reference = sidecar.get('ReferenceImage')
    try:
        shape = tuple(int(size) for size in reference['Shape'])
        affine = np.array(reference['Affine'], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return Geometry(shape, affine) if affine.shape == (4, 4) else None
