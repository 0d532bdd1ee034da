"""From prepared people to a weights file of the locus coeruleus, and all that belongs to it."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tmsprep import __version__
from tmsprep.learning.folds import participant_of
from tmsprep.learning.loop import Trained
from tmsprep.methods.baxter2021.material import ASIDE_EVERY
from tmsprep.methods.duennwald2021.card import card_entries, write_card
from tmsprep.methods.duennwald2021.coreunet import CoReUNet
from tmsprep.methods.duennwald2021.crossval import FoldTraining, evaluate_fold, train_network
from tmsprep.methods.duennwald2021.curve import plot_epochs, write_epochs
from tmsprep.methods.duennwald2021.patch_unet import PatchUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.records import VolumeRecord, recipe_to_json
from tmsprep.methods.duennwald2021.volumes import LABELS
from tmsprep.methods.duennwald2021.weights import CoeruleusModel, save_coeruleus

logger = logging.getLogger(__name__)

_LEARNT_MM = 10.0
"""Mean error in validation people that is too much for any use (our choice)."""

Report = Callable[[str, dict[str, Any]], None]
"""Is told of each epoch of each network."""


@dataclass(frozen=True)
class CoeruleusPlan:
    """How networks are trained for use.

    Parameters
    ----------
    training, validation : sequence of VolumeRecord
        Whom to train on, and who choose the epoch.
    recipe : CoeruleusRecipe
        How to train.
    augment : bool
        Whether the localizer sees random views.
    seed : int
        Of both networks.
    device : str
        'cpu' or 'cuda'.
    """

    training: Sequence[VolumeRecord]
    validation: Sequence[VolumeRecord]
    recipe: CoeruleusRecipe
    augment: bool
    seed: int
    device: str = 'cpu'

    @property
    def networks(self) -> tuple[str, ...]:
        """What is trained: a segmenter if somebody to train on has a mask."""
        masks = any(person.mask for person in self.training)
        return ('localizer', 'segmenter') if masks else ('localizer',)


def part_people(
    people: Sequence[VolumeRecord],
) -> tuple[list[VolumeRecord], list[VolumeRecord]]:
    """Part people into those to train on and those who choose the epoch.

    Parameters
    ----------
    people : sequence of VolumeRecord
        All images of a participant go the same way.

    Returns
    -------
    training, validation : list of VolumeRecord
        Every `ASIDE_EVERY`-th participant validates; with fewer participants the last one, since
        the best epoch is chosen by somebody (Duennwald et al. 2021, section 2.3).

    Raises
    ------
    ValueError
        If there are fewer than two participants.
    """
    participants = list(dict.fromkeys(participant_of(person.name) for person in people))
    if len(participants) < 2:
        raise ValueError(
            f'{len(participants)} participants with usable images and masks or points; training '
            'needs at least 2, of whom one chooses the epoch. Messages above say what was wrong '
            'with others'
        )
    aside = set(participants[ASIDE_EVERY - 1 :: ASIDE_EVERY] or participants[-1:])
    return (
        [person for person in people if person.participant not in aside],
        [person for person in people if person.participant in aside],
    )


def fit_coeruleus(
    plan: CoeruleusPlan,
    protocol: str,
    out_dir: Path,
    *,
    checkpoints: Path,
    facts: Mapping[str, str],
    report: Report | None = None,
) -> Path:
    """Train the networks one after the other and write all that belongs to them.

    Called again after a kill, it goes on from the checkpoints and gives the same weights as an
    unbroken run.

    Parameters
    ----------
    plan : CoeruleusPlan
        How to train.
    protocol : str
        Its name, for the file names.
    out_dir : Path
        For ``localizer_<protocol>.safetensors``, the model card ``localizer_<protocol>.md``,
        ``train_log.tsv`` and ``figures/learning_curve.svg``.
    checkpoints : Path
        Folder for what a killed run goes on from.
    facts : Mapping
        What the caller knows for the model card: 'data'.
    report : callable, optional
        Is told of each epoch.

    Returns
    -------
    Path
        The weights file, which is written last.

    Raises
    ------
    ValueError
        If a side has no point in anybody to train on, or a checkpoint is damaged.
    FloatingPointError
        If a training diverged.
    """
    known = known_targets(plan.training)
    lacking = [label for label in LABELS if label not in known]
    if lacking:
        raise ValueError(
            f'nobody to train on has {" and ".join(lacking)}: mark this side in at least one '
            'person who does not choose the epoch'
        )
    trained = {name: _train(plan, name, Path(checkpoints), report) for name in plan.networks}
    networks = [rounded(done.network) for done in trained.values()]
    model = model_of(networks, plan.training, {})
    measured = _measure(model, plan)
    if measured['error_mm'] > _LEARNT_MM:
        logger.warning(
            'the network is still %.0f mm off in the people who chose its epoch: do not use it. '
            'Train with more --epochs, or on more people',
            measured['error_mm'],
        )
    name = f'localizer_{re.sub("[^A-Za-z0-9-]+", "_", protocol)}'
    entries = card_entries(name, plan, trained, measured, facts)
    out_dir = Path(out_dir)
    logs = {network: done.log for network, done in trained.items()}
    write_epochs(out_dir / 'train_log.tsv', logs)
    plot_epochs(out_dir / 'figures' / 'learning_curve.svg', logs)
    write_card(out_dir / f'{name}.md', plan, entries)
    finished = replace(model, card={**model.card, **entries})
    return save_coeruleus(out_dir / f'{name}.safetensors', finished)


def known_targets(training: Sequence[VolumeRecord]) -> list[str]:
    """List the targets that anybody has; the others cannot be learnt."""
    known = np.zeros(len(LABELS), bool)
    for person in training:
        known |= person.load().points.isfinite().all(dim=1).numpy()
    return [label for label, there in zip(LABELS, known, strict=True) if there]


def model_of(
    networks: Sequence[nn.Module], training: Sequence[VolumeRecord], card: Mapping[str, str]
) -> CoeruleusModel:
    """Put networks together, with the targets that their training people have on the card.

    Parameters
    ----------
    networks : sequence of torch.nn.Module
        `CoReUNet` and `PatchUNet`, in any order.
    training : sequence of VolumeRecord
        Whom they were trained on.
    card : Mapping
        Further entries.
    """
    return CoeruleusModel(
        LABELS,
        tuple(n for n in networks if isinstance(n, CoReUNet)),
        tuple(n for n in networks if isinstance(n, PatchUNet)),
        {'targets': ' '.join(known_targets(training)), **card},
        training[0].voxel_mm,
    )


def rounded(network: nn.Module) -> nn.Module:
    """Round weights to half precision, so that what is measured is what the file will hold."""
    state = {name: value.half().float() for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    return network.eval()


def _train(plan: CoeruleusPlan, network: str, checkpoints: Path, report: Report | None) -> Trained:
    checkpoint = checkpoints / f'{network}_{_key(plan)}.pt'
    try:
        return train_network(
            plan.training,
            plan.validation,
            FoldTraining(network, plan.augment, plan.seed),
            plan.recipe,
            checkpoint=checkpoint,
            report=None if report is None else lambda row: report(network, row),
            device=plan.device,
        )
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        if not checkpoint.is_file() or _is_whole(checkpoint):
            raise
        raise ValueError(f'{checkpoint}: damaged; delete it and run again') from error


def _is_whole(checkpoint: Path) -> bool:
    try:
        torch.load(checkpoint, weights_only=True, map_location='cpu')
    except Exception:
        return False
    return True


def _key(plan: CoeruleusPlan) -> str:
    """Checksum of all that decides how a training goes, 16 digits; the device does not count."""
    parts = [__version__, recipe_to_json(plan.recipe), str(plan.augment), str(plan.seed)]
    for group in (plan.training, plan.validation):
        parts.append(json.dumps([(p.name, p.fingerprint, p.points) for p in group]))
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]


def _measure(model: CoeruleusModel, plan: CoeruleusPlan) -> dict[str, float]:
    """How the finished networks do in the people who chose their epochs."""
    segmenter = model if model.segmenters else None
    points, segments = evaluate_fold(
        plan.validation, 0, {'with': model}, segmenter, ['lpp'], plan.device
    )
    for network in (*model.localizers, *model.segmenters):
        network.cpu()
    found, reference = (
        np.array([[row[prefix + axis] for axis in 'xyz'] for row in points])
        for prefix in ('', 'reference_')
    )
    errors = np.linalg.norm(found - reference, axis=1)
    overlaps = [row['dice'] for row in segments if np.isfinite(row.get('dice', np.nan))]
    known = errors[np.isfinite(errors)]
    return {
        'points': len(known),
        'error_mm': float(known.mean()) if len(known) else float('nan'),
        'dice': float(np.mean(overlaps)) if overlaps else float('nan'),
    }
