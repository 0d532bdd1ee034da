"""Train the parcellation network that ships with the package.

``python benchmarks/gyri_weights.py DATA OUT --destination FILE`` trains it; call it again to
resume. DATA is laid out as for `default_data`, with the parcellations in
``derivatives/dlmuse``.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from painting import corrupt
from torch import nn

from tmsprep.evaluation.shape import read_places
from tmsprep.gyri.frame import SHAPE, SIDES, grid_affine, grid_points, onto
from tmsprep.gyri.labels import CLASSES, NAMES, class_lookup
from tmsprep.gyri.parcellation import GyrusNet, save_parcellation
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.read import load_nifti
from tmsprep.learning.examples import Example
from tmsprep.learning.log import write_log
from tmsprep.learning.loop import Schedule, Task, cosine_rate, fit, generator_of, rounded
from tmsprep.methods.baxter2021.prepared import PreparedImage, conformed_affine, load_prepared
from tmsprep.networks.crops import sample
from tmsprep.networks.settings import UNetSettings
from tmsprep.networks.unet import initialise
from tmsprep.protocols import load_protocol
from tmsprep.tables import write_json

from default_data import VALIDATION_EVERY, read_examples, target_gyri

logger = logging.getLogger(__name__)

#: Features per level, from voxels of 4 mm on.
FEATURES = (32, 64, 96)

#: Learning rate at the start, and decay of the running mean of the weights.
RATE, AVERAGING = 3e-3, 0.998

#: Classes in which targets lie: weighed most, and measured.
MEASURED = target_gyri(load_protocol('tms'))

_GRID = {side: torch.from_numpy(grid_points(grid_affine(side))).float() for side in SIDES}
_MIDDLE = {side: _GRID[side].reshape(-1, 3).mean(dim=0) for side in SIDES}


@dataclass(frozen=True)
class Parcellated:
    """An image with its parcellation.

    Parameters
    ----------
    image : PreparedImage
        Intensities.
    codes : numpy.ndarray
        uint8 numbers of the parcellation on its own grid.
    to_codes : numpy.ndarray
        Shape (4, 4): scanner mm to indices of `codes`.
    affine : numpy.ndarray
        Shape (4, 4) of the conformed volume.
    points : numpy.ndarray
        Shape (targets, 3), mm, scanner frame; NaN where missing.
    """

    image: PreparedImage
    codes: np.ndarray
    to_codes: np.ndarray
    affine: np.ndarray
    points: np.ndarray

    def look(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Intensities and numbers of the parcellation at places in scanner mm."""
        corner = _affine(np.linalg.inv(self.affine), places) + 0.5
        values = sample(self.image.pyramid[1], corner, float(CONFORMED_SIZE))
        index = _affine(self.to_codes, places).round().long()
        size = torch.tensor(self.codes.shape)
        inside = ((index >= 0) & (index < size)).all(dim=-1)
        i, j, k = index.clamp_min(0).minimum(size - 1).unbind(-1)
        codes = torch.from_numpy(self.codes)[i, j, k].long()
        return values, codes * inside


def _affine(matrix: np.ndarray, places: torch.Tensor) -> torch.Tensor:
    """Apply an affine, shape (4, 4), to places, shape (..., 3), in single precision."""
    linear = torch.from_numpy(matrix).float()
    return places @ linear[:3, :3].T + linear[:3, 3]


def load_parcellated(examples: Sequence[Example], cache: Path) -> list[Parcellated]:
    """Prepare images, see `load_prepared`, and read their parcellations."""
    loaded = []
    for image, example in zip(load_prepared(examples, cache), examples, strict=True):
        assert example.mask is not None
        assert example.points is not None
        parcels = load_nifti(example.mask)
        loaded.append(
            Parcellated(
                image,
                np.asanyarray(parcels.dataobj).astype(np.uint8),
                np.linalg.inv(parcels.affine),
                conformed_affine(example.name, cache),
                example.points.coordinates,
            )
        )
    return loaded


def draw(
    one: Parcellated, side: str, landmarks: np.ndarray, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a random view of one hemisphere: intensities and classes, each of shape `SHAPE`."""
    places = _GRID[side] + _elastic(generator)
    places = (places - _MIDDLE[side]) @ _pose(generator).T + _MIDDLE[side]
    places = places + 4 * torch.randn(3, generator=generator)
    values, codes = one.look(_affine(onto(landmarks, one.points), places))
    seen = corrupt(values.clamp_min(0), codes, generator)
    return seen, torch.from_numpy(class_lookup(side)).long()[codes]


def _pose(generator: torch.Generator) -> torch.Tensor:
    """Rotation and size by which points that are off lay a head otherwise."""
    x, y, z = (torch.randn(3, generator=generator) * math.radians(7)).tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    size = 0.07 * torch.randn(1, generator=generator) + 0.04 * torch.randn(3, generator=generator)
    return torch.linalg.matrix_exp(cross) * size.exp()


def _elastic(generator: torch.Generator) -> torch.Tensor:
    """Smooth random displacement, mm, shape (*SHAPE, 3)."""
    size = 3.0 * torch.rand(1, generator=generator)
    knots = size * torch.randn(1, 3, 5, 7, 7, generator=generator)
    field = F.interpolate(knots, SHAPE, mode='trilinear', align_corners=True)
    return field[0].permute(1, 2, 3, 0)


def class_weights() -> torch.Tensor:
    """Weigh the classes in the cross-entropy: gyri of targets most, what is not brain least."""
    weights = torch.ones(len(CLASSES))
    weights[[NAMES.index(name) for name in MEASURED]] = 3.0
    weights[0] = 0.5
    return weights


def parcellation_loss(odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice loss over all classes but the first.

    Parameters
    ----------
    odds : torch.Tensor
        Shape (batch, classes, n, m, k).
    truth : torch.Tensor
        Shape (batch, n, m, k), whole numbers.
    """
    entropy = F.cross_entropy(odds, truth, class_weights(), label_smoothing=0.02)
    wanted = [NAMES.index(name) for name in MEASURED]
    shares = odds.softmax(dim=1)[:, wanted]
    targets = torch.stack([truth == index for index in wanted], dim=1).float()
    axes = (0, 2, 3, 4)
    overlap = 2 * (shares * targets).sum(axes)
    return entropy + 0.5 * (1 - overlap / (shares.sum(axes) + targets.sum(axes) + 1)).mean()


class GyriTask(Task):
    """Training of the parcellation.

    Parameters
    ----------
    training, validation : sequence of Parcellated
        Training set and validation set.
    landmarks : numpy.ndarray
        Shape (targets, 3), mm, MNI.
    steps, batch, seed : int
        Optimiser steps, hemispheres per step, and seed of all that is random.
    """

    def __init__(
        self,
        training: Sequence[Parcellated],
        validation: Sequence[Parcellated],
        landmarks: np.ndarray,
        steps: int,
        batch: int,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        network = GyrusNet(UNetSettings(FEATURES, 2))
        initialise(network)
        self.networks = [network]
        self.training, self.validation = training, validation
        self.landmarks, self.batch, self.seed = landmarks, batch, seed
        self.schedule = Schedule(
            steps,
            50,
            partial(torch.optim.AdamW, lr=RATE, weight_decay=1e-3),
            cosine_rate(RATE, steps),
            clip=1.0,
            keep='average',
            averaging=AVERAGING,
            validate_every=8,
        )

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`."""
        generator = generator_of(self.seed, step)
        drawn = []
        for _ in range(self.batch):
            chosen = int(torch.randint(len(self.training), (1,), generator=generator))
            side = SIDES[int(torch.randint(2, (1,), generator=generator))]
            drawn.append(draw(self.training[chosen], side, self.landmarks, generator))
        volume, truth = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        with torch.autocast('cpu', dtype=torch.bfloat16):
            odds = network(volume)
        return parcellation_loss(odds.float(), truth)

    def validate(self, network: nn.Module) -> float:
        """Mean Dice of the measured gyri in the validation set."""
        scores = [dice_of(network, one, self.landmarks) for one in self.validation]
        return float(np.mean([list(score.values()) for score in scores]))


def dice_of(network: nn.Module, one: Parcellated, landmarks: np.ndarray) -> dict[str, float]:
    """Dice of each measured gyrus with the parcellation, both hemispheres together."""
    overlap = np.zeros((3, len(MEASURED)))
    with torch.inference_mode(), torch.autocast('cpu', dtype=torch.bfloat16):
        for side in SIDES:
            places = _affine(onto(landmarks, one.points), _GRID[side])
            values, codes = one.look(places)
            found = network(values[None])[0].argmax(0).numpy()
            truth = class_lookup(side)[codes.numpy()]
            for i, name in enumerate(MEASURED):
                index = NAMES.index(name)
                overlap[:, i] += (
                    ((found == index) & (truth == index)).sum(),
                    (found == index).sum(),
                    (truth == index).sum(),
                )
    shares = 2 * overlap[0] / np.maximum(overlap[1] + overlap[2], 1)
    return dict(zip(MEASURED, shares.tolist(), strict=True))


def train(
    data: Path,
    reference: Path | None,
    out: Path,
    steps: int,
    batch: int,
    seed: int,
    destination: Path,
) -> None:
    """Train to the last step, resuming from the checkpoint in `out`, and write the weights."""
    protocol = load_protocol('tms')
    landmarks = read_places(protocol.file(protocol.atlas['points']), protocol).coordinates
    examples = read_examples(data, protocol, 'train', reference)
    loaded = load_parcellated(examples, out / 'cache')
    training = [one for i, one in enumerate(loaded) if i % VALIDATION_EVERY]
    validation = loaded[::VALIDATION_EVERY]
    task = GyriTask(training, validation, landmarks, steps, batch, seed)
    name = f'gyri-{seed}'
    trained = fit(
        task,
        f'{name} {FEATURES} {steps} {batch}',
        out / f'{name}.pt',
        lambda row: logger.info('%s', row),
    )
    write_log(
        out / f'{name}.log.tsv',
        {name: trained.log},
        'step',
        {name: ('cross-entropy and Dice loss', 'Dice')},
    )
    network = cast(GyrusNet, rounded(trained.network))
    scores = [dice_of(network, one, landmarks) for one in validation]
    mean = {gyrus: round(float(np.mean([s[gyrus] for s in scores])), 4) for gyrus in MEASURED}
    card = {'seed': str(seed), 'steps': str(steps), 'validation_dice': json.dumps(mean)}
    save_parcellation(destination, network, protocol.labels, landmarks, card)
    write_json(out / f'{name}.json', {'dice': scores, **card})


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--reference', type=Path, help='written by reference.py')
    parser.add_argument('--steps', type=int, default=5000)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--destination', type=Path, required=True, metavar='FILE')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(options.threads)
    train(
        options.data,
        options.reference,
        options.out,
        options.steps,
        options.batch,
        options.seed,
        options.destination,
    )


if __name__ == '__main__':
    main()
