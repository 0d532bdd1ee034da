"""The steps of the demonstration, each done once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tmsprep.bids.names import Layout

SPEED = Path(__file__).resolve().parents[1] / 'coeruleus_speed.py'
PROTOCOL, RECIPE, RATER = 'locus-coeruleus', 'quick', 'rater1'


class Plan(NamedTuple):
    """What is run.

    Parameters
    ----------
    home : Path
        Holds ``bids``, ``out``, ``work`` and ``speed.json``.
    participants, held_out, folds : int
        Number of participants, of those held out, and of folds of the others.
    epochs : int or None
        Of every training; None for as many as the recipe says.
    processes : int
        Trainings at a time, one thread each.
    seed : int
        Seed of the first participant, and of the partition.
    """

    home: Path
    participants: int = 82
    held_out: int = 23
    folds: int = 5
    epochs: int | None = None
    processes: int = 2
    seed: int = 1

    @property
    def bids(self) -> Path:
        """The simulated data set."""
        return self.home / 'bids'

    @property
    def out(self) -> Path:
        """The outputs."""
        return self.home / 'out'

    @property
    def layout(self) -> Layout:
        """Names of the outputs."""
        return Layout(self.out, PROTOCOL)

    @property
    def crossval_sidecar(self) -> Path:
        """How the cross-validation was done."""
        return self.layout.level('crossval', 'points', '.json')

    @property
    def speed(self) -> Path:
        """Seconds and memory."""
        return self.home / 'speed.json'


def make_phantoms(plan: Plan) -> None:
    """Write the simulated participants, unless they exist.

    Raises
    ------
    ValueError
        If another number of them exists.
    """
    if (plan.bids / 'dataset_description.json').is_file():
        there = len(list(plan.bids.glob('sub-*')))
        if there != plan.participants:
            raise ValueError(
                f'{plan.bids}: holds {there} participants, not {plan.participants}; delete the '
                'folder, or give --participants'
            )
        return
    _run(
        *('-m', 'tmsprep.phantoms.neuromelanin', str(plan.bids)),
        *('--participants', str(plan.participants), '--seed', str(plan.seed)),
        *('--coverage', 'stem'),
    )


def crossval_command(plan: Plan) -> list[str]:
    """Return the arguments of the cross-validation."""
    epochs = [] if plan.epochs is None else ['--epochs', str(plan.epochs)]
    return [
        *('-m', 'tmsprep', str(plan.bids), str(plan.out), 'crossval'),
        *('--protocol', PROTOCOL, '--recipe', RECIPE),
        *('--annotations', str(plan.bids / 'derivatives' / RATER)),
        *('--folds', str(plan.folds), '--held-out', str(plan.held_out), *epochs),
        *('--random-seed', str(plan.seed)),
        *('--nprocs', str(plan.processes), '--omp-nthreads', '1', '-w', str(plan.home / 'work')),
    ]


def crossvalidate(plan: Plan) -> None:
    """Cross-validate, unless that was done with these numbers; resumes an interrupted run."""
    if not is_crossvalidated(plan):
        _run(*crossval_command(plan))


def is_crossvalidated(plan: Plan) -> bool:
    """Tell whether the outputs are those of the plan."""
    path = plan.crossval_sidecar
    if not path.is_file():
        return False
    said = json.loads(path.read_text(encoding='utf-8'))
    epochs = said.get('Recipe', {}).get('schedule', {}).get('epochs')
    found = (said.get('Participants'), said.get('HeldOut'), said.get('Folds'))
    wanted = (plan.participants, plan.held_out, plan.folds)
    return found == wanted and plan.epochs in (None, epochs)


def summarise_group(plan: Plan) -> None:
    """Write the group's tables, which takes seconds."""
    _run('-m', 'tmsprep', str(plan.bids), str(plan.out), 'group', '--protocol', PROTOCOL)


def measure_speed(plan: Plan, shape: Sequence[int]) -> None:
    """Measure seconds and memory of LPP and NPP, unless that was done."""
    if not plan.speed.is_file():
        sides = [str(size) for size in shape]
        _run(str(SPEED), '--recipe', RECIPE, '--shape', *sides, '--json', str(plan.speed))


def _run(*arguments: str) -> None:
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    subprocess.run([sys.executable, *arguments], check=True, env=environment)
