"""Nipype wrapper of the figures of one image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives import EXPERT
from tmsprep.evaluation.status import RADIUS
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.methods import get_method
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
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
) -> Iterator[Path]:
    """Draw each target that any method found, all targets together, and a thumbnail.

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

    Yields
    ------
    Path
        The figures.
    """
    import nibabel as nib

    from tmsprep.reports.overview import plot_overview
    from tmsprep.reports.planes import Volume
    from tmsprep.reports.slices import plot_target
    from tmsprep.reports.thumbnail import THUMBNAIL, plot_thumbnail

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
    brain = None if mask is None else nib.Nifti1Image.from_filename(mask)
    yield plot_overview(volume, points, layout.figure(image, 'overview'), mask=brain)
    yield plot_thumbnail(volume, points, layout.figure(image, THUMBNAIL))


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
    import pandas as pd

    table = pd.read_csv(open_text(path), sep='\t', dtype=str, keep_default_na=False)
    if name not in table:
        return {}
    numbers = pd.to_numeric(table[name], errors='coerce')
    return dict(zip(table['label'], numbers.tolist(), strict=True))
