"""Repeat Table 1 of Duennwald et al. 2021 on simulated whole heads.

``python benchmarks/coeruleus_whole.py HEADS OUT`` with HEADS the cache of
``coeruleus_simulation.heads``: one scan of each head, as people lie in a scanner, with the exact
centres of mass; then the package's own cross-validation of the one-shot CoRe-Unet with and without
augmentation, at `VOXEL_MM`, so that whole heads fit into memory and time. The tables go to
``docs/tables/locus_coeruleus_whole_*.tsv``, which ``paper_page.py`` shows. Steps whose results are
in OUT are not repeated.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from tmsprep.phantoms.dataset import (
    require_empty,
    scan_sidecar,
    write_descriptions,
    write_image,
    write_json,
    write_table,
)

from coeruleus_simulation.crops import HEAD_CENTRE, WHOLE_MM
from coeruleus_simulation.heads import Head, load_heads
from coeruleus_simulation.scans import Scan, make_scan

DOCS = Path(__file__).resolve().parents[1] / 'docs'
TABLES = ('table1', 'augmentation', 'axes')

#: Edge of the voxels, mm; the paper has 0.75 mm, and 64 times as many.
VOXEL_MM = 3.0

#: How a head lies in the scanner: largest angle about each axis, degrees, and shift along it, mm.
ANGLE, SHIFT_MM = 8.0, 10.0

_SIMULATED = 'SIMULATED IMAGES: neuromelanin in the T1w of real heads.'


def whole_scan(head: Head, seed: int) -> Scan:
    """Scan a whole head; the same seed gives the same bytes."""
    rng = np.random.default_rng([seed, 0])
    turned = Rotation.from_euler('xyz', rng.uniform(-ANGLE, ANGLE, 3), degrees=True).as_matrix()
    shape = tuple(int(edge / VOXEL_MM) for edge in WHOLE_MM)
    middle = head.from_template(HEAD_CENTRE) + rng.uniform(-SHIFT_MM, SHIFT_MM, 3)
    affine = np.eye(4)
    affine[:3, :3] = turned * VOXEL_MM
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return make_scan(head, affine, shape, seed)


def visible_scan(head: Head, seed: int) -> Scan:
    """Draw scans until both sides can be seen: the paper's raters drew both in everybody."""
    scan = whole_scan(head, seed)
    while not np.isfinite(scan.points).all():
        seed += 1000
        scan = whole_scan(head, seed)
    return scan


def write_data(folder: Path, heads: list[Path], seed: int) -> None:
    """Write a BIDS data set of one scan per head, axes along those of the voxels."""
    require_empty(folder)
    for number, path in enumerate(heads, start=1):
        scan = visible_scan(load_heads([path])[0], seed + number)
        # The scanner's frame: a turned head in an image whose voxels are not.
        affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
        name = f'sub-{number:03d}/anat/sub-{number:03d}_acq-neuromelanin'
        write_image(folder / f'{name}_T1w.nii.gz', nib.Nifti1Image(scan.volume, affine))
        write_json(folder / f'{name}_T1w.json', scan_sidecar('simulation in a real head'))
        rows = [['label', 'hemisphere', 'region', 'x', 'y', 'z']]
        for label, point in zip(('LLC', 'RLC'), apply_affine(affine, scan.points), strict=True):
            places = [f'{value:.3f}' if np.isfinite(value) else 'n/a' for value in point]
            rows.append([label, label[0], 'locus coeruleus', *places])
        write_table(folder / 'derivatives' / 'truth' / f'{name}_desc-truth_targets.tsv', rows)
    described = {'truth': 'Exact centres of mass of the simulated loci coerulei'}
    write_descriptions(folder, 'Simulated neuromelanin, whole heads', _SIMULATED, described)


def write_protocol(path: Path) -> Path:
    """Write the protocol of the locus coeruleus for larger voxels."""
    text = (files('tmsprep.protocols') / 'locus_coeruleus.toml').read_text(encoding='utf-8')
    text = text.replace("name = 'locus-coeruleus'", "name = 'coeruleus-whole'", 1)
    path.write_text(text.replace('voxel_mm = 0.75', f'voxel_mm = {VOXEL_MM}'), encoding='utf-8')
    return path


def run(*arguments: str | Path) -> None:
    """Run the package, one thread per process."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    subprocess.run([sys.executable, '-m', 'tmsprep', *arguments], check=True, env=environment)


def main() -> None:
    """Do what has not been done, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('heads', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--held-out', type=int, default=10)
    parser.add_argument('--epochs', type=int, help="else the recipe's")
    parser.add_argument('--processes', type=int, default=1)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--docs', type=Path, default=DOCS)
    options = parser.parse_args()
    bids, out = options.out / 'bids', options.out / 'out'
    if not (bids / 'dataset_description.json').is_file():
        shutil.rmtree(bids, ignore_errors=True)
        write_data(bids, sorted(options.heads.glob('*.npz')), options.seed)
    protocol = write_protocol(options.out / 'locus_coeruleus_whole.toml')
    epochs = [] if options.epochs is None else ['--epochs', str(options.epochs)]
    if not list(out.glob('crossval*points.tsv')):
        run(
            *(bids, out, 'crossval', '--protocol', protocol, '--recipe', 'quick'),
            *('--annotations', bids / 'derivatives' / 'truth', '--folds', '5'),
            *('--held-out', str(options.held_out), '--random-seed', str(options.seed), *epochs),
            *('--nprocs', str(options.processes), '--omp-nthreads', '1'),
            *('-w', options.out / 'work'),
        )
    run(bids, out, 'group', '--protocol', protocol)
    for name in TABLES:
        (found,) = out.glob(f'group_*_{name}.tsv')
        shutil.copyfile(found, options.docs / 'tables' / f'locus_coeruleus_whole_{name}.tsv')
    (made,) = out.glob('crossval_*_points.json')
    shutil.copyfile(made, options.docs / 'tables' / 'locus_coeruleus_whole.json')


if __name__ == '__main__':
    main()
