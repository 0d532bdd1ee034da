"""Nipype wrapper of the figures of one T1w."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.bids.names import ImageRef, derivative_path
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

if TYPE_CHECKING:
    from tmsprep.reports.planes import Volume
    from tmsprep.reports.summary import Number, TargetRow


class PlotFiguresInputSpec(BaseInterfaceInputSpec):
    """Inputs of `PlotFigures`."""

    bids_dir = traits.Str(mandatory=True, desc='data set')
    in_file = traits.Str(mandatory=True, desc='T1w image')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    conformed = File(exists=True, mandatory=True, desc='conformed T1w')
    tables = traits.Dict(mandatory=True, desc='method to table of targets')
    expert = File(exists=True, desc='table of the experts')
    mask = File(exists=True, desc='brain mask')
    before = File(exists=True, desc='atlas after its linear alignment, on the conformed grid')
    after = File(exists=True, desc='atlas after SyN, on the conformed grid')


class PlotFiguresOutputSpec(TraitedSpec):
    """Outputs of `PlotFigures`."""

    figures = traits.List(traits.Str, desc='SVG files written')


class PlotFigures(SimpleInterface):
    """Draw every target, all targets together, and the registration."""

    input_spec = PlotFiguresInputSpec
    output_spec = PlotFiguresOutputSpec
    always_run = True

    def _run_interface(self, runtime):
        import nibabel as nib

        from tmsprep.formats.targets_tsv import read_targets
        from tmsprep.reports.planes import Volume

        tables = dict(self.inputs.tables)
        if isdefined(self.inputs.expert):
            tables['expert'] = self.inputs.expert
        points = {method: read_targets(path) for method, path in tables.items()}
        # Read once: a dozen figures look at the same voxels.
        volume = Volume.from_image(nib.load(self.inputs.conformed))
        written = [
            *self._plot_targets(volume, points, tables),
            *self._plot_overviews(volume, points),
        ]
        self._results['figures'] = [str(path) for path in written]
        return runtime

    def _path(self, what: str) -> Path:
        image = ImageRef.from_path(Path(self.inputs.bids_dir), Path(self.inputs.in_file))
        out_dir = Path(self.inputs.out_dir)
        return derivative_path(
            out_dir, image, desc=what, suffix='T1w', extension='.svg', folder='figures'
        )

    def _plot_targets(
        self,
        volume: Volume,
        points: Mapping[str, PointSet],
        tables: Mapping[str, str],
    ) -> Iterator[Path]:
        """Draw each target that any method found."""
        import numpy as np

        from tmsprep.reports.slices import plot_target

        circles, measures = error_circles(tables), scatter(tables)
        for target in load_protocol(self.inputs.protocol).targets:
            named = {method: found[target.label] for method, found in points.items()}
            if any(np.isfinite(point).all() for point in named.values()):
                yield plot_target(
                    volume,
                    named,
                    self._path(target.label),
                    label=target.label,
                    region=target.region,
                    circles=circles[target.label],
                    measures=measures.get(target.label),
                )

    def _plot_overviews(self, volume: Volume, points: Mapping[str, PointSet]) -> Iterator[Path]:
        """Draw all targets together, the brain mask, and the atlas before and after SyN."""
        import nibabel as nib

        from tmsprep.reports.overview import plot_overview
        from tmsprep.reports.registration import plot_mask, plot_registration

        mask = nib.load(self.inputs.mask) if isdefined(self.inputs.mask) else None
        yield plot_overview(volume, points, self._path('overview'), mask=mask)
        if mask is not None:
            yield plot_mask(volume, mask, self._path('brain'))
        if isdefined(self.inputs.after):
            before, after = nib.load(self.inputs.before), nib.load(self.inputs.after)
            titles = ('after rigid and affine', 'after SyN')
            yield plot_registration(
                volume, before, after, self._path('registration'), titles=titles
            )


def error_circles(tables: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return target to method to the radius in mm that the table promises, if it does."""
    return {
        row.label: {e.method: e.error90.value for e in row.estimates if e.error90}
        for row in _rows(tables)
    }


def scatter(tables: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return what Figure 4 of Baxter et al. 2021 says beside the errors, if there are experts.

    Parameters
    ----------
    tables : mapping
        Method to table of targets.

    Returns
    -------
    dict
        Target to expert variability (EV) and network dispersion (ND) in mm, NaN if missing;
        without experts nothing, without an ensemble no dispersion.
    """
    if 'expert' not in tables:
        return {}
    found = {}
    for row in _rows(tables):
        by_method = {estimate.method: estimate for estimate in row.estimates}
        expert, cnn = by_method.get('expert'), by_method.get('cnn')
        measures = {'Expert variability (EV)': _value(expert and expert.variability)}
        if cnn is not None and cnn.dispersion is not None:
            measures['CNN dispersion (ND)'] = cnn.dispersion.value
        found[row.label] = measures
    return found


def _value(number: Number | None) -> float:
    return math.nan if number is None else number.value


def _rows(tables: Mapping[str, str]) -> list[TargetRow]:
    from tmsprep.reports.collect import read_targets
    from tmsprep.reports.summary import target_rows

    return target_rows({method: read_targets(Path(path)) for method, path in tables.items()})
