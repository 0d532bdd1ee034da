"""Memory and speed of training on whole volumes, as ratios of one run.

``python benchmarks/training.py [--data CACHE] [--threads 1 2]`` takes phantom heads made on the
spot, or what `load_prepared` keeps in CACHE (``*.npy`` beside ``*.npz``).

- Peak memory of training steps with a batch of 16 images of 256 x 256 x 256 voxels beyond the
  images themselves, memory-mapped and preloaded; the interpreter and Torch are included, and also
  given alone. Against the usual way, which resamples each view as a whole volume (one
  ``grid_sample`` per view, the batch kept) and feeds those to the same network.
- Images per second for each recipe on one and two cores, in single and half precision; and on a
  GPU if there is one, also compiled.

Each figure comes from a process of its own. Peaks are the kernel's (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.learning.examples import Example
from tmsprep.methods.baxter2021.augmentation import View, draw_view
from tmsprep.methods.baxter2021.network import pyramid_sampler
from tmsprep.methods.baxter2021.prepared import PreparedImage, load_prepared
from tmsprep.methods.baxter2021.recipes import RECIPES, Recipe, recipe_named
from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.methods.baxter2021.task import Images, MultiResolutionTask
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, load_protocol

BATCH = 16
LABELS = load_protocol('tms').labels
MB = 1e6


def make_examples(folder: Path, count: int) -> None:
    """Prepare phantom heads at 2 mm, and the same under further names to fill a batch."""
    import nibabel as nib

    from tmsprep.phantoms.head import make_head

    examples = []
    for seed in range(count):
        head = make_head(seed, voxel_size=(2.0, 2.0, 2.0))
        path = folder / f'sub-{seed:02d}_T1w.nii.gz'
        nib.save(head.image, path)
        examples.append(Example(f'sub-{seed:02d}', path, head.points.reindex(LABELS)))
    load_prepared(examples, folder)
    for i in range(count, BATCH):
        for extension in ('.npy', '.npz'):
            os.link(folder / f'sub-{i % count:02d}{extension}', folder / f'sub-{i:02d}{extension}')


def cached_examples(cache: Path) -> list[Example]:
    """Take up to sixteen images of a cache; their points do not matter here."""
    names = sorted(path.stem for path in cache.glob('*.npz'))[:BATCH]
    middle = np.random.default_rng(1).uniform(-40, 40, (len(LABELS), 3))
    return [Example(name, cache / name, PointSet(LABELS, middle)) for name in names]


def preload(image: PreparedImage) -> PreparedImage:
    """Hold an image in memory instead of on disk."""
    return replace(
        image,
        pyramid=tuple(level.clone() for level in image.pyramid),
        stripped=tuple(level.clone() for level in image.stripped),
    )


def image_mb(images: Sequence[PreparedImage]) -> float:
    """Size of all images."""
    levels = [level for image in images for level in (*image.pyramid, *image.stripped)]
    return sum(level.numel() * level.element_size() for level in levels) / MB


def mapped_mb(folder: Path) -> float:
    """Pages of memory-mapped images that are in memory now."""
    text = Path('/proc/self/smaps').read_text(encoding='utf-8')
    pattern = rf'{re.escape(str(folder))}/\S+\.npy\n(?:.*\n)*?Rss: +(\d+) kB'
    return sum(int(kb) for kb in re.findall(pattern, text)) * 1024 / MB


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    text = Path('/proc/self/status').read_text(encoding='utf-8')
    return int(re.search(r'VmHWM:\s+(\d+)', text)[1]) * 1024 / MB


def reset_peak() -> None:
    """Let `peak_mb` start from what is in memory now (Linux 4.0 and later)."""
    Path('/proc/self/clear_refs').write_text('5', encoding='utf-8')


def whole_volume(view: View) -> torch.Tensor:
    """One augmented image of 256 x 256 x 256 voxels, as the usual way makes it."""
    ticks = torch.arange(CONFORMED_SIZE) + 0.5
    positions = torch.stack(torch.meshgrid(ticks, ticks, ticks, indexing='ij'), dim=-1)
    return view.sampler(0, positions)


def pooled(volume: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """Pyramid of an augmented volume, finest level first."""
    pyramid = [volume]
    for _ in range(levels - 1):
        pyramid.append(torch.nn.functional.avg_pool3d(pyramid[-1][None], 2)[0])
    return pyramid


class WholeVolumes(MultiResolutionTask):
    """The same training, fed with whole augmented volumes that are kept for the batch."""

    def backward(self, network: nn.Module, step: int) -> float:
        """Draw and keep a batch, then let the network and its gradients run on it."""
        generator = torch.Generator().manual_seed(step)
        images, samplers = self.images.training, []
        for i in range(self.recipe.batch):
            image = images[i % len(images)]
            view = draw_view(
                image, self.recipe.augmentation, generator, self._mirror, self._has_mirror
            )
            samplers.append(pyramid_sampler(pooled(whole_volume(view), 6), CONFORMED_SIZE))
        loss = network(samplers).square().mean()
        loss.backward()
        return loss.item()


class Stepper:
    """Takes single steps of a training."""

    def __init__(self, task: MultiResolutionTask) -> None:
        self.task, self.network, self.step = task, task.networks[0], 0
        self.optimiser = task.schedule.optimiser(self.network.parameters())

    def advance(self) -> None:
        """Take one step."""
        self.optimiser.zero_grad()
        self.task.backward(self.network, self.step)
        self.optimiser.step()
        self.step += 1


def measure_memory(way: str, cache: Path, recipe: str, steps: int) -> dict[str, float]:
    """Peak memory of a few steps, in this process."""
    images = load_prepared(cached_examples(cache), cache)
    if way == 'preloaded':
        images = [preload(image) for image in images]
    reset_peak()
    start, size = peak_mb(), image_mb(images)
    kind = WholeVolumes if way == 'whole volumes' else MultiResolutionTask
    stepper = Stepper(kind(Images(images), *_settings(recipe_named(recipe, batch=BATCH))))
    began = time.perf_counter()
    for _ in range(steps):
        stepper.advance()
    held = size if way == 'preloaded' else mapped_mb(cache)
    return {
        'images': held,
        'beyond': peak_mb() - held,
        'before': start - (size if way == 'preloaded' else 0.0),
        'seconds': (time.perf_counter() - began) / steps,
    }


def measure_speed(
    cache: Path, recipe: str, device: str, precision: str, steps: int
) -> dict[str, float]:
    """Images per second after one step that does not count, in this process."""
    images = load_prepared(cached_examples(cache), cache)
    settings = recipe_named(recipe, batch=2 if device == 'cpu' else None)
    half = 'bf16' in precision
    stepper = Stepper(
        MultiResolutionTask(
            Images(images), *_settings(settings), half_precision=half, device=device
        )
    )
    if 'compile' in precision:
        stepper.network.compile()
    times = [_seconds(stepper.advance, device) for _ in range(steps + 1)]
    return {'images_per_second': settings.batch / float(np.median(times[1:]))}


def _seconds(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _settings(recipe: Recipe) -> tuple[NetworkSettings, Recipe, Protocol, int]:
    return recipe.network_settings(len(LABELS)), recipe, load_protocol('tms'), 1


def in_a_process(threads: int, cache: Path, **request: object) -> dict[str, float]:
    """Measure in a fresh process, so that one figure does not carry another's memory."""
    command = [sys.executable, __file__, '--data', str(cache), '--threads', str(threads)]
    done = subprocess.run(
        [*command, '--request', json.dumps(request)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def report_memory(cache: Path, recipe: str, threads: int) -> None:
    """Print peaks, and the ratio to the usual way."""
    found = {}
    for way in ('memory-mapped', 'preloaded', 'whole volumes'):
        f = found[way] = in_a_process(threads, cache, way=way, recipe=recipe, steps=1)
        print(
            f'{recipe}, batch {BATCH}, {way}: images {f["images"]:.0f} MB, beyond them '
            f'{f["beyond"]:.0f} MB (before training {f["before"]:.0f} MB), '
            f'{f["seconds"]:.1f} s per step',
            flush=True,
        )
    ratio = found['whole volumes']['beyond'] / found['memory-mapped']['beyond']
    speed = found['whole volumes']['seconds'] / found['memory-mapped']['seconds']
    print(f'whole volumes / crops: {ratio:.1f} times the memory, {speed:.1f} times the time')


def report_speed(cache: Path, threads: Sequence[int], steps: int) -> None:
    """Print images per second of every recipe."""
    for recipe in RECIPES:
        for device, count, precision in _places(recipe, threads):
            request = {'recipe': recipe, 'device': device, 'precision': precision, 'steps': steps}
            speed = in_a_process(count, cache, **request)['images_per_second']
            place = f'{count} threads' if device == 'cpu' else device
            print(f'{recipe}, {place}, {precision}: {speed:.2f} images per second', flush=True)


def _places(recipe: str, threads: Sequence[int]) -> list[tuple[str, int, str]]:
    """Device, threads and precision to measure; bf16 on the CPU for one recipe."""
    precisions = ('fp32', 'bf16') if recipe == 'default' else ('fp32',)
    places = [('cpu', count, precision) for count in threads for precision in precisions]
    if torch.cuda.is_available():
        places += [('cuda', 1, precision) for precision in ('fp32', 'bf16', 'bf16 compile')]
    return places


def main() -> None:
    """Parse the command line and print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, metavar='CACHE')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--memory-recipe', default='baxter2021', choices=sorted(RECIPES))
    parser.add_argument('--steps', type=int, default=1, help='that are timed, per figure')
    parser.add_argument('--heads', type=int, default=1, help='different phantoms in a batch')
    parser.add_argument('--request', type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads[0])
    if options.request:
        measure = measure_memory if 'way' in options.request else measure_speed
        print(json.dumps(measure(cache=options.data, **options.request)))
        return
    with tempfile.TemporaryDirectory() as folder:
        cache = options.data or Path(folder)
        if options.data is None:
            make_examples(cache, options.heads)
        report_memory(cache, options.memory_recipe, options.threads[-1])
        report_speed(cache, options.threads, options.steps)


if __name__ == '__main__':
    main()
