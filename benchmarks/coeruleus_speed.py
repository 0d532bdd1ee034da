"""Seconds and memory of segmenting the locus coeruleus: one localised patch against all windows.

``python benchmarks/coeruleus_speed.py [--recipe quick] [--shape 128 128 80] [--json FILE]``

Both ways segment the same random volume of 0.75 mm in this one run, each in a process of its own,
so that each has its own peak of memory: LPP is the localiser on the whole volume and one patch,
NPP all windows (PP is NPP and little more). Without ``--weights`` the networks are untrained, of
the recipe's size: what they know does not change what they cost.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tmsprep.atomic import write_text
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.recipes import RECIPES
from tmsprep.methods.duennwald2021.segmentation import n_windows, segment

WAYS = ('nothing', 'lpp', 'npp')
"""What a process measures; 'nothing' is the memory of Python, Torch, networks and volume."""


def networks(weights: Path | None, recipe: str) -> tuple[nn.Module, nn.Module]:
    """Return one localiser and one segmenter."""
    if weights is not None:
        from tmsprep.methods.duennwald2021.weights import load_coeruleus

        model = load_coeruleus(weights)
        return model.localizers[0], model.segmenters[0]
    torch.manual_seed(0)
    chosen = RECIPES[recipe]
    localizer = CoReUNet(chosen.network_settings()).eval()
    return localizer, PatchUNet(chosen.patch_settings()).eval()


def task(way: str, volume: np.ndarray, localizer: nn.Module, segmenter: nn.Module) -> Callable:
    """Return what is timed."""

    def lpp() -> np.ndarray:
        with torch.inference_mode():
            points = localizer(torch.from_numpy(volume)[None])[0][0].numpy()
        return segment(volume, [segmenter], 'lpp', points)

    return {
        'nothing': lambda: None,
        'lpp': lpp,
        'npp': lambda: segment(volume, [segmenter], 'npp'),
    }[way]


def measure(options: argparse.Namespace) -> None:
    """Print seconds (median of the repetitions) and peak memory in MB of one way."""
    torch.set_num_threads(options.threads)
    volume = np.random.default_rng(0).random(options.shape, dtype=np.float32)
    run = task(options.way, volume, *networks(options.weights, options.recipe))
    times = []
    for _ in range(options.repetitions):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(statistics.median(times), peak)


def compare(options: argparse.Namespace) -> None:
    """Run each way in its own process, and print and keep both."""
    costs = {}
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], '--way', way]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, memory = (float(word) for word in done.stdout.split())
        costs[way] = {'seconds': seconds, 'megabytes': memory}
    _, segmenter = networks(options.weights, options.recipe)
    windows = {'lpp': 1, 'npp': n_windows(tuple(options.shape), segmenter.settings.patch)}
    megavoxels = math.prod(options.shape) / 1e6
    print(f'volume {" x ".join(map(str, options.shape))} ({megavoxels:.1f} million voxels)')
    for way in windows:
        costs[way]['windows'] = windows[way]
        costs[way]['extra'] = costs[way]['megabytes'] - costs['nothing']['megabytes']
        print(
            f'{way}: {windows[way]} windows{" and the localiser" if way == "lpp" else ""}, '
            f'{costs[way]["seconds"]:.2f} s, peak {costs[way]["megabytes"]:.0f} MB '
            f'({costs[way]["extra"]:.0f} MB over Python, Torch and the volume)'
        )
    print(f'npp / lpp: {costs["npp"]["seconds"] / costs["lpp"]["seconds"]:.1f} times the time')
    if options.json is not None:
        about = {'recipe': options.recipe, 'threads': options.threads, 'shape': options.shape}
        write_text(options.json, json.dumps({**about, **costs}, indent=2) + '\n')


def main() -> None:
    """Parse the command line; with ``--way`` measure, else compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--shape', type=int, nargs=3, default=(128, 128, 80))
    parser.add_argument('--weights', type=Path, help='of the protocol locus-coeruleus')
    parser.add_argument('--recipe', choices=tuple(RECIPES), default='quick')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--repetitions', type=int, default=3)
    parser.add_argument('--json', type=Path, help='file for the numbers')
    parser.add_argument('--way', choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        measure(options)
    else:
        compare(options)


if __name__ == '__main__':
    main()
