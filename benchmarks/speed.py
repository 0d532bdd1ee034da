"""How long the CNN path and the registration take, as ratios against named alternatives.

``python benchmarks/speed.py DATA [--people 5] [--full-syn]`` with DATA laid out as for the
training commands; everything is timed in this one run, on two threads.

- CNN path (read, conform, percentiles, pyramid, network) against its floor: nibabel's read,
  numpy's percentiles and one scipy resample to 256^3.
- Scalp (surface, entries, poses and 10-20 positions of one person) against the same floor.
- One person and ten people from a cold start, ``--localizers cnn``, and their CPU time as a ratio
  to the CNN path: what figures, report, viewer and files for navigators add to it.
- Default SyN against ``ants.registration(..., 'antsRegistrationSyN[s]')`` on brains cut out with
  the same mask, at the images' own 2 mm, with the errors of both (``--full-syn``; minutes per
  person; ``--full-spacing 1`` takes most of an hour each).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy.ndimage import affine_transform

from tmsprep.imaging.conform import conform
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import read_image
from tmsprep.imaging.volume import percentile_window
from tmsprep.learning.examples import Example
from tmsprep.methods.baxter2021.localize import localize
from tmsprep.methods.baxter2021.weights import Localizer, load_localizer
from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.brain import cut_brain
from tmsprep.registration.frames import flip_points, to_ants
from tmsprep.registration.syn import register
from tmsprep.scalp.outcomes import Scalp, measure_scalp

from default_data import read_examples

PACKAGE = Path(__file__).resolve().parents[1] / 'tmsprep'


def seconds(call: Callable[[], object], repetitions: int = 3) -> float:
    """Median wall time after one call that does not count."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def floor(path: Path) -> None:
    """Do what nobody can do without: read, take percentiles, resample once."""
    image = nib.load(path)
    data = image.get_fdata(dtype=np.float32)
    np.percentile(data, [5, 95])
    grid = np.diag([-1.0, -1.0, 1.0, 1.0])
    middle = image.affine[:3, :3] @ (np.array(data.shape) / 2) + image.affine[:3, 3]
    grid[:3, 3] = middle - grid[:3, :3] @ np.full(3, 128)
    mapping = np.linalg.inv(image.affine) @ grid
    affine_transform(data, mapping[:3, :3], mapping[:3, 3], output_shape=(256, 256, 256), order=1)


def cnn_path(path: Path, localizer: Localizer) -> PointSet:
    """Go from a file to points."""
    image = mend_image(read_image(path), path).image
    window = percentile_window(np.asanyarray(image.dataobj))
    return localize(conform(image), window, localizer).points


def scalp(conformed: Path, properties: Mapping[str, object], points: PointSet) -> Scalp:
    """Go from a conformed image and points to the coil."""
    outcome = Outcome('cnn', points)
    return measure_scalp({'cnn': outcome}, conformed, properties, load_protocol('tms'))


def time_scalp(path: Path, localizer: Localizer) -> float:
    """Median seconds of the scalp of one person."""
    image = mend_image(read_image(path), path).image
    points = cnn_path(path, localizer)
    properties = {'path': str(path), 'shape': image.shape, 'affine': image.affine}
    with tempfile.TemporaryDirectory() as folder:
        conformed = Path(folder) / 'conformed.nii'
        nib.save(conform(image), conformed)
        return seconds(lambda: scalp(conformed, properties, points))


def cold(data: Path, people: list[Example]) -> tuple[float, float]:
    """Wall and CPU time of the command for some people, from nothing."""
    labels = [person.name.removeprefix('sub-') for person in people]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'tmsprep', str(data), f'{folder}/out', 'participant']
        command += ['--participant-label', *labels, '-w', f'{folder}/work']
        command += ['--localizers', 'cnn', '--nprocs', '2']
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - start, cpu


def full_syn(fixed: object, moving: object, atlas_points: PointSet) -> PointSet:
    """Move the atlas's points by ANTsPy's own full registration."""
    import ants
    import pandas as pd

    found = ants.registration(fixed, moving, 'antsRegistrationSyN[s]')
    table = pd.DataFrame(flip_points(atlas_points.coordinates), columns=['x', 'y', 'z'])
    moved = ants.apply_transforms_to_points(3, table, found['fwdtransforms'])
    return PointSet(atlas_points.labels, flip_points(moved[['x', 'y', 'z']].to_numpy()))


def compare_syn(people: list[Example], localizer: Localizer, full: int) -> None:
    """Print time and errors of the default registration, and of the full one at `full` mm."""
    atlas = default_atlas(load_protocol('tms'))
    unet = load_brain_unet(PACKAGE / 'data' / 'brain_extraction.safetensors')
    times, errors = {'default': [], 'full': []}, {'default': [], 'full': []}
    for person in people:
        image = read_image(person.image)
        conformed = conform(image)
        mask = extract_brain(conformed, unet)
        guess = localize(
            conformed, percentile_window(np.asanyarray(image.dataobj)), localizer
        ).points
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            result = register(
                conformed,
                atlas,
                work_dir=Path(folder),
                mask=mask,
                initial_points=guess,
                n_threads=2,
            )
            times['default'].append(time.perf_counter() - start)
        errors['default'].append(np.nanmean(person.points.distance(result.points)))
        if full:
            fixed = to_ants(atlas.brain(full).image)
            moving = to_ants(cut_brain(conformed, mask, full).image)
            start = time.perf_counter()
            points = full_syn(fixed, moving, atlas.points)
            times['full'].append(time.perf_counter() - start)
            errors['full'].append(np.nanmean(person.points.distance(points)))
        for name in ('default', 'full') if full else ('default',):
            print(f'{person.name} {name}: {times[name][-1]:.1f} s, {errors[name][-1]:.2f} mm')
    for name in ('default', 'full') if full else ('default',):
        print(f'SyN {name}: {np.mean(times[name]):.1f} s, error {np.mean(errors[name]):.2f} mm')
    if full:
        print(f'full / default: {np.mean(times["full"]) / np.mean(times["default"]):.1f} times')


def main() -> None:
    """Parse the command line and print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('--people', type=int, default=5, help='for the registration')
    parser.add_argument('--skip', type=int, default=0, help='people before those')
    parser.add_argument('--full-syn', action='store_true')
    parser.add_argument('--full-spacing', type=int, default=2, help='mm')
    options = parser.parse_args()
    torch.set_num_threads(2)
    people = read_examples(options.data, load_protocol('tms'), 'test')
    localizer = load_localizer(PACKAGE / 'data' / 'localizer_tms.safetensors')
    path = people[0].image
    lowest, ours = seconds(lambda: floor(path)), seconds(lambda: cnn_path(path, localizer))
    print(f'CNN path {ours:.2f} s, floor {lowest:.2f} s, ratio {ours / lowest:.2f}')
    surface = time_scalp(path, localizer)
    print(f'scalp {surface:.2f} s, ratio to the floor {surface / lowest:.2f}')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f'peak memory of all {peak:.2f} GB')
    for count, name in ((1, 'one person'), (10, 'ten people')):
        wall, cpu = cold(options.data, people[:count])
        ratio = cpu / (count * ours)
        print(f'{name} from a cold start {wall:.1f} s, CPU {cpu:.1f} s, ratio {ratio:.1f}')
    full = options.full_spacing if options.full_syn else 0
    compare_syn(people[options.skip :][: options.people], localizer, full)


if __name__ == '__main__':
    main()
