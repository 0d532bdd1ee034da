"""Train the brain extraction network that ships with the package.

``python benchmarks/brain_weights.py DATA OUT`` trains it; call it again to resume. DATA is laid
out as for `default_data`; brain masks are the parcellations' voxels above 0.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F

from tmsprep.atomic import atomic_path, write_text
from tmsprep.evaluation.masks import dice
from tmsprep.imaging.conform import conform, resample_mask
from tmsprep.imaging.read import read_image
from tmsprep.imaging.volume import halve
from tmsprep.methods.baxter2021.augmentation import Augmentation, draw_view
from tmsprep.methods.baxter2021.cohort import Annotated, Person, load_cohort
from tmsprep.networks.brain_extraction import save_brain_unet
from tmsprep.networks.crops import crop_positions, sample
from tmsprep.networks.unet import BrainUNet, UNetSettings
from tmsprep.protocols import load_protocol

from default_data import VALIDATION_EVERY, annotated_people

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
"""Strong, as the images of one scanner stand for those of all others."""

CROP = 96
"""Voxels of 2 mm along each edge of a training crop."""


def mask_volumes(people: list[Annotated], cache: Path) -> list[torch.Tensor]:
    """Share of brain in each 2 mm voxel of everyone's conformed volume, kept in `cache`."""
    return [torch.from_numpy(np.load(_mask_file(person, cache))) for person in people]


def _mask_file(person: Annotated, cache: Path) -> Path:
    path = cache / f'{person.name}.mask.npy'
    if not path.is_file():
        conformed = conform(read_image(person.image))
        inside = resample_mask(nib.load(person.mask), conformed).get_fdata(dtype=np.float32)
        with atomic_path(path) as partial:
            np.save(partial, (halve(inside) * 255).astype(np.uint8))
    return path


def segmentation_loss(odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice loss (Milletari et al. 2016), averaged over people."""
    probability = odds.sigmoid()
    axes = (1, 2, 3)
    overlap = 2 * (probability * truth).sum(axes)
    dice = overlap / (probability.square().sum(axes) + truth.square().sum(axes) + 1)
    return F.binary_cross_entropy_with_logits(odds, truth) + (1 - dice).mean()


def draw_example(
    person: Person, mask: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Intensities and brain share of one random crop, each of shape (CROP, CROP, CROP)."""
    protocol = load_protocol('tms')
    view = draw_view(
        person,
        AUGMENTATION,
        generator,
        torch.from_numpy(protocol.mirror_permutation()),
        torch.from_numpy(protocol.has_mirror()),
    )
    centre = torch.tensor([128.0, 128.0, 140.0]) + 16 * torch.randn(3, generator=generator)
    positions = crop_positions(centre, 2.0, CROP)
    inside = sample(mask.float() / 255, view.to_image(positions), 256.0)
    return view.sampler(1, positions), inside


def validate(network: BrainUNet, person: Person, mask: torch.Tensor) -> float:
    """Dice of the network's mask with the truth on the whole, unaltered volume."""
    with torch.inference_mode():
        found = network(person.pyramid[1][None])[0] > 0
    return dice(found.numpy(), (mask > 127).numpy())


def train(data: Path, out: Path, steps: int, batch: int, seed: int, destination: Path) -> None:
    """Train to the last step, resuming from the checkpoint in `out`, and write the weights."""
    annotated = annotated_people(data, load_protocol('tms'), 'train')
    people = load_cohort(annotated, out / 'cache')
    masks = mask_volumes(annotated, out / 'cache')
    training = [i for i in range(len(people)) if i % VALIDATION_EVERY]
    torch.manual_seed(seed)
    network = BrainUNet(UNetSettings())
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-3)
    checkpoint, step = out / f'brain-{seed}.pt', 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state['network'])
        optimiser.load_state_dict(state['optimiser'])
        step = state['step']
    while step < steps:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randint(len(training), (batch,), generator=generator).tolist()
        drawn = [draw_example(people[training[i]], masks[training[i]], generator) for i in chosen]
        volume, truth = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        for group in optimiser.param_groups:
            group['lr'] = (
                3e-3 * min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
        with torch.autocast('cpu', dtype=torch.bfloat16):
            odds = network(volume)
        loss = segmentation_loss(odds.float(), truth)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 20 == 0:
            with (out / f'brain-{seed}.log.tsv').open('a', encoding='utf-8') as stream:
                stream.write(f'{step}\t{loss.item():.4f}\n')
        if step % 100 == 0 or step == steps:
            state = {'network': network.state_dict(), 'optimiser': optimiser.state_dict()}
            with atomic_path(checkpoint) as partial:
                torch.save({**state, 'step': step}, partial)
    scores = [
        validate(network.eval(), people[i], masks[i])
        for i in range(0, len(people), VALIDATION_EVERY)
    ]
    card = {'seed': str(seed), 'steps': str(steps), 'validation_dice': f'{np.mean(scores):.4f}'}
    save_brain_unet(destination, network, card)
    write_text(out / f'brain-{seed}.json', json.dumps({'dice': scores, **card}, indent=2))


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--steps', type=int, default=800)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--destination', type=Path, required=True, metavar='FILE')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(
        options.data,
        options.out,
        options.steps,
        options.batch,
        options.seed,
        options.destination,
    )


if __name__ == '__main__':
    main()
