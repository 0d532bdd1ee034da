"""The way between an image and the template that it was registered to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import distance_transform_edt

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import source_sha256
from tmsprep.methods.syn.reuse import preset_of
from tmsprep.outcome import Outcome
from tmsprep.registration.atlas import default_mask
from tmsprep.registration.guarded import TransformReader
from tmsprep.template import SPACES, TemplateMap
from tmsprep.text import printable

#: Air around the template in which distances are computed, mm.
_MARGIN_MM = 30


def template_map(
    outcome: Outcome, image: ImageRef, layout: Layout, sha256: str
) -> TemplateMap | None:
    """Return the registration of an image to a template; see `Method.template_map`.

    Returns
    -------
    TemplateMap or None
        None if the image was registered to no template of `SPACES`, the method failed, or the
        transforms of an earlier run are not there or not of this very image.
    """
    atlas = outcome.details.get('Atlas')
    space = str(atlas.get('Name', '')) if isinstance(atlas, dict) else ''
    if space not in SPACES or outcome.points is None:
        return None
    # In the sense of images; points move the other way.
    names = {'to_atlas': ('T1w', space), 'from_atlas': (space, 'T1w')}
    paths = {key: outcome.files.get(key) for key in names}
    if not all(paths.values()):
        earlier = {
            key: layout.derivative(image, 'xfm', '.h5', **{'from': a, 'to': b, 'mode': 'image'})
            for key, (a, b) in names.items()
        }
        if any(source_sha256(path) != sha256 or not path.is_file() for path in earlier.values()):
            return None
        paths = {key: str(path) for key, path in earlier.items()}
    to_atlas, from_atlas = (Path(str(paths[key])) for key in names)
    preset = outcome.details.get('SynPreset') or preset_of(to_atlas)
    words = f'through the registration to {space} by SyN{preset and f", preset {preset}"}'
    if given := outcome.details.get('ReusedTransform'):
        words = f'through transforms to {space} from elsewhere ({printable(given)} and back)'
    return TemplateMap(
        outcome.method,
        space,
        words,
        to_template=lambda points: _move(points, from_atlas),
        from_template=lambda points: _move(points, to_atlas),
    )


def _move(points: np.ndarray, transform: Path) -> np.ndarray:
    with TransformReader() as reader:
        return reader.move(points, transform)


def brain_distance(coordinates: np.ndarray) -> np.ndarray:
    """Distance of points from the brain of the default atlas; see `Method.brain_distance`."""
    mask = default_mask()
    inside = np.asarray(mask.dataobj) > 0
    edge = mask.affine[0, 0]
    # Wide enough for every place that anybody would take for one in a head.
    width = int(_MARGIN_MM / edge)
    away = distance_transform_edt(~np.pad(inside, width), sampling=edge)
    voxels = np.rint(apply_affine(np.linalg.inv(mask.affine), coordinates)).astype(int) + width
    within = ((voxels >= 0) & (voxels < away.shape)).all(axis=1)
    distances = np.full(len(coordinates), np.inf)
    distances[within] = away[tuple(voxels[within].T)]
    return distances
