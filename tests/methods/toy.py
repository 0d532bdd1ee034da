"""A method and a protocol that the package does not know: the least that a method must have.

It predicts each target at its mean position relative to the centre of the image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tmsprep.imaging.read import read_geometry
from tmsprep.learning.examples import Record
from tmsprep.learning.plan import Training
from tmsprep.methods.base import Method, Request
from tmsprep.methods.learner import Learner
from tmsprep.methods.resources import find_weights
from tmsprep.networks.archive import read_archive, write_archive
from tmsprep.options import Option
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

PROTOCOL = """
name = 'toy-list'
title = 'Two points of a test'
source = 'test'
methods = ['toy']

[[targets]]
label = 'B'
hemisphere = 'R'
region = 'right'
type = 'test'
mirror = 'A'

[[targets]]
label = 'A'
hemisphere = 'L'
region = 'left'
type = 'test'
mirror = 'B'
"""


def centre(shape: Sequence[int], affine: Any) -> np.ndarray:
    """Centre of an image, mm, RAS+."""
    affine = np.array(affine)
    return affine[:3, :3] @ ((np.array(shape[:3]) - 1) / 2) + affine[:3, 3]


class ToyLearner(Learner):
    def network(self, training: Training) -> Any:
        import torch

        network = torch.nn.Module()
        network.offset = torch.nn.Parameter(torch.zeros(len(self.protocol.labels), 3))
        return network

    def task(
        self,
        training: Training,
        records: Sequence[Record],
        validation: Sequence[Record],
        *,
        device: str = 'cpu',
        reduced: bool = False,
    ) -> Any:
        import torch

        from tmsprep.learning.loop import Schedule, Task

        truth = torch.tensor(np.stack([self._offset(r) for r in records]), dtype=torch.float32)

        class MeanTask(Task):
            networks: ClassVar = [self.network(training)]
            schedule: ClassVar = Schedule(
                3, 1, lambda p: torch.optim.SGD(p, lr=1.0), lambda i: 1.0
            )

            def loss(self, network: Any, step: int) -> torch.Tensor:
                return 0.5 * (network.offset - truth).square().sum(dim=(1, 2)).mean()

        return MeanTask()

    def _offset(self, record: Record) -> np.ndarray:
        shape, affine, _ = read_geometry(record.example.image)
        assert record.example.points is not None
        return record.example.points.coordinates - centre(shape, affine)

    def save(self, path: Path, model: Any, card: Mapping[str, str]) -> Path:
        metadata = {'labels': json.dumps(self.protocol.labels), 'card': json.dumps(dict(card))}
        return write_archive(path, 'toy-1', {'offset': model.offset}, metadata)

    def predict(self, model: Any, record: Record, device: str = 'cpu') -> PointSet:
        shape, affine, _ = read_geometry(record.example.image)
        points = centre(shape, affine) + model.offset.detach().double().numpy()
        return PointSet(self.protocol.labels, points)


class ToyMethod(Method):
    name = 'toy'
    title = 'Toy'
    description = 'Targets at their mean position relative to the centre of the image'
    options = (Option('weights', 'weights of the toy', Path, levels=('participant',)),)

    def resources(self, protocol: Protocol, options: Mapping[str, Any]) -> dict[str, Any]:
        return find_weights(self.name, 'toy-1', protocol, options.get('weights'))[0]

    def locate(self, request: Request) -> Outcome:
        weights, known = request.resources['weights'], request.resources['weights_sha256']
        tensors, metadata = read_archive(Path(weights), 'toy-1', known)
        here = centre(request.properties['shape'], request.properties['affine'])
        points = here + tensors['offset'].double().numpy()
        return Outcome(self.name, PointSet(tuple(json.loads(metadata['labels'])), points))

    def learner(self, protocol: Protocol, options: Mapping[str, Any]) -> ToyLearner:
        return ToyLearner(protocol, options)
