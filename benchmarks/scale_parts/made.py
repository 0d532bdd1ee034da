"""A data set, outputs and raters' files of as many people as are asked for, all made up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.bids import ImageRef, write_dataset_description
from tmsprep.bids.names import Layout
from tmsprep.derivatives.tables import write_outcomes
from tmsprep.formats import read_points
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')
ATLAS = PROTOCOL.atlas['image']

#: Standard deviation along each axis between participants, methods and raters.
SPREAD_MM = 3.0

_MOST_LINKS = 10_000
_AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
_AFFINE[:3, 3] = -100, -130, -80
_SHAPE = (100, 120, 100)
_BOLD = ('task-rest_bold', 'task-rest_dir-PA_bold')


def label(number: int) -> str:
    """Return the label of a made person, without 'sub-'."""
    return f'{number:06d}'


class Linked:
    """One content in many places: hard links, of which a file system allows so many.

    Parameters
    ----------
    source : Path
        The file.
    """

    def __init__(self, source: Path):
        self._source, self._left = source, 0
        self._content = source.read_bytes()

    def at(self, path: Path) -> None:
        """Put the content in a place."""
        if not self._left:
            path.write_bytes(self._content)
            self._source, self._left = path, _MOST_LINKS
            return
        os.link(self._source, path)
        self._left -= 1


def make_dataset(root: Path, people: int) -> Path:
    """Make a BIDS data set: per person one T1w and two BOLD runs, each with its sidecar.

    Parameters
    ----------
    root : Path
        Its folder, which must not exist.
    people : int
        How many.
    """
    root.mkdir(parents=True)
    content = {'Name': f'{people} made people', 'BIDSVersion': '1.10.0'}
    (root / 'dataset_description.json').write_text(json.dumps(content))
    image, sidecar = root.parent / f'{root.name}.nii.gz', root.parent / f'{root.name}.json'
    nib.Nifti1Image(np.ones(_SHAPE, np.uint8), _AFFINE).to_filename(image)
    sidecar.write_text(json.dumps({'MagneticFieldStrength': 3, 'RepetitionTime': 2.0}))
    linked = {'.nii.gz': Linked(image), '.json': Linked(sidecar)}
    for number in range(1, people + 1):
        name = f'sub-{label(number)}'
        for folder, suffixes in (('anat', ('T1w',)), ('func', _BOLD)):
            home = root / name / folder
            home.mkdir(parents=True)
            for suffix in suffixes:
                for extension, content in linked.items():
                    content.at(home / f'{name}_{suffix}{extension}')
    return root


def make_outputs(out_dir: Path, bids_dir: Path, people: int) -> Path:
    """Make what the participant level leaves: tables, sidecars, mask, transforms, figures, report.

    The first person's are written by tmsprep's own functions; the others' have other numbers and
    names. Masks and transforms are one file each, linked; figures and reports are empty.

    Parameters
    ----------
    out_dir, bids_dir : Path
        Outputs, and the data set of `make_dataset`.
    people : int
        How many.
    """
    write_dataset_description(out_dir, bids_dir, PROTOCOL)
    layout, first = Layout(out_dir, PROTOCOL.name), _image(bids_dir, 1)
    mask, transform = out_dir.parent / 'mask.nii.gz', out_dir.parent / 'transform.h5'
    _write_mask(mask)
    _write_transform(mask, transform)
    masks, forward, back = Linked(mask), Linked(transform), Linked(transform)
    texts = _first_tables(layout, first)
    drawn = [*PROTOCOL.labels, 'overview', 'brain', 'registration']
    for number in range(1, people + 1):
        image, random = _image(bids_dir, number), np.random.default_rng(number)
        for path in (layout.table(image, 'cnn'), layout.figure(image, 'overview')):
            path.parent.mkdir(parents=True, exist_ok=True)
        for method, (table, sidecar) in texts.items():
            path = layout.table(image, method)
            path.write_text(_moved(table, random))
            path.with_suffix('.json').write_text(sidecar.replace(first.stem, image.stem))
        masks.at(layout.derivative(image, 'mask', '.nii.gz', desc='brain'))
        forward.at(_transform_path(layout, image, 'T1w', ATLAS))
        back.at(_transform_path(layout, image, ATLAS, 'T1w'))
        for what in drawn:
            layout.figure(image, what).touch()
        layout.report(image.subject).touch()
    return out_dir


def _image(bids_dir: Path, number: int) -> ImageRef:
    name = f'sub-{label(number)}'
    return ImageRef.from_path(bids_dir, bids_dir / name / 'anat' / f'{name}_T1w.nii.gz')


def _transform_path(layout: Layout, image: ImageRef, source: str, target: str) -> Path:
    spaces = {'from': source, 'to': target, 'mode': 'image'}
    return layout.derivative(image, 'xfm', '.h5', **spaces)


def make_raters(folder: Path, people: int, raters: int = 3) -> Path:
    """Make files of points by raters.

    Parameters
    ----------
    folder : Path
        For them.
    people, raters : int
        How many.
    """
    folder.mkdir(parents=True)
    places = _places()
    table = pd.DataFrame(places.coordinates, columns=['x', 'y', 'z'])
    table.insert(0, 'label', places.labels)
    text = table.to_csv(sep='\t', index=False)
    for number in range(1, people + 1):
        random = np.random.default_rng((number, 1))
        for rater in 'abcdefgh'[:raters]:
            path = folder / f'sub-{label(number)}_desc-{rater}_targets.tsv'
            path.write_text(_moved(text, random))
    return folder


def _places() -> PointSet:
    return read_points(PROTOCOL.file(PROTOCOL.atlas['points'])).reindex(PROTOCOL.labels)


def _first_tables(layout: Layout, image: ImageRef) -> dict[str, tuple[str, str]]:
    """Write the tables of the first participant as tmsprep does, and return their texts."""
    places = _places()
    spread = {'dispersion_mm': [0.5] * len(places), 'error90_mm': [3.0] * len(places)}
    outcomes = {
        'cnn': Outcome('cnn', places, spread),
        'syn': Outcome('syn', places, details={'Atlas': {'Name': ATLAS}}),
    }
    properties = {'shape': _SHAPE, 'affine': _AFFINE.tolist(), 'sha256': '0' * 64}
    tables = write_outcomes(layout, image, outcomes, PROTOCOL, properties, 1)
    return {m: (p.read_text(), p.with_suffix('.json').read_text()) for m, p in tables.items()}


def _moved(table: str, random: np.random.Generator) -> str:
    """Move every point of a table by a random step."""
    head, *rows = table.splitlines()
    columns = head.split('\t')
    axes = [columns.index(axis) for axis in 'xyz']
    lines = [head]
    for row, step in zip(rows, random.normal(0, SPREAD_MM, (len(rows), 3)), strict=True):
        cells = row.split('\t')
        for axis, by in zip(axes, step, strict=True):
            cells[axis] = f'{float(cells[axis]) + by:.4f}'
        lines.append('\t'.join(cells))
    return '\n'.join(lines) + '\n'


def _write_mask(path: Path) -> None:
    """Write an ellipsoid of about a brain's size as the brain mask."""
    voxels = np.indices(_SHAPE).reshape(3, -1).T
    world = nib.affines.apply_affine(_AFFINE, voxels)
    inside = (((world - [0, -18, 10]) / [72, 92, 68]) ** 2).sum(axis=1) < 1
    mask = inside.reshape(_SHAPE).astype(np.uint8)
    nib.Nifti1Image(mask, _AFFINE).to_filename(path)


def _write_transform(mask: Path, path: Path) -> None:
    """Write a registration's result of the size that the default one has, 2 mm: blob to blob."""
    import ants

    fixed = ants.smooth_image(ants.image_read(str(mask)), 3)
    moving = ants.smooth_image(fixed, 4)
    ants.registration(
        fixed,
        moving,
        'SyN',
        reg_iterations=(2, 1),
        outprefix=str(path.with_suffix('')),
        write_composite_transform=True,
    )
    path.with_name(f'{path.stem}Composite.h5').replace(path)
    path.with_name(f'{path.stem}InverseComposite.h5').unlink()
