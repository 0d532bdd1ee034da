"""Nipype wrappers that write and draw what was found of the locus coeruleus."""

from __future__ import annotations

import json
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from tmsprep.bids.names import ImageRef, derivative_path


class WriteCoeruleusInputSpec(BaseInterfaceInputSpec):
    """Inputs of `WriteCoeruleus`."""

    bids_dir = traits.Str(mandatory=True, desc='data set')
    in_file = traits.Str(mandatory=True, desc='image')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    protocol = traits.Str(mandatory=True, desc='name or path of a protocol')
    properties = File(exists=True, mandatory=True, desc='of the image, see `Conform`')
    outcome = File(exists=True, mandatory=True, desc='of `LocateCoeruleus`')
    heatmaps = traits.Dict(mandatory=True, desc='of `LocateCoeruleus`')
    segmentations = File(exists=True, mandatory=True, desc='of `SegmentCoeruleus`')
    labels = traits.Dict(mandatory=True, desc='of `SegmentCoeruleus`')
    random_seed = traits.Int(mandatory=True)
    run_id = traits.Str(nohash=True, desc='of this run')


class WriteCoeruleusOutputSpec(TraitedSpec):
    """Output of `WriteCoeruleus`."""

    targets = File(exists=True, desc='table of points')


class WriteCoeruleus(SimpleInterface):
    """Write tables, heatmaps, labels and sidecars of one image, and what went wrong."""

    input_spec = WriteCoeruleusInputSpec
    output_spec = WriteCoeruleusOutputSpec
    # The outputs may have been deleted since: writing is cheap, so it is never skipped.
    always_run = True

    def _run_interface(self, runtime):
        from tmsprep.failures import record_error
        from tmsprep.methods.duennwald2021 import derivatives
        from tmsprep.outcome import Outcome
        from tmsprep.protocols import load_protocol

        given, out_dir = self.inputs, Path(self.inputs.out_dir)
        image = ImageRef.from_path(Path(given.bids_dir), Path(given.in_file))
        outcome, protocol = Outcome.read(given.outcome), load_protocol(given.protocol)
        properties, found = _read(given.properties), _read(given.segmentations)
        how = (protocol, properties, given.random_seed)
        derivatives.delete_other_images(out_dir, image, list(found), properties['sha256'])
        derivatives.write_heatmaps(
            out_dir, image, given.heatmaps, protocol.labels, outcome.details
        )
        table = derivatives.write_points(out_dir, image, outcome, *how)
        for method, result in found.items():
            result['labels'] = given.labels.get(method)
            derivatives.write_segmentation(out_dir, image, method, result, *how)
        error = next((r['error'] for r in found.values() if r['error']), None)
        for node, problem, path in (
            ('coeruleus_locate', outcome.error, given.outcome),
            ('coeruleus_segment', error, given.segmentations),
        ):
            record_error(out_dir, image, node, problem, Path(path).parent)
        self._results['targets'] = str(table)
        return runtime


class PlotCoeruleusInputSpec(BaseInterfaceInputSpec):
    """Inputs of `PlotCoeruleus`."""

    bids_dir = traits.Str(mandatory=True, desc='data set')
    in_file = traits.Str(mandatory=True, desc='image')
    out_dir = traits.Str(mandatory=True, desc='folder of all derivatives')
    conformed = File(exists=True, mandatory=True, desc='isotropic, see `Conform`')
    targets = File(exists=True, mandatory=True, desc='table of points')
    heatmaps = traits.Dict(mandatory=True, desc='of `LocateCoeruleus`')
    labels = traits.Dict(mandatory=True, desc='method to labels on the isotropic grid')


class PlotCoeruleusOutputSpec(TraitedSpec):
    """Outputs of `PlotCoeruleus`."""

    figures = traits.List(traits.Str, desc='SVG files written')


class PlotCoeruleus(SimpleInterface):
    """Draw the heatmaps over the slices, and the outlines of each segmentation."""

    input_spec = PlotCoeruleusInputSpec
    output_spec = PlotCoeruleusOutputSpec
    always_run = True

    def _run_interface(self, runtime):
        import nibabel as nib

        from tmsprep.formats.targets_tsv import read_targets
        from tmsprep.methods.duennwald2021.figures import SIDES, Scene, plot_heatmaps, plot_labels
        from tmsprep.reports.planes import Volume

        written = []
        points = read_targets(self.inputs.targets)
        if points.found.any():
            scene = Scene(Volume.from_image(nib.load(self.inputs.conformed)), points.coordinates)
            heatmaps = {
                side: nib.load(self.inputs.heatmaps[label])
                for side, label in zip(SIDES, points.labels, strict=True)
            }
            written.append(plot_heatmaps(scene, heatmaps, self._path('coreunet', 'heatmap')))
            for method, path in self.inputs.labels.items():
                labels = nib.load(path)
                written.append(plot_labels(scene, labels, self._path(method, 'dseg')))
        self._results['figures'] = [str(path) for path in written]
        return runtime

    def _path(self, desc: str, suffix: str) -> Path:
        image = ImageRef.from_path(Path(self.inputs.bids_dir), Path(self.inputs.in_file))
        return derivative_path(
            Path(self.inputs.out_dir),
            image,
            desc=desc,
            suffix=suffix,
            extension='.svg',
            folder='figures',
        )


def _read(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding='utf-8'))
