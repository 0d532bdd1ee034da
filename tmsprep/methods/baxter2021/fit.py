"""From prepared people to a weights file, its model card, log and learning curve."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tmsprep.evaluation.conformal import calibrate
from tmsprep.learning.curve import plot_learning_curve
from tmsprep.learning.log import LogRow, write_log
from tmsprep.methods.baxter2021.card import Fitted, card_entries, write_model_card
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.members import Plan, Report, train_member
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.validation import (
    dispersions_of,
    doubtful,
    errors_of,
    make_localizer,
    predict_people,
)
from tmsprep.methods.baxter2021.weights import Localizer, save_localizer
from tmsprep.protocols import Protocol

logger = logging.getLogger(__name__)

_LEARNT_MM = 10.0
"""Mean error in them that is too much for any use (our choice)."""


def fit_ensemble(
    plan: Plan,
    out_dir: Path,
    *,
    seeds: Sequence[int],
    start: Localizer | None = None,
    facts: Mapping[str, str] | None = None,
    report: Report | None = None,
) -> Path:
    """Train the members of an ensemble one after the other and write all that belongs to them.

    Called again after a kill, it goes on from the checkpoints and gives the same weights as an
    unbroken run.

    Parameters
    ----------
    plan : Plan
        What all members have in common. Each target must have a point in somebody to train on;
        on those kept aside the error is measured, and the error radius calibrated.
    out_dir : Path
        For ``localizer_<protocol>.safetensors``, the model card ``localizer_<protocol>.md``,
        ``train_log.tsv`` and ``figures/learning_curve.svg``.
    seeds : sequence of int
        One per member.
    start : Localizer, optional
        Whose weights to begin from; members take its members in turn, and their shape.
    facts : mapping, optional
        What the caller knows for the model card, such as 'data'.
    report : callable, optional
        Is told of each step.

    Returns
    -------
    Path
        The weights file, which is written last.

    Raises
    ------
    ValueError
        If a target has no point in anybody to train on, a training diverged, or `start` is for
        other targets or has other residual layers.
    """
    check_targets(plan.training, plan.protocol)
    if start is not None:
        check_start(start, plan.protocol, plan.settings.residual)
        plan = replace(plan, settings=start.members[0].settings)
    members, rows = _train_members(plan, seeds, start, report)
    localizer = make_localizer(members, plan.training, plan.recipe, plan.protocol)
    localizer, errors = _measured(localizer, plan)
    learnt = _learnt(localizer, plan, errors)
    for member in members:
        member.cpu()
    fitted = Fitted(localizer, plan, tuple(seeds), errors, learnt, facts or {})
    name = f'localizer_{re.sub("[^A-Za-z0-9-]+", "_", plan.protocol.name)}'
    out_dir = Path(out_dir)
    write_log(out_dir / 'train_log.tsv', rows)
    plot_learning_curve(out_dir / 'figures' / 'learning_curve.svg', rows)
    write_model_card(out_dir / f'{name}.md', name, fitted)
    localizer = replace(localizer, card=card_entries(name, fitted))
    return save_localizer(out_dir / f'{name}.safetensors', localizer)


def _train_members(
    plan: Plan, seeds: Sequence[int], start: Localizer | None, report: Report | None
) -> tuple[list[MultiResolutionNet], list[LogRow]]:
    members, rows = [], []
    for i, seed in enumerate(seeds):
        begin = None if start is None else start.members[i % len(start.members)]
        its_plan = plan if begin is None else replace(plan, settings=begin.settings)
        network, log = train_member(its_plan, i + 1, seed, begin, report)
        members.append(network)
        rows += log
    return members, rows


def check_targets(people: Sequence[Person], protocol: Protocol) -> None:
    """Refuse to train when a target has no point in anybody.

    Raises
    ------
    ValueError
        With the targets and the cure.
    """
    known = np.zeros(len(protocol.labels), dtype=bool)
    for person in people:
        known |= np.isfinite(person.points.numpy()).all(axis=-1)
    lacking = [label for label, there in zip(protocol.labels, known, strict=True) if not there]
    if lacking:
        raise ValueError(
            f'nobody to train on has a point for {", ".join(lacking)}: annotate it in at least '
            'one person, or give --protocol FILE.toml without it'
        )


def check_start(start: Localizer, protocol: Protocol, residual: str) -> None:
    """Refuse weights that cannot be gone on from.

    Raises
    ------
    ValueError
        With what differs.
    """
    if tuple(start.labels) != protocol.labels:
        raise ValueError(
            f'--weights are for the targets {", ".join(start.labels)}, but protocol '
            f'{protocol.name} has {", ".join(protocol.labels)}: they must be the same, in order'
        )
    theirs = start.members[0].settings.residual
    if theirs != residual:
        raise ValueError(
            f'--weights have {theirs} residual layers: give --residual {theirs} to go on from them'
        )


def _measured(localizer: Localizer, plan: Plan) -> tuple[Localizer, np.ndarray | None]:
    """Add the error radius; return also the errors, shape (people, targets), mm."""
    if not plan.validation:
        return localizer, None
    predictions = predict_people(localizer, plan.validation, plan.device)
    errors = errors_of(predictions, plan.validation)
    several = len(localizer.members) > 1
    scatter = dispersions_of(predictions) if several else None
    radius = calibrate(errors, scatter, localizer.labels)
    return replace(localizer, calibration=radius.as_dict()), errors


def _learnt(localizer: Localizer, plan: Plan, aside: np.ndarray | None) -> float:
    """Mean error in mm in the images of the training; warn if it has not learnt them."""
    found = errors_of(predict_people(localizer, plan.training, plan.device), plan.training)
    mean = float(np.nanmean(found))
    if mean > _LEARNT_MM:
        logger.warning(
            'the network is still %.0f mm off in the very images it was trained on: do not use '
            'it. Train with more --steps',
            mean,
        )
        return mean
    people = [*plan.training, *plan.validation]
    errors = found if aside is None else np.concatenate([found, aside])
    for name, median in doubtful(errors, [person.name for person in people]).items():
        logger.warning(
            '%s: the points given are %.0f mm (median) from where the network finds them, which '
            'is right elsewhere: they may belong to another image. Look at them, and train again',
            name,
            median,
        )
    return mean
