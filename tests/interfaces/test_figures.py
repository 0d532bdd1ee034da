"""Figures without a face: located by the points of a method, or not drawn at all."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.head import MeanHead
from tmsprep.interfaces.figures import PlotFigures
from tmsprep.protocols import load_protocol
from tmsprep.reports.head_volume import read_head

PROTOCOL = load_protocol('tms')
HEAD = MeanHead.load(PROTOCOL.file(PROTOCOL.head))
IMAGE = ImageRef.from_path(Path('/d'), Path('/d/sub-01/anat/sub-01_T1w.nii.gz'))
#: Voxels of 4 mm, axes L, P, S.
AFFINE = np.array([[-4.0, 0, 0, 128], [0, -4, 0, 128], [0, 0, 4, -128], [0, 0, 0, 1]])


def plot(folder: Path, monkeypatch: pytest.MonkeyPatch, statuses: list[str]) -> Layout:
    """Draw a ball of 110 mm with the targets of the mean head in it."""
    world = apply_affine(AFFINE, np.moveaxis(np.indices((64, 64, 64)), 0, -1))
    ball = (np.linalg.norm(world, axis=-1) < 110).astype(np.float32) * 100
    conformed = folder / 'conformed.nii'
    nib.Nifti1Image(ball, AFFINE).to_filename(conformed)
    layout = Layout(folder / 'out', 'tms')
    table = layout.table(IMAGE, 'cnn')
    table.parent.mkdir(parents=True)
    lines = ['label\tx\ty\tz\tstatus']
    for label, place, status in zip(HEAD.labels, HEAD.landmarks, statuses, strict=True):
        lines.append('\t'.join([label, *(f'{value:.4f}' for value in place), status]))
    table.write_text('\n'.join(lines) + '\n')
    earlier = layout.figure(IMAGE, 'earlier')
    earlier.parent.mkdir()
    earlier.write_text('with a face')
    table.with_suffix('.json').write_text(json.dumps({'ReferenceImage': {'SHA256': 'ab'}}))
    monkeypatch.chdir(folder)
    PlotFigures(
        image=IMAGE, layout=layout, protocol=PROTOCOL, tables={'cnn': str(table)}, outcomes={},
        conformed=str(conformed), deface=True,
    ).run()  # fmt: skip
    return layout


def test_without_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = plot(tmp_path, monkeypatch, ['unreliable', *['ok'] * 10])
    image = nib.Nifti1Image.from_filename(tmp_path / 'defaced_conformed.nii')
    data = np.asanyarray(image.dataobj)

    def at(*mm: float) -> float:
        return float(data[tuple(np.rint(apply_affine(np.linalg.inv(AFFINE), mm)).astype(int))])

    assert [at(0, 70, -60), at(0, 60, -80), at(30, 75, -55)] == [0, 0, 0]
    assert [at(0, 80, 0), at(0, 0, 90), at(0, -90, -40)] == [100, 100, 100]
    assert {at(*place) for place in HEAD.landmarks} == {100}
    header, _ = read_head(layout.head(IMAGE))
    assert (header['defaced'], header['sha256']) == (True, 'ab')
    assert layout.figure(IMAGE, 'overview').is_file()


def test_face_not_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match='too few points may be used to locate the face'):
        plot(tmp_path, monkeypatch, ['ok'] * 3 + ['unreliable'] * 8)
    assert list((tmp_path / 'out').rglob('*.svg')) == []
    assert list((tmp_path / 'out').rglob('*.bin.gz')) == []
