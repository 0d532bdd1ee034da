"""Nipype wrapper of the figures of one T1w."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)


class PlotFiguresInputSpec(BaseInterfaceInputSpec):
    """Inputs of `PlotFigures`."""

    bids_dir = traits.Str(mandatory=True, desc='data set')
    in_file = traits.Str(mandatory=True, desc='T1w image')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    conformed = File(exists=True, mandatory=True, desc='conformed T1w')
    tables = traits.Dict(mandatory=True, desc='method to table of targets')
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
        import numpy as np

        from tmsprep.bids.names import T1wImage, derivative_path
        from tmsprep.formats.targets_tsv import read_targets
        from tmsprep.protocols import load_protocol
        from tmsprep.reports.overview import plot_overview
        from tmsprep.reports.planes import Volume
        from tmsprep.reports.registration import plot_mask, plot_registration
        from tmsprep.reports.slices import plot_target

        image = T1wImage.from_path(Path(self.inputs.bids_dir), Path(self.inputs.in_file))
        protocol = load_protocol(self.inputs.protocol)
        points = {method: read_targets(path) for method, path in self.inputs.tables.items()}
        # Read once: eleven figures look at the same voxels.
        volume = Volume.from_image(nib.load(self.inputs.conformed))
        written = []

        def path(what: str) -> Path:
            written.append(
                derivative_path(
                    Path(self.inputs.out_dir),
                    image,
                    desc=what,
                    suffix='T1w',
                    extension='.svg',
                    folder='figures',
                )
            )
            return written[-1]

        for target in protocol.targets:
            named = {method: found[target.label] for method, found in points.items()}
            if any(np.isfinite(point).all() for point in named.values()):
                figure = path(target.label)
                plot_target(volume, named, figure, label=target.label, region=target.region)
        mask = nib.load(self.inputs.mask) if isdefined(self.inputs.mask) else None
        plot_overview(volume, points, path('overview'), mask=mask)
        if mask is not None:
            plot_mask(volume, mask, path('brain'))
        if isdefined(self.inputs.after):
            before, after = nib.load(self.inputs.before), nib.load(self.inputs.after)
            titles = ('after rigid and affine', 'after SyN')
            plot_registration(volume, before, after, path('registration'), titles=titles)
        self._results['figures'] = [str(figure) for figure in written]
        return runtime
