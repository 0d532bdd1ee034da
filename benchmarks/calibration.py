"""Errors of a localizer in validation participants, as they are and corrupted: its error radius.

Each image is done once, as ``participant`` does it, and kept under the checksums of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.evaluation.conformal import ErrorRadius, calibrate
from tmsprep.files import file_sha256
from tmsprep.imaging.conform import resample_mask
from tmsprep.imaging.read import read_image
from tmsprep.learning.examples import Example
from tmsprep.methods import get_method
from tmsprep.methods.baxter2021.radius import SIGNS, limits_of, longest_mm, signs_of, unlike
from tmsprep.points import PointSet

from accuracy_parts.measure import PROTOCOL, as_table, locate, request, with_gyri
from corruptions.catalogue import CORRUPTIONS
from corruptions.position import swap_sides
from corruptions.scan import Scan
from default_data import painted_examples

CLEAN, PAINTED = 'as it is', 'painted'
_PARTNERS = {target.label: target.mirror for target in PROTOCOL.targets if target.mirror}


@dataclass(frozen=True)
class State:
    """A participant's image in one state.

    Parameters
    ----------
    number : int
        Place of the participant: seed of the corruption.
    example : Example
        Image and reference.
    kind, strength : str
        `CLEAN`, `PAINTED`, or a corruption and its strength.
    """

    number: int
    example: Example
    kind: str
    strength: str = ''

    @property
    def file_name(self) -> str:
        """Name of its table."""
        words = (self.example.name, self.kind, self.strength)
        return '_'.join(word.replace(' ', '-') for word in words if word) + '.tsv'


def states(people: Sequence[Example], folder: Path) -> Iterator[State]:
    """List all states; each corruption at one strength per participant, in turns."""
    painted = painted_examples(people, folder)
    for i, (example, other) in enumerate(zip(people, painted, strict=True)):
        yield State(i, example, CLEAN)
        yield State(i, other, PAINTED)
        for j, corruption in enumerate(CORRUPTIONS.values()):
            strengths = corruption.strengths
            yield State(i, example, corruption.name, strengths[(i + j) % len(strengths)])


def measure(state: State, weights: Path, gyri: Path) -> pd.DataFrame:
    """Localise in one image: label, error_mm, status, and the columns of the signs."""
    image, truth = _prepared(state)
    method, protocol = get_method('cnn'), with_gyri(PROTOCOL, gyri)
    with request(image, protocol, weights) as asked:
        outcome = method.check(locate('cnn', asked), asked)
        status = method.status(outcome, [], protocol, asked.properties)
        voxel_mm = longest_mm(asked.properties['affine'])
    rows = as_table(outcome, PROTOCOL)
    points = PointSet(PROTOCOL.labels, rows[['x', 'y', 'z']].to_numpy(float))
    return rows.assign(
        error_mm=points.distance(truth.reindex(PROTOCOL.labels)),
        status=status,
        voxel_mm=voxel_mm,
    )


def _prepared(state: State) -> tuple[Path | nib.Nifti1Image, PointSet]:
    example = state.example
    assert example.points is not None
    if state.kind in (CLEAN, PAINTED):
        return example.image, example.points
    image, corruption = read_image(example.image), CORRUPTIONS[state.kind]
    brain = np.asarray(resample_mask(nib.load(example.mask), image).dataobj) > 0
    scan = Scan(image, example.points, brain)
    spoilt = corruption.apply(scan, corruption.value(state.strength), state.number)
    mirrored = np.linalg.det(spoilt.motion[:3, :3]) < 0
    return spoilt.image, swap_sides(spoilt.points, _PARTNERS) if mirrored else spoilt.points


def measure_all(people: Sequence[Example], weights: Path, gyri: Path, out: Path) -> pd.DataFrame:
    """Measure all states that have not been; add participant, kind and strength."""
    name = f'{file_sha256(weights)[:12]}-{file_sha256(gyri)[:12]}'
    tables = []
    for state in states(people, out / 'painted-validation'):
        path = out / f'calibration-{name}' / state.file_name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                rows = measure(state, weights, gyri)
                rows.to_csv(partial, sep='\t', index=False, float_format='%.5f', na_rep='n/a')
        table = pd.read_csv(path, sep='\t', na_values='n/a', keep_default_na=False)
        person = people[state.number].name
        tables.append(table.assign(person=person, kind=state.kind, strength=state.strength))
    return pd.concat(tables, ignore_index=True)


def calibrate_on(rows: pd.DataFrame) -> ErrorRadius:
    """Calibrate on the images within the limits, without points that get no radius.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result of `measure_all`, targets in one order.

    Raises
    ------
    ValueError
        If every point carries a warning: the networks have learned nothing.
    """
    parts = [part for _, part in rows.groupby(['person', 'kind', 'strength'], sort=False)]
    # A point with a warning bears no radius, so its error is none of this calibration.
    for part in parts:
        part['error_mm'] = part['error_mm'].mask(part['status'].ne('ok'))
    parts = [part for part in parts if part['error_mm'].notna().any()]
    if not parts:
        raise ValueError('every point of every image carries a warning: train with more steps')
    signs = [_signs(part) for part in parts]
    limits = limits_of(signs)
    within = [part for part, own in zip(parts, signs, strict=True) if not unlike(own, limits)]
    return calibrate(
        np.stack([part['error_mm'] for part in within]),
        np.stack([part['dispersion_mm'] for part in within]),
        within[0]['label'].tolist(),
        [part['person'].iloc[0] for part in within],
        [part['kind'].iloc[0] for part in within],
        limits,
    )


def _signs(rows: pd.DataFrame) -> dict[str, float]:
    numbers = {name: rows[name].tolist() for name in SIGNS if name in rows}
    return signs_of(numbers, None)


def coverage(rows: pd.DataFrame, radius: ErrorRadius) -> pd.DataFrame:
    """Share of promised radii, and of errors within them, per kind: of these very images."""
    found = []
    for (_, kind, _), part in rows.groupby(['person', 'kind', 'strength'], sort=False):
        radii = (
            {}
            if unlike(_signs(part), radius.limits)
            else radius.finite_radii(dict(zip(part['label'], part['dispersion_mm'], strict=True)))
        )
        promised = part['label'].map(radii).mask(part['status'].ne('ok'))
        found.append(part.assign(kind=kind, radius=promised)[['kind', 'radius', 'error_mm']])
    known = pd.concat(found).dropna(subset='error_mm')
    inside = (known['error_mm'] <= known['radius']).where(known['radius'].notna())
    groups = known.assign(promised=known['radius'].notna(), inside=inside.astype(float))
    return groups.groupby('kind', sort=False)[['promised', 'radius', 'inside']].mean()
