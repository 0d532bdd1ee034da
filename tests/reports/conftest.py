from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

HEAD_RADIUS = 60.0


def make_ball(affine: np.ndarray, shape: tuple[int, int, int], radius: float) -> nib.Nifti1Image:
    """Make a ball around the world's origin: 100 on the person's right, 40 on the left."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    inside = np.linalg.norm(world, axis=-1) <= radius
    data = inside * np.where(world[..., 0] > 0, 100.0, 40.0)
    return nib.Nifti1Image(data.astype(np.float32), affine)


@pytest.fixture(scope='session')
def head() -> nib.Nifti1Image:
    """A ball of 60 mm radius on 2 mm voxels with the axes L, A, S."""
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [70, -70, -70]
    return make_ball(affine, (71, 71, 71), HEAD_RADIUS)


@pytest.fixture(scope='session')
def mask() -> nib.Nifti1Image:
    """A ball of 40 mm radius, 1 inside, on another grid in the same world as the head."""
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = -60
    ball = make_ball(affine, (81, 81, 81), 40.0)
    return nib.Nifti1Image((ball.get_fdata() > 0).astype(np.uint8), affine)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


class FakeOutput:
    """Writes derivatives as the workflow does, with the numbers that a test chooses."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def table(self, image: str, method: str, rows: list[Mapping[str, object]], **sidecar) -> Path:
        folder = self._folder(image) / 'anat'
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'{image}_desc-{method}_targets.tsv'
        names = list(rows[0])
        lines = ['\t'.join(names)] + ['\t'.join(str(r[name]) for name in names) for r in rows]
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        path.with_suffix('.json').write_text(json.dumps(sidecar), encoding='utf-8')
        return path

    def figure(self, image: str, what: str, content: str = SVG) -> None:
        folder = self._folder(image) / 'figures'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{image}_desc-{what}_T1w.svg').write_text(content, encoding='utf-8')

    def error(self, subject: str, name: str, **record: str) -> None:
        folder = self.root / 'logs' / subject
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{name}.error.json').write_text(json.dumps(record), encoding='utf-8')

    def _folder(self, image: str) -> Path:
        parts = [part for part in image.split('_') if part.startswith(('sub-', 'ses-'))]
        return self.root.joinpath(*parts)


@pytest.fixture
def output(tmp_path: Path) -> FakeOutput:
    return FakeOutput(tmp_path / 'out')


@pytest.fixture
def row() -> Callable[..., dict]:
    return make_row


def make_row(label: str, xyz: tuple = ('n/a',) * 3, status: str = 'ok', **more: object) -> dict:
    """One row of a table of targets; the side is the label's first letter."""
    x, y, z = xyz
    region = more.pop('region', f'region of {label}')
    side = label[0]
    return {'label': label, 'hemisphere': side, 'region': region, 'x': x, 'y': y, 'z': z,
            'status': status, **more}  # fmt: skip
