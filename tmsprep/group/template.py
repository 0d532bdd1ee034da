"""Everybody's points in the space of the default atlas, by the registrations in the outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, derivative_path
from tmsprep.group.issues import Issue
from tmsprep.registration.names import DEFAULT_ATLAS
from tmsprep.registration.transforms import move_coordinates

_AXES = ['x', 'y', 'z']

MOST_IMAGES = 50
"""Of more images some are taken, evenly: reading a registration takes up to two seconds, and the
glass brain shows a hundred points of each target at most (our choice)."""

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
        points that are known, of images with a registration, of `MOST_IMAGES` at most; None if
        there are none.
    space : str
        Name of the template.
    issues : list of Issue
        Who is not in `points`, and transforms that cannot be read.
    """

    points: pd.DataFrame | None
    space: str
    issues: list[Issue]


def template_points(
    points: pd.DataFrame, images: Mapping[str, ImageRef], out_dir: Path
) -> InTemplate:
    """Move points from the frames of their images to the default atlas.

    A registration counts only beside points that SyN found in the same image with that atlas: if
    the image was replaced since, its tables went, and its transforms may be of the image before.

    Parameters
    ----------
    points : pandas.DataFrame
        See `tmsprep.group.points.COLUMNS`: mm, RAS+, scanner frame of each image.
    images : mapping of str to ImageRef
        By name, those that the participant level has outputs of. They are not opened.
    out_dir : Path
        Folder of all derivatives.
    """
    known = points.dropna(subset=_AXES)
    registered, moved, issues, without = [], [], [], []
    for name, rows in known.groupby('image', sort=False):
        path = _to_template(rows, images.get(name), out_dir)
        if path is None:
            without.append(_subject(rows))
        else:
            registered.append((rows, path))
    for rows, path in _evenly(registered):
        subject = _subject(rows)
        try:
            places = move_coordinates(rows[_AXES].to_numpy(dtype=float), path)
        except ValueError as error:
            message = f'{error}. Its points are not on the glass brain'
            issues.append(Issue(subject, message, 'warning'))
        else:
            moved.append(rows.assign(**dict(zip(_AXES, places.T, strict=True))))
    if not moved:
        return InTemplate(None, DEFAULT_ATLAS, issues)
    issues += [Issue(subject, _WITHOUT, 'note') for subject in dict.fromkeys(without)]
    if len(registered) > MOST_IMAGES:
        message = (
            f'the glass brain shows {MOST_IMAGES} of {len(registered)} images with a registration '
            f'to {DEFAULT_ATLAS}, evenly from all; the tables are of everybody'
        )
        issues.append(Issue('', message, 'note'))
    return InTemplate(pd.concat(moved, ignore_index=True), DEFAULT_ATLAS, issues)


def _subject(rows: pd.DataFrame) -> str:
    return rows['participant_id'].iloc[0].removeprefix('sub-')


def _evenly(
    registered: Sequence[tuple[pd.DataFrame, Path]],
) -> list[tuple[pd.DataFrame, Path]]:
    """Take at most `MOST_IMAGES`, evenly from first to last."""
    if len(registered) <= MOST_IMAGES:
        return list(registered)
    places = np.linspace(0, len(registered) - 1, MOST_IMAGES).round().astype(int)
    return [registered[place] for place in places]


def _to_template(rows: pd.DataFrame, image: ImageRef | None, out_dir: Path) -> Path | None:
    """Find the file that takes points of an image to the template."""
    if image is None or 'syn' not in set(rows['method']):
        return None
    sidecar = derivative_path(out_dir, image, desc='syn', suffix='targets', extension='.json')
    atlas = json.loads(sidecar.read_text(encoding='utf-8')).get('Atlas')
    if not isinstance(atlas, dict) or atlas.get('Name') != DEFAULT_ATLAS:
        return None
    # Points go against images: the file that brings the template's image to the T1w's grid.
    names = {'from': DEFAULT_ATLAS, 'to': 'T1w', 'mode': 'image'}
    path = derivative_path(out_dir, image, suffix='xfm', extension='.h5', **names)
    return path if path.is_file() else None
