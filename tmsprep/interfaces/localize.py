"""Nipype wrapper of the methods."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
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

from tmsprep.files import SEAL, broken_seal, file_sha256, remove_inside, seal, text_sha256
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.outcome import INPUTS, Outcome, inputs_of
from tmsprep.tables import read_json

logger = logging.getLogger(__name__)


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
    folder = traits.Str(mandatory=True, desc='where the outcome is kept between runs')
    conformed = File(exists=True, mandatory=True, desc='conformed image')
    properties = File(exists=True, mandatory=True, desc='of the image, see `Conform`')
    protocol = traits.Any(mandatory=True, desc='a `Protocol`')
    resources = traits.Dict(mandatory=True, desc='of the method, see `Method.resources`')
    random_seed = traits.Int(1, usedefault=True)
    # Not called num_threads: Nipype would set that to the node's n_procs.
    threads = traits.Int(1, usedefault=True, desc='the result may depend on it')
    version = traits.Str(
        '', usedefault=True, desc='of the method, so that new code is not answered by old results'
    )
    use_gpu = traits.Bool(False, usedefault=True, desc='compute on CUDA')


class LocateOutputSpec(TraitedSpec):
    """Output of `Locate`."""

    outcome = File(exists=True, desc='JSON, see `tmsprep.outcome`')


class Locate(TakesOutcomes):
    """Find all targets by one method; a failure is an outcome, not a crash.

    An outcome without an error is kept, with all its files and their checksums. The next run takes
    it, rather than computing it again, if it depends on the same and every file is intact.
    """

    input_spec = LocateInputSpec
    output_spec = LocateOutputSpec
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        earlier = {name: Outcome.read(path) for name, path in self.outcome_files().items()}
        inputs = self._inputs_of(earlier)
        folder = Path(self.inputs.folder) / self._key(inputs)
        path = folder / 'outcome.json'
        reason = broken_seal(folder)
        if reason:
            if (folder / SEAL).exists():
                logger.warning('%s: %s, so it is made again', folder, reason)
            # With what was made from other inputs.
            remove_inside(folder.parent, folder.parent.parent)
            folder.mkdir(parents=True)
            outcome = self._locate(folder, earlier)
            replace(outcome, details={**outcome.details, INPUTS: inputs}).write(path)
            if outcome.error is None:
                seal(folder)
        self._results['outcome'] = str(path)
        return runtime

    def _locate(self, folder: Path, earlier: Mapping[str, Outcome]) -> Outcome:
        given = self.inputs
        try:
            method = get_method(given.method)
            request = Request(
                conformed=Path(given.conformed),
                properties=read_json(given.properties),
                protocol=given.protocol,
                resources=given.resources,
                earlier=earlier,
                folder=folder,
                device='cuda' if given.use_gpu else 'cpu',
                random_seed=given.random_seed,
                threads=given.threads,
            )
            return method.check(method.locate(request), request)
        except Exception as error:
            return Outcome.failed(given.method, error)

    def _inputs_of(self, earlier: Mapping[str, Outcome]) -> dict[str, Any]:
        given = self.inputs
        return inputs_of(
            image_sha256=read_json(given.properties).get('sha256', ''),
            protocol=given.protocol,
            resources=given.resources,
            version=given.version,
            random_seed=given.random_seed,
            threads=given.threads,
            after={name: outcome.details.get(INPUTS, {}) for name, outcome in earlier.items()},
        )

    def _key(self, inputs: Mapping[str, Any]) -> str:
        """Return a name that changes with everything that the outcome depends on.

        The conformed image belongs to it, which code makes from the image; so does the folder, as
        the outcome names files in it.
        """
        files = [self.inputs.conformed, self.inputs.properties, *self.outcome_files().values()]
        checksums = [file_sha256(path) for path in files]
        content = [inputs, checksums, self.inputs.folder]
        return text_sha256(json.dumps(content, sort_keys=True))[:16]
