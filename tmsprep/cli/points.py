"""Points of the user's own: checked against the protocol and the template before a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmsprep.bids.names import ImageRef, Layout, shorten
from tmsprep.derivatives.earlier import POINTS, is_own_table
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.methods import methods_of
from tmsprep.methods.base import Method
from tmsprep.methods.resources import ResourceError
from tmsprep.own_points import OwnPoints, read_own_points
from tmsprep.protocols import Protocol
from tmsprep.tables import read_json
from tmsprep.template import SPACES, between
from tmsprep.text import counted, printable

if TYPE_CHECKING:
    from tmsprep.config import ParticipantConfig

logger = logging.getLogger('tmsprep')

#: A point further from the brain of the template is refused: published places of stimulation on
#: the scalp are up to 30 mm away, but points of the cortex, even if rounded, a few.
FAR_MM = 10.0


def own_points(
    config: ParticipantConfig,
    protocol: Protocol,
    methods: Sequence[Method],
    resources: Mapping[str, Mapping[str, Any]],
) -> OwnPoints | None:
    """Read the points of --point and --points; None if there are none.

    Parameters
    ----------
    config : ParticipantConfig
        Settings of the run.
    protocol : Protocol
        The targets.
    methods : sequence of Method
        Methods of the run.
    resources : mapping
        Method to what `Method.resources` returned.

    Raises
    ------
    ResourceError
        If they cannot be read, no method of the run registers to a template, or a point does not
        lie in the brain.
    """
    try:
        own = read_own_points(
            config.point, config.points, config.point_space, config.snap_to_cortex, protocol
        )
    except ValueError as error:
        raise ResourceError(str(error)) from error
    if own is None:
        if config.snap_to_cortex:
            raise ResourceError('--snap-to-cortex moves points of --point or --points; give some')
        return None
    carrier = next((method for method in methods if method.template(resources[method.name])), None)
    if carrier is None:
        raise ResourceError(_without_carrier(protocol, methods))
    _require_brain(own, carrier, carrier.template(resources[carrier.name]))
    logger.info('%s: carried from %s by %s', shorten(list(own.places)), own.space, carrier.title)
    return own


def tell_of_earlier_points(layout: Layout, images: Iterable[ImageRef]) -> None:
    """Log which points of an earlier run go into the outputs of one that was given none.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    images : iterable of ImageRef
        Images of the run.
    """
    found: dict[str, int] = {}
    for image in images:
        path = layout.table(image, POINTS)
        if not is_own_table(path):
            continue
        space = read_json(path.with_suffix('.json')).get('PointSpace')
        name = space.get('Name') if isinstance(space, dict) else 'an unknown template'
        try:
            labels = shorten(list(read_targets(path).labels))
        except ValueError:
            continue
        words = f'{labels} (given in {printable(str(name))})'
        found[words] = found.get(words, 0) + 1
    for words, count in found.items():
        logger.info(
            '%s: points of an earlier run, kept for %s, as this run was given none; they go into '
            'reports and files for navigators, whatever --targets says. To be rid of them, delete '
            '*_desc-%s_targets.tsv',
            words,
            counted(count, 'image'),
            POINTS,
        )


def _without_carrier(protocol: Protocol, methods: Sequence[Method]) -> str:
    """Say what the run lacks: a method, or a template as the atlas."""
    able = [
        method.name
        for method in methods_of(protocol)
        if type(method).template is not Method.template
    ]
    if not able:
        return f'--point, --points: no method of protocol {protocol.name} registers to a template'
    running = [method.name for method in methods if method.name in able]
    if running:
        return (
            f'--point, --points: {running[0]} registers to an atlas whose place in '
            f'{", ".join(SPACES)} is not known; leave out the points or that atlas'
        )
    names = ' '.join([*(method.name for method in methods), able[0]])
    return (
        f'--point, --points: they come into the image by registration, which this run lacks. '
        f'Run {able[0]} as well: --localizers {names}'
    )


def _require_brain(own: OwnPoints, carrier: Method, template: str) -> None:
    """Refuse points that lie in no brain: of another space, in voxels, or with swapped axes."""
    places = between(np.array(list(own.places.values()), dtype=np.float64), own.space, template)
    distances = carrier.brain_distance(places)
    for name, distance in zip(own.places, distances.tolist(), strict=True):
        if distance > FAR_MM:
            where = ', '.join(f'{number:g}' for number in own.places[name])
            far = f'{distance:.0f} mm' if np.isfinite(distance) else 'far'
            raise ResourceError(
                f'point {name} ({where}) lies {far} outside the brain of {own.space}. Give mm, '
                'RAS+ (x to the right, y to the front, z to the top), and the right --point-space'
            )
