"""Nipype wrapper of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    DynamicTraitedSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.outcome import Outcome
from tmsprep.tables import read_json


class TakesOutcomes(SimpleInterface):
    """Interface with one more input per method, ``outcome_<method>``: the file of its outcome.

    Parameters
    ----------
    methods : sequence of str
        Names of the methods.
    **inputs : Any
        The other inputs.
    """

    def __init__(self, methods: Sequence[str] = (), **inputs: Any) -> None:
        super().__init__(**inputs)
        self._methods = tuple(methods)
        add_traits(self.inputs, [f'outcome_{method}' for method in self._methods])

    def outcome_files(self) -> dict[str, Path]:
        """Return method to the file of its outcome, for those that are connected."""
        given = {method: getattr(self.inputs, f'outcome_{method}') for method in self._methods}
        return {method: Path(path) for method, path in given.items() if isdefined(path)}


class LocateInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    """Inputs of `Locate`."""

    method = traits.Str(mandatory=True, desc='name of the method')
    conformed = File(exists=True, mandatory=True, desc='conformed image')
    properties = File(exists=True, mandatory=True, desc='of the image, see `Conform`')
    # Hashed by its representation, so that a changed list of targets is noticed.
    protocol = traits.Any(mandatory=True, desc='a `Protocol`')
    resources = traits.Dict(mandatory=True, desc='of the method, with checksums of its files')
    random_seed = traits.Int(1, usedefault=True)
    # Not called num_threads: Nipype would set that to the node's n_procs.
    threads = traits.Int(1, usedefault=True, desc='the result may depend on it')
    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='compute on CUDA')


class LocateOutputSpec(TraitedSpec):
    """Output of `Locate`."""

    outcome = File(exists=True, desc='JSON, see `tmsprep.outcome`')


class Locate(TakesOutcomes):
    """Find all targets by one method; a failure is an outcome, not a crash."""

    input_spec = LocateInputSpec
    output_spec = LocateOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        try:
            method = get_method(self.inputs.method)
            request = self._request(folder)
            outcome = method.check(method.locate(request), request)
        except Exception as error:
            outcome = Outcome.failed(self.inputs.method, error)
        self._results['outcome'] = str(outcome.write(folder / 'outcome.json'))
        return runtime

    def _request(self, folder: Path) -> Request:
        given = self.inputs
        return Request(
            conformed=Path(given.conformed),
            properties=read_json(given.properties),
            protocol=given.protocol,
            resources=given.resources,
            earlier={name: Outcome.read(path) for name, path in self.outcome_files().items()},
            folder=folder,
            device='cuda' if given.use_gpu else 'cpu',
            random_seed=given.random_seed,
            threads=given.threads,
        )
