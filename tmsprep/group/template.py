"""Points in the space of the default atlas, by the registrations in the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.evaluation.template import MNI
from tmsprep.group.analysis import Group
from tmsprep.group.issues import Issue
from tmsprep.registration.guarded import TransformReader
from tmsprep.registration.names import DEFAULT_ATLAS
from tmsprep.template import template_of

_AXES = ['x', 'y', 'z']

#: Largest number of images whose points are moved, chosen evenly from all: reading a registration
#: takes up to two seconds, and a hundred points of each target on a glass brain hide each other.
MOST_IMAGES = 25

_WITHOUT = (
    f'an image has no registration to {DEFAULT_ATLAS} in the outputs, so its points are not on '
    'the glass brain'
)


class InTemplate(NamedTuple):
    """Points in the space of a template.

    Parameters
    ----------
    points : pandas.DataFrame or None
        See `tmsprep.group.points.COLUMNS`, with x, y, z in mm, RAS+, in the space `space`. Only
        points that are known: those of tables that state it, and of raters those in images with
        a registration, of `MOST_IMAGES` at most; None if there are none.
    space : str
        Name of the template.
    issues : list of Issue
        Participants that are not in `points`, and transforms that cannot be read.
    """

    points: pd.DataFrame | None
    space: str
    issues: list[Issue]


def template_points(group: Group) -> InTemplate:
    """Move points from the frames of their images to the default atlas; no image is opened.

    The tables of the methods state where their points are there; those of raters are moved here.
    A registration counts only together with points of the method that made it, in the same image
    and with that atlas: if the image was replaced since, its tables were deleted, and its
    transforms may be those of the image before.
    """
    known = group.points.dropna(subset=_AXES)
    in_atlas = template_of(group.request.protocol) == DEFAULT_ATLAS
    stated = known[known[list(MNI)].notna().all(axis=1) & in_atlas]
    moved = [stated.assign(**{axis: stated[f'mni_{axis}'] for axis in _AXES})]
    done = known['method'].isin(group.request.names) & known['image'].isin(stated['image'])
    done |= known.index.isin(stated.index)
    located = known.groupby('image')['method'].unique()
    registered = []
    issues: list[Issue] = []
    without = []
    for name, rows in known[~done].groupby('image', sort=False):
        path = _to_template(str(name), located[name], group)
        if path is None:
            without.append(_subject(rows))
        else:
            registered.append((rows, path))
    with TransformReader() as reader:
        for rows, path in _evenly(registered):
            try:
                places = reader.move(rows[_AXES].to_numpy(dtype=float), path)
            except ValueError as error:
                message = f'{error}. Its points are not on the glass brain'
                issues.append(Issue(_subject(rows), message, 'warning'))
            else:
                moved.append(rows.assign(**dict(zip(_AXES, places.T, strict=True))))
    points = pd.concat([part for part in moved if len(part)] or moved, ignore_index=True)
    if points.empty:
        return InTemplate(None, DEFAULT_ATLAS, issues)
    issues += [Issue(subject, _WITHOUT, 'note') for subject in dict.fromkeys(without)]
    if len(registered) > MOST_IMAGES:
        message = (
            f'the glass brain shows {MOST_IMAGES} of {len(registered)} images with a registration '
            f'to {DEFAULT_ATLAS}, evenly from all; the tables have all participants'
        )
        issues.append(Issue('', message, 'note'))
    return InTemplate(points, DEFAULT_ATLAS, issues)


def _subject(rows: pd.DataFrame) -> str:
    return rows['participant_id'].iloc[0].removeprefix('sub-')


def _evenly(
    registered: Sequence[tuple[pd.DataFrame, Path]],
) -> list[tuple[pd.DataFrame, Path]]:
    """Choose at most `MOST_IMAGES`, evenly from first to last."""
    if len(registered) <= MOST_IMAGES:
        return list(registered)
    places = np.linspace(0, len(registered) - 1, MOST_IMAGES).round().astype(int)
    return [registered[place] for place in places]


def _to_template(name: str, methods: Iterable[str], group: Group) -> Path | None:
    """Find the transform that moves points of an image to the template, by its methods' points."""
    atlases = {group.atlases.get((name, method)) for method in methods}
    if DEFAULT_ATLAS not in atlases:
        return None
    # Points move against images: this transform resamples the template onto the grid of the T1w.
    names = {'from': DEFAULT_ATLAS, 'to': 'T1w', 'mode': 'image'}
    path = group.request.layout.derivative(group.images[name], 'xfm', '.h5', **names)
    return path if path.is_file() else None
