"""Nipype wrapper that writes into the output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    DynamicTraitedSpec,
    File,
    TraitedSpec,
    isdefined,
    traits,
)

from tmsprep.derivatives.earlier import POINTS
from tmsprep.derivatives.tables import image_entries, write_outcomes
from tmsprep.failures import record_error
from tmsprep.imaging.scanner_frame import ImageError
from tmsprep.interfaces.localize import TakesOutcomes
from tmsprep.outcome import Outcome, describe_error
from tmsprep.point_table import delete_points, write_point_table
from tmsprep.scalp.measure import needs_scalp
from tmsprep.scalp.outcomes import measure_scalp
from tmsprep.scalp.table import POSITIONS, write_positions
from tmsprep.tables import read_json


class WriteDerivativesInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    """Inputs of `WriteDerivatives`."""

    image = traits.Any(mandatory=True, desc='an `ImageRef`')
    layout = traits.Any(mandatory=True, desc='a `Layout`')
    protocol = traits.Any(mandatory=True, desc='a `Protocol`')
    properties = File(exists=True, mandatory=True, desc='of the image, see `Conform`')
    properties_again = File(exists=True, desc='of the image, where it was read for another grid')
    conformed = File(exists=True, desc='image on the common grid, or that of the one method')
    own_points = traits.Any(desc='an `OwnPoints`')
    random_seed = traits.Int(mandatory=True)
    chosen = traits.List(traits.Str(), desc='labels of the targets that tables list; none: all')
    run_id = traits.Str(nohash=True, desc='name of the run')


class WriteDerivativesOutputSpec(TraitedSpec):
    """Outputs of `WriteDerivatives`."""

    tables = traits.Dict(desc='method to table of targets')
    outcomes = traits.Dict(desc='method to the file of its outcome')
    points = traits.Str(desc='table of points given in a template')


class WriteDerivatives(TakesOutcomes):
    """Write the derivatives of one image, and records of the methods that failed."""

    input_spec = WriteDerivativesInputSpec
    output_spec = WriteDerivativesOutputSpec
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        given, files = self.inputs, self.outcome_files()
        properties = self._properties()
        outcomes = {method: Outcome.read(path) for method, path in files.items()}
        measured = outcomes
        if isdefined(given.conformed) and needs_scalp(given.protocol):
            scalp = measure_scalp(outcomes, Path(given.conformed), properties, given.protocol)
            measured = scalp.outcomes(outcomes, given.protocol)
        tables = write_outcomes(
            given.layout,
            given.image,
            measured,
            given.protocol,
            properties,
            given.random_seed,
            given.chosen,
        )
        if measured is not outcomes:
            entries = image_entries(given.image, given.protocol, properties)
            write_positions(given.layout.table(given.image, *POSITIONS), scalp, entries)
        for method, outcome in outcomes.items():
            record_error(given.layout, given.image, method, outcome.error, tables_written=True)
        self._write_points(outcomes, properties)
        self._results['tables'] = {method: str(path) for method, path in tables.items()}
        self._results['outcomes'] = {method: str(path) for method, path in files.items()}
        return runtime

    def _write_points(self, outcomes: dict[str, Outcome], properties: dict[str, Any]) -> None:
        """Write the points given in a template; what goes wrong leaves the targets alone."""
        given, error = self.inputs, None
        where = given.layout, given.image, given.protocol
        try:
            path = write_point_table(
                given.own_points if isdefined(given.own_points) else None,
                outcomes,
                *where,
                properties,
                Path(str(given.conformed)),
                given.random_seed,
            )
        except Exception as problem:
            error, path = describe_error(problem), None
            delete_points(*where)
        record_error(given.layout, given.image, POINTS, error, tables_written=True)
        self._results['points'] = str(path or '')

    def _properties(self) -> dict[str, Any]:
        """Read the properties of the image, which must be one for all methods."""
        given = self.inputs
        properties = read_json(given.properties)
        if isdefined(given.properties_again):
            again = read_json(given.properties_again)
            if again['sha256'] != properties['sha256']:
                raise ImageError(
                    f'{given.image.path}: the file was replaced while it was worked on, and '
                    'methods saw different images. Start again when copying has ended.'
                )
        return properties
