"""Who of the participants this run may work on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tmsprep.atomic import remove_partials
from tmsprep.running.locks import lock_labels

if TYPE_CHECKING:
    from tmsprep.bids import ImageRef
    from tmsprep.config import RunConfig

logger = logging.getLogger('tmsprep')

TAKEN = (
    'left out, because another run is working on this participant in the same output or working '
    'folder; wait for that run to end, then start the same command again'
)


@contextmanager
def claim_participants(
    config: RunConfig, images: Mapping[str, Sequence[ImageRef]]
) -> Iterator[dict[str, Sequence[ImageRef]]]:
    """Hold participants for this run, and clear up what a killed run left of them.

    Two runs at once on one participant would mix their results, or delete each other's
    intermediate files.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    images : Mapping
        Participant label to T1w images.

    Yields
    ------
    dict
        Those participants that no other run holds, until the block ends.
    """
    with (
        lock_labels(config.out_dir / 'logs', images) as free,
        lock_labels(config.work_dir, sorted(free)) as mine,
    ):
        for subject in sorted(mine):
            remove_partials(config.out_dir, f'sub-{subject}_protocol-')
            for root in (config.out_dir, config.out_dir / 'logs'):
                remove_partials(root / f'sub-{subject}', below=True)
        for subject in images:
            if subject not in mine:
                logger.warning('sub-%s: %s', subject, TAKEN)
        yield {subject: several for subject, several in images.items() if subject in mine}
