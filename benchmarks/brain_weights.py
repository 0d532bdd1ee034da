"""Train the brain extraction network that ships with the package.

``python benchmarks/brain_weights.py DATA OUT`` trains it; call it again to resume. DATA is laid
out as for `default_data`; brain masks are the parcellations' voxels above 0.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tmsprep.atomic import atomic_path
from tmsprep.evaluation.masks import dice
from tmsprep.imaging.conform import conform, resample_mask
from tmsprep.imaging.read import load_nifti, read_image
from tmsprep.imaging.volume import halve
from tmsprep.learning.examples import Example
from tmsprep.learning.log import write_log
from tmsprep.learning.loop import Schedule, Task, fit
from tmsprep.methods.baxter2021.augmentation import Augmentation, draw_view
from tmsprep.methods.baxter2021.prepared import PreparedImage, load_prepared
from tmsprep.networks.brain_extraction import save_brain_unet
from tmsprep.networks.crops import crop_positions, sample
from tmsprep.networks.settings import UNetSettings
from tmsprep.networks.unet import BrainUNet
from tmsprep.protocols import load_protocol
from tmsprep.tables import write_json

from default_data import VALIDATION_EVERY, read_examples

#: Strong, as the images of one scanner stand for those of all others.
AUGMENTATION = Augmentation(
    rotation=10,
    translation=5,
    far=0.2,
    scale=0.08,
    mirror=0.5,
    gamma=0.35,
    bias=0.3,
    noise=0.12,
    blur=0.2,
    stripped=0.1,
    cuts=0.3,
)

#: Voxels of 2 mm along each edge of a training crop.
CROP = 96

#: Learning rate at the start.
RATE = 3e-3


def mask_volume(example: Example, cache: Path) -> torch.Tensor:
    """Share of brain in each 2 mm voxel of the conformed volume, 0 to 255, kept in `cache`."""
    path = cache / f'{example.name}.mask.npy'
    if not path.is_file():
        assert example.mask is not None
        conformed = conform(read_image(example.image))
        inside = resample_mask(load_nifti(example.mask), conformed).get_fdata(dtype=np.float32)
        with atomic_path(path) as partial:
            np.save(partial, (halve(inside) * 255).astype(np.uint8))
    return torch.from_numpy(np.load(path))


def segmentation_loss(odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice loss (Milletari et al. 2016), averaged over images."""
    probability = odds.sigmoid()
    axes = (1, 2, 3)
    overlap = 2 * (probability * truth).sum(axes)
    dice = overlap / (probability.square().sum(axes) + truth.square().sum(axes) + 1)
    return F.binary_cross_entropy_with_logits(odds, truth) + (1 - dice).mean()


@dataclass(frozen=True)
class Labelled:
    """An image with its brain mask."""

    image: PreparedImage
    mask: torch.Tensor


class BrainTask(Task):
    """Training of the brain extraction.

    Parameters
    ----------
    training, validation : sequence of Labelled
        Training set and validation set.
    steps, batch, seed : int
        Optimiser steps, crops per step, and seed of all that is random.
    """

    def __init__(
        self,
        training: Sequence[Labelled],
        validation: Sequence[Labelled],
        steps: int,
        batch: int,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self.networks = [BrainUNet(UNetSettings())]
        self.training, self.validation, self.batch, self.seed = training, validation, batch, seed
        self.schedule = Schedule(
            steps,
            20,
            partial(torch.optim.AdamW, lr=RATE, weight_decay=1e-3),
            lambda step: (
                RATE * min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / steps))
            ),
            clip=1.0,
            validate_every=steps,
        )

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        count = len(self.training)
        chosen = torch.randint(count, (self.batch,), generator=generator).tolist()
        drawn = [draw_crop(self.training[i], generator) for i in chosen]
        volume, truth = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        with torch.autocast('cpu', dtype=torch.bfloat16):
            odds = network(volume)
        return segmentation_loss(odds.float(), truth)

    def validate(self, network: nn.Module) -> float:
        """Mean overlap with the truth in the validation set."""
        return float(np.mean([validate(network, example) for example in self.validation]))


def draw_crop(example: Labelled, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Intensities and brain share of one random crop, each of shape (CROP, CROP, CROP)."""
    protocol = load_protocol('tms')
    view = draw_view(
        example.image,
        AUGMENTATION,
        generator,
        torch.from_numpy(protocol.mirror_permutation()),
        torch.from_numpy(protocol.has_mirror()),
    )
    centre = torch.tensor([128.0, 128.0, 140.0]) + 16 * torch.randn(3, generator=generator)
    positions = crop_positions(centre, 2.0, CROP)
    inside = sample(example.mask.float() / 255, view.to_image(positions), 256.0)
    return view.sampler(1, positions), inside


def validate(network: nn.Module, example: Labelled) -> float:
    """Dice of the network's mask with the truth on the whole, unaltered volume."""
    with torch.inference_mode():
        found = network(example.image.pyramid[1][None])[0] > 0
    return dice(found.numpy(), (example.mask > 127).numpy())


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
    examples = read_examples(data, load_protocol('tms'), 'train', reference)
    cache = out / 'cache'
    images = load_prepared(examples, cache)
    labelled = [
        Labelled(image, mask_volume(example, cache))
        for image, example in zip(images, examples, strict=True)
    ]
    training = [example for i, example in enumerate(labelled) if i % VALIDATION_EVERY]
    task = BrainTask(training, labelled[::VALIDATION_EVERY], steps, batch, seed)
    trained = fit(task, f'brain {steps} {batch} {seed}', out / f'brain-{seed}.pt')
    meaning = {'brain': ('cross-entropy and Dice loss', 'Dice')}
    write_log(out / f'brain-{seed}.log.tsv', {'brain': trained.log}, 'step', meaning)
    network = cast(BrainUNet, trained.network)
    scores = [validate(network, example) for example in task.validation]
    card = {'seed': str(seed), 'steps': str(steps), 'validation_dice': f'{np.mean(scores):.4f}'}
    save_brain_unet(destination, network, card)
    write_json(out / f'brain-{seed}.json', {'dice': scores, **card})


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--reference', type=Path, help='written by reference.py')
    parser.add_argument('--steps', type=int, default=700)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--destination', type=Path, required=True, metavar='FILE')
    options = parser.parse_args()
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
