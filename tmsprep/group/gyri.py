"""How far every point of a group is from the gyrus of its target, in its own image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import nibabel as nib
import pandas as pd

from tmsprep.derivatives.gyri import gyrus_distance, read_gyri
from tmsprep.evaluation.membership import DISTANCE
from tmsprep.group.analysis import Group
from tmsprep.group.issues import Issue
from tmsprep.protocols import Protocol


def with_gyri(group: Group) -> Group:
    """Add the distance of every point from the gyrus of its target.

    Only images whose outputs hold the label maps of the participant level have it; of others
    nothing is known. Maps of another image than that of the points are not used.
    """
    request = group.request
    if not request.protocol.gyri:
        return group
    parts, issues = [], []
    for name, own in group.points.groupby('image', sort=False):
        image = group.images.get(str(name))
        try:
            maps = image and read_gyri(request.layout, image, group.checksums.get(str(name), ''))
        except ValueError as error:
            maps = None
            subject = str(name).split('_')[0].removeprefix('sub-')
            issues.append(Issue(subject, f'no shares of points in gyri: {error}', 'warning'))
        if maps:
            parts.append(_distances(own, maps, request.protocol))
    if not parts:
        return group.with_issues(issues)
    points = group.points.copy()
    distances = pd.concat(parts)
    points.loc[distances.index, DISTANCE] = distances
    return replace(group, points=points).with_issues(issues)


def _distances(
    own: pd.DataFrame, maps: Mapping[str, nib.Nifti1Image], protocol: Protocol
) -> pd.Series:
    """Distances of the points of one image, with their index."""
    found = pd.Series(float('nan'), index=own.index)
    for target in protocol.targets:
        there = own[own['label'] == target.label]
        if target.gyrus and len(there):
            places = there[['x', 'y', 'z']].to_numpy(float)
            found[there.index] = gyrus_distance(maps, places, target.hemisphere, target.gyrus)
    return found
