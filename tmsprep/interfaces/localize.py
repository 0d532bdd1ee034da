"""Nipype wrapper of the CNN localiser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from tmsprep.outcome import Outcome

if TYPE_CHECKING:
    from tmsprep.evaluation.conformal import ErrorRadius


class LocalizeCNNInputSpec(BaseInterfaceInputSpec):
    """Inputs of `LocalizeCNN`."""

    conformed = File(exists=True, mandatory=True, desc='conformed T1w')
    properties = File(exists=True, mandatory=True, desc='of the T1w, see `Conform`')
    weights = File(exists=True, mandatory=True, desc='safetensors file of an ensemble')
    weights_sha256 = traits.Str(mandatory=True, desc='so that new weights are noticed')
    labels = traits.List(traits.Str, mandatory=True, desc='targets of the protocol')
    version = traits.Str(desc='of tmsprep, so that new code is not answered from the cache')
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc='compute on CUDA')


class OutcomeOutputSpec(TraitedSpec):
    """Output of every localiser."""

    outcome = File(exists=True, desc='JSON, see `tmsprep.outcome`')


class LocalizeCNN(SimpleInterface):
    """Find all targets by the network; a failure is an outcome, not a crash."""

    input_spec = LocalizeCNNInputSpec
    output_spec = OutcomeOutputSpec

    def _run_interface(self, runtime):
        try:
            outcome = self._localize()
        except Exception as error:
            outcome = Outcome.failed('cnn', error)
        self._results['outcome'] = str(outcome.write(Path(runtime.cwd) / 'outcome.json'))
        return runtime

    def _localize(self) -> Outcome:
        import nibabel as nib
        import torch

        from tmsprep.evaluation.errors import dispersion
        from tmsprep.methods.baxter2021.localize import localize
        from tmsprep.methods.baxter2021.weights import load_localizer

        # One thread, whatever the machine: sums in another order differ in the last digits.
        torch.set_num_threads(1)
        properties = json.loads(Path(self.inputs.properties).read_text(encoding='utf-8'))
        localizer = load_localizer(self.inputs.weights)
        found = localize(
            nib.load(self.inputs.conformed),
            tuple(properties['window']),
            localizer,
            'cuda' if self.inputs.use_gpu else 'cpu',
        )
        spread = dict(zip(localizer.labels, dispersion(found.members).tolist(), strict=True))
        known = {'dispersion_mm': spread} if len(found.members) > 1 else {}
        details = {
            'Weights': {
                'Name': localizer.card.get('name', Path(self.inputs.weights).stem),
                'SHA256': self.inputs.weights_sha256,
                'TrainingData': localizer.card.get('data', 'not stated'),
            },
            'EnsembleSize': len(found.members),
        }
        if localizer.calibration is not None:
            calibration = self._read_calibration(localizer.calibration)
            known['error90_mm'] = calibration.finite_radii(spread)
            details['Calibration'] = {
                'Level': calibration.level,
                'People': dict(zip(calibration.labels, calibration.n, strict=True)),
                'ScaledByDispersion': calibration.floor_mm is not None,
            }
        labels = self.inputs.labels
        columns = {name: [of.get(label) for label in labels] for name, of in known.items()}
        return Outcome('cnn', found.points.reindex(labels), columns, details)

    def _read_calibration(self, content: Mapping[str, Any]) -> ErrorRadius:
        from tmsprep.evaluation.conformal import LEVEL, ErrorRadius

        try:
            calibration = ErrorRadius.from_dict(content)
            if calibration.level != LEVEL:
                raise ValueError(f'the calibration is for {calibration.level}, not {LEVEL}')
        except ValueError as error:
            cure = 'calibrate the weights again, or use others'
            raise ValueError(f'{self.inputs.weights}: {error}: {cure}') from error
        return calibration
