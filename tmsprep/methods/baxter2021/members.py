"""One network of an ensemble: trained, logged, and resumed after a kill."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from tmsprep import __version__
from tmsprep.learning.log import LogRow, MemberLog
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.network import MultiResolutionNet, NetworkSettings
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.training import Training
from tmsprep.methods.baxter2021.validation import errors_of, make_localizer, predict_people
from tmsprep.protocols import Protocol

Report = Callable[[int, int, float, float | None], None]
"""Called after each step with member and step, counted from 1, the loss, and the mean error in mm
of those kept aside if it has just been measured."""


@dataclass(frozen=True)
class Plan:
    """All that the trainings of one ensemble have in common.

    Parameters
    ----------
    training, validation : sequence of Person
        To train on, and to measure errors on.
    protocol : Protocol
        The targets.
    recipe : Recipe
        How to train.
    settings : NetworkSettings
        Shape of the networks.
    checkpoints : Path
        Folder for what is needed to go on after a kill.
    fingerprints : mapping
        Name of a person to what changes with the image.
    half_precision : bool
        Compute convolutions in bfloat16.
    device : str
        'cpu' or 'cuda'.
    """

    training: Sequence[Person]
    validation: Sequence[Person]
    protocol: Protocol
    recipe: Recipe
    settings: NetworkSettings
    checkpoints: Path
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    half_precision: bool = False
    device: str = 'cpu'


def train_member(
    plan: Plan,
    member: int,
    seed: int,
    start: MultiResolutionNet | None = None,
    report: Report | None = None,
) -> tuple[MultiResolutionNet, list[LogRow]]:
    """Train one network, from its checkpoint if there is one.

    Parameters
    ----------
    plan : Plan
        What to train, on whom.
    member : int
        Counted from 1.
    seed : int
        Of the training.
    start : MultiResolutionNet, optional
        Whose weights to begin from.
    report : callable, optional
        Is told of each step.

    Returns
    -------
    network : MultiResolutionNet
        In evaluation mode, on the CPU, its weights rounded as the weights file rounds them.
    rows : list of LogRow
        Its log, that of interrupted runs included.

    Raises
    ------
    ValueError
        If the training diverged, or its checkpoint is damaged.
    """
    training = Training(
        plan.settings,
        plan.recipe,
        plan.protocol,
        seed,
        half_precision=plan.half_precision,
        start=start,
        device=plan.device,
    )
    checkpoint = plan.checkpoints / f'member-{seed}_{checkpoint_key(plan, seed, start)}.pt'
    if checkpoint.is_file():
        _take_up(training, checkpoint)
    log = MemberLog(checkpoint.with_suffix('.tsv'), member, plan.recipe.steps, training.step)

    def progress(step: int, loss: float) -> None:
        measured = log.add(step, loss, lambda: _mean_error(plan, training))
        if report is not None:
            report(member, step, loss, measured)

    network = training.run(plan.training, checkpoint, every=log.every, progress=progress).cpu()
    if not all(values.isfinite().all() for values in network.parameters()):
        raise ValueError(
            f'the training of member {member} diverged (its weights are not finite): '
            'train with --recipe default, or from another --random-seed'
        )
    return rounded(network), log.rows


def checkpoint_key(plan: Plan, seed: int, start: MultiResolutionNet | None) -> str:
    """Checksum of all that decides how a training goes, 16 digits.

    A checkpoint of other people, points, images, settings or code is never gone on from. Where
    it is computed, and how precisely, does not count: a training may move to another machine.
    """
    content = {
        'version': __version__,
        'recipe': asdict(plan.recipe),
        'settings': plan.settings.as_dict(),
        'targets': [asdict(target) for target in plan.protocol.targets],
        'seed': seed,
        'start': '' if start is None else _checksum(start),
        'people': [
            (p.name, plan.fingerprints.get(p.name, ''), repr(p.points.tolist()))
            for group in (plan.training, plan.validation)
            for p in group
        ],
        'kept_aside': len(plan.validation),
    }
    text = json.dumps(content, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rounded(network: MultiResolutionNet) -> MultiResolutionNet:
    """Round weights to half precision, so that what is measured is what the file will hold."""
    state = {name: value.half().float() for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    return network.eval()


def _checksum(network: MultiResolutionNet) -> str:
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _take_up(training: Training, checkpoint: Path) -> None:
    try:
        training.load(checkpoint)
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f'{checkpoint}: damaged; delete it and run again') from error


def _mean_error(plan: Plan, training: Training) -> float | None:
    """Of those kept aside, with the network as it is now, mm."""
    if not plan.validation:
        return None
    network = training.result()
    localizer = make_localizer([network], plan.training, plan.recipe, plan.protocol)
    errors = errors_of(predict_people(localizer, plan.validation, plan.device), plan.validation)
    training.network.train()
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else None


def bfloat16_is_fast(device: str, cpuinfo: Path = Path('/proc/cpuinfo')) -> bool:
    """Tell whether the machine multiplies in bfloat16 by itself, rather than slowly by detour."""
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = cpuinfo.read_text(encoding='utf-8') if cpuinfo.is_file() else ''
    return 'amx_bf16' in flags or 'avx512_bf16' in flags
