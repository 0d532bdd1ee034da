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

from tmsprep.derivatives import write_outcomes
from tmsprep.failures import record_error
from tmsprep.imaging.scanner_frame import ImageError
from tmsprep.interfaces.localize import TakesOutcomes
from tmsprep.outcome import Outcome
from tmsprep.scalp.measure import needs_scalp
from tmsprep.scalp.outcomes import add_coils
from tmsprep.tables import read_json


class WriteDerivativesInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    """Inputs of `WriteDerivatives`."""

    image = traits.Any(mandatory=True, desc='an `ImageRef`')
    layout = traits.Any(mandatory=True, desc='a `Layout`')
    protocol = traits.Any(mandatory=True, desc='a `Protocol`')
    properties = File(exists=True, mandatory=True, desc='of the image, see `Conform`')
    properties_again = File(exists=True, desc='of the image, where it was read for another grid')
    conformed = File(exists=True, desc='image on the common grid, to find the scalp in')
    random_seed = traits.Int(mandatory=True)
    run_id = traits.Str(nohash=True, desc='name of the run')


class WriteDerivativesOutputSpec(TraitedSpec):
    """Outputs of `WriteDerivatives`."""

    tables = traits.Dict(desc='method to table of targets')
    outcomes = traits.Dict(desc='method to the file of its outcome')


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
            measured = add_coils(outcomes, Path(given.conformed), properties, given.protocol)
        tables = write_outcomes(
            given.layout,
            given.image,
            measured,
            given.protocol,
            properties,
            given.random_seed,
        )
        for method, outcome in outcomes.items():
            record_error(given.layout, given.image, method, outcome.error, tables_written=True)
        self._results['tables'] = {method: str(path) for method, path in tables.items()}
        self._results['outcomes'] = {method: str(path) for method, path in files.items()}
        return runtime

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
