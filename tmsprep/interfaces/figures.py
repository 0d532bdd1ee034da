"""Nipype wrapper of the figures of one image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import EXPERT, POINTS, source_sha256
from tmsprep.evaluation.face import FacePlane, face_plane, without_face
from tmsprep.evaluation.head import MeanHead
from tmsprep.evaluation.status import RADIUS, UNUSABLE
from tmsprep.formats.targets_tsv import read_rows, read_targets
from tmsprep.methods import get_method
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.reports.head_volume import head_volume, write_head
from tmsprep.reports.overview import plot_overview
from tmsprep.reports.planes import Volume
from tmsprep.reports.slices import plot_target
from tmsprep.reports.thumbnail import THUMBNAIL, plot_thumbnail
from tmsprep.text import open_text


class PlotFiguresInputSpec(BaseInterfaceInputSpec):
    """Inputs of `PlotFigures`."""

    image = traits.Any(mandatory=True, desc='an `ImageRef`')
    layout = traits.Any(mandatory=True, desc='a `Layout`')
    protocol = traits.Any(mandatory=True, desc='a `Protocol`')
    tables = traits.Dict(mandatory=True, desc='method to table of targets')
    outcomes = traits.Dict(mandatory=True, desc='method to the file of its outcome')
    conformed = File(exists=True, desc='image on the common grid')
    isotropic = File(exists=True, desc='image on isotropic voxels, for methods that want these')
    expert = File(exists=True, desc='table of the raters')
    deface = traits.Bool(False, usedefault=True, desc='whether to leave out the face')
    points = traits.Str(desc='table of points given in a template')


class PlotFiguresOutputSpec(TraitedSpec):
    """Outputs of `PlotFigures`."""

    figures = traits.List(traits.Str, desc='SVG files written')


class PlotFigures(SimpleInterface):
    """Draw every target, all targets together, and what each method adds."""

    input_spec = PlotFiguresInputSpec
    output_spec = PlotFiguresOutputSpec
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        tables = {method: Path(path) for method, path in given.tables.items()}
        outcomes = {method: Outcome.read(path) for method, path in given.outcomes.items()}
        conformed = {
            isotropic: Path(path)
            for isotropic, path in ((False, given.conformed), (True, given.isotropic))
            if isdefined(path)
        }
        if given.deface:
            # Those of an earlier run may show the face.
            for figure in given.layout.files(given.image, 'figures'):
                figure.unlink()
            conformed = _defaced(conformed, tables, given.protocol, Path(runtime.cwd))
        shown = dict(tables)
        if isdefined(given.expert):
            shown[EXPERT] = Path(given.expert)
        written = [
            *plot_points(
                next(iter(conformed.values())),
                shown,
                given.protocol,
                given.image,
                given.layout,
                mask=next((o.files['mask'] for o in outcomes.values() if 'mask' in o.files), None),
                defaced=given.deface,
                own=Path(given.points) if isdefined(given.points) and given.points else None,
            )
        ]
        for name, outcome in outcomes.items():
            method, points = get_method(name), read_targets(tables[name])
            image = conformed[method.isotropic]
            written += method.plot(outcome, image, points, given.image, given.layout)
        self._results['figures'] = [str(path) for path in written]
        return runtime


def plot_points(
    conformed: Path,
    tables: Mapping[str, Path],
    protocol: Protocol,
    image: ImageRef,
    layout: Layout,
    mask: str | None = None,
    *,
    own: Path | None = None,
    defaced: bool = False,
) -> Iterator[Path]:
    """Draw each target that any method found, points of the user, and all; write the head to view.

    Parameters
    ----------
    conformed : Path
        The conformed image.
    tables : mapping
        Method, or `EXPERT`, to table of targets.
    protocol : Protocol
        The targets.
    image : ImageRef
        The source.
    layout : Layout
        Names of the outputs.
    mask : str, optional
        File of a brain mask.
    defaced : bool
        Whether the image has no face any more, which the head to view says.
    own : Path, optional
        Table of points given in a template.

    Yields
    ------
    Path
        The figures.
    """
    points = {method: read_targets(path) for method, path in tables.items()}
    # Read once: a dozen figures look at the same voxels.
    volume = Volume.from_image(nib.Nifti1Image.from_filename(conformed))
    circles, measures = error_circles(tables), scatter(tables)
    for target in protocol.targets:
        named = {m: found[target.label] for m, found in points.items() if target.label in found}
        path = layout.figure(image, target.label)
        if not any(np.isfinite(point).all() for point in named.values()):
            # A figure of an earlier run would show a point that was not found or chosen again.
            path.unlink(missing_ok=True)
            continue
        yield plot_target(
            volume,
            named,
            path,
            label=target.label,
            region=target.region,
            circles=circles.get(target.label, {}),
            measures=measures.get(target.label),
        )
    every = [found.coordinates for found in points.values()]
    if own is not None:
        found = read_targets(own)
        every.append(found.coordinates)
        for label in np.array(found.labels)[found.found].tolist():
            yield plot_target(
                volume, {POINTS: found[label]}, layout.figure(image, label), label=label
            )
    brain = None if mask is None else nib.Nifti1Image.from_filename(mask)
    yield plot_overview(volume, points, layout.figure(image, 'overview'), mask=brain)
    yield plot_thumbnail(volume, points, layout.figure(image, THUMBNAIL))
    head = head_volume(volume, np.concatenate(every))
    sha256 = source_sha256(next(iter(tables.values())))
    yield write_head(layout.head(image), head, sha256=sha256, defaced=defaced)


def _defaced(
    conformed: Mapping[bool, Path], tables: Mapping[str, Path], protocol: Protocol, folder: Path
) -> dict[bool, Path]:
    """Write copies of images without the face, which the points of a method tell.

    Raises
    ------
    ValueError
        If no method has points that do, or the protocol has no mean head: nothing is shown then.
    """
    plane = _face(tables, protocol)
    written = {}
    for isotropic, path in conformed.items():
        image = nib.Nifti1Image.from_filename(path)
        data = without_face(np.asanyarray(image.dataobj), image.affine, plane)
        written[isotropic] = folder / f'defaced_{path.name}'
        nib.Nifti1Image(data, image.affine, image.header).to_filename(written[isotropic])
    return written


def _face(tables: Mapping[str, Path], protocol: Protocol) -> FacePlane:
    cure = 'so no picture is made. Run again without --deface-report if faces may be shown'
    if not protocol.head:
        raise ValueError(
            f'protocol {protocol.name} has no mean head by which a face could be located, {cure}'
        )
    head = MeanHead.load(protocol.file(protocol.head))
    for path in tables.values():
        plane = face_plane(head, _reliable(path))
        if plane is not None:
            return plane
    raise ValueError(f'too few points may be used to locate the face, {cure}')


def _reliable(path: Path) -> PointSet:
    """Points of a table whose status does not forbid their use."""
    rows = read_rows(path, ('label', 'status'))
    usable = [row['label'] for _, row in rows if row['status'] not in UNUSABLE]
    return read_targets(path).reindex(usable)


def error_circles(tables: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Return target to method to the radius in mm that the table states, if it does."""
    circles: dict[str, dict[str, float]] = {}
    for method, path in tables.items():
        for label, radius in _column(path, RADIUS).items():
            named = circles.setdefault(label, {})
            if math.isfinite(radius):
                named[method] = radius
    return circles


def scatter(tables: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Return the numbers that Figure 4 of Baxter et al. 2021 adds to the errors, if raters exist.

    Parameters
    ----------
    tables : mapping
        Method to table of targets.

    Returns
    -------
    dict
        Target to expert variability (EV) and network dispersion (ND) in mm, NaN if missing;
        without raters nothing, without an ensemble no dispersion.
    """
    if EXPERT not in tables:
        return {}
    names = {
        f'{get_method(method).title} dispersion (ND)': _column(path, 'dispersion_mm')
        for method, path in tables.items()
        if method != EXPERT
    }
    return {
        label: {
            'Expert variability (EV)': variability,
            **{name: spread[label] for name, spread in names.items() if label in spread},
        }
        for label, variability in _column(tables[EXPERT], 'variability_mm').items()
    }


def _column(path: Path, name: str) -> dict[str, float]:
    """Target to a number of its row, NaN where missing; empty if there is no such column."""
    table = pd.read_csv(open_text(path), sep='\t', dtype=str, keep_default_na=False)
    if name not in table:
        return {}
    numbers = pd.to_numeric(table[name], errors='coerce')
    return dict(zip(table['label'], numbers.tolist(), strict=True))
