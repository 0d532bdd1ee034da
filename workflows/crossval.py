"""The workflow of a cross-validation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nipype import Merge, Node, Workflow

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.interfaces.crossval import Gather, Prepare, TestNetworks, Train
from tmsprep.learning.examples import Example
from tmsprep.learning.plan import Plan
from tmsprep.methods.learner import Learner, as_json


@dataclass(frozen=True)
class CrossvalRun:
    """What a cross-validation is made of.

    Parameters
    ----------
    method : str
        Name of the method.
    learner : Learner
        Its learner, with the protocol and all options.
    plan : Plan
        All trainings and tests.
    examples : sequence of Example
        Annotated images.
    images : mapping
        Name of an example to its image.
    layout : Layout
        Names of the outputs.
    settings : mapping
        How the run is done, for the sidecars; JSON-ready.
    mem_gb : float
        Memory of one training or test.
    use_gpu : bool
        Whether networks run on the GPU.
    """

    method: str
    learner: Learner
    plan: Plan
    examples: Sequence[Example]
    images: Mapping[str, ImageRef]
    layout: Layout
    settings: Mapping[str, Any]
    mem_gb: float = 2.0
    use_gpu: bool = False

    @property
    def name(self) -> str:
        """Name of the cross-validation, since protocols can share a working directory."""
        return f'{self.layout.label}_{self.method}_crossval'

    def inputs(self, *options: str) -> dict[str, Any]:
        """Return the inputs of every step; it depends on the options that are named."""
        return {
            'method': self.method,
            'protocol': self.learner.protocol,
            'options': as_json(self.learner.options, options),
            'version': self.learner.version,
        }


def init_crossval_wf(*, run: CrossvalRun, work_dir: Path) -> Workflow:
    """Train and test networks as planned.

    Workflow graph: one ``prepare`` node per image; ``records01``, ... join the records of the
    participants that a step sees; one node per training, named by it, gets the records of its
    training set and its validation set and no others; one node per test gets the networks of its
    trainings and the records of its test set; all end in ``gather``, which writes the tables.
    Trainings do not depend on each other.

    What the next run may take is kept in a directory beside that of the workflow.

    Parameters
    ----------
    run : CrossvalRun
        What to do.
    work_dir : Path
        Directory of intermediate results.
    """
    workflow = Workflow(name=f'{run.name}_wf', base_dir=str(work_dir))
    folder = kept_folder(run, work_dir)
    records = _Records(workflow, run, folder)
    trained = {
        training.name: _train_node(workflow, run, folder, records, training)
        for training in run.plan.trainings
    }
    tested = [_test_node(workflow, run, folder, records, trained, test) for test in run.plan.tests]
    gather = Node(
        Gather(
            layout=run.layout,
            plan=run.plan.to_json(),
            settings=json.dumps(dict(run.settings)),
            **run.inputs(*run.learner.options),
        ),
        name='gather',
        mem_gb=0.5,
    )
    for field, nodes, output in (
        ('tests', tested, 'rows'),
        ('trainings', list(trained.values()), 'summary'),
        ('records', list(records.prepared.values()), 'record'),
    ):
        workflow.connect(_joined(workflow, field, nodes, output), 'out', gather, field)
    return workflow


def kept_folder(run: CrossvalRun, work_dir: Path) -> Path:
    """Name the directory of what the next run may take."""
    return work_dir / run.name


class _Records:
    """Nodes that prepare the examples, and that join those of some participants."""

    def __init__(self, workflow: Workflow, run: CrossvalRun, folder: Path) -> None:
        self._workflow, self._run = workflow, run
        self.prepared = {
            example.name: _prepare_node(run, folder, example) for example in run.examples
        }
        self._joined: dict[tuple[str, ...], Node] = {}

    def connect(self, participants: Sequence[str], node: Node, field: str) -> None:
        """Give a node the records of some participants, in their order."""
        key = tuple(participants)
        if not key:
            return
        if key not in self._joined:
            nodes = [
                self.prepared[example.name]
                for participant in key
                for example in self._run.examples
                if example.participant == participant
            ]
            name = f'records{len(self._joined) + 1:02d}'
            self._joined[key] = _joined(self._workflow, name, nodes, 'record')
        self._workflow.connect(self._joined[key], 'out', node, field)


def _joined(workflow: Workflow, name: str, nodes: Sequence[Node], output: str) -> Node:
    """Join single values to a list; not worth a job in a queue."""
    # Without Nipype's cache, which does not notice damaged files.
    merge = Node(Merge(len(nodes)), name=name, run_without_submitting=True, overwrite=True)
    for i, node in enumerate(nodes, start=1):
        workflow.connect(node, output, merge, f'in{i}')
    return merge


def _prepare_node(run: CrossvalRun, folder: Path, example: Example) -> Node:
    return Node(
        Prepare(
            image=run.images[example.name],
            layout=run.layout,
            example=json.dumps(example.as_dict()),
            folder=str(folder / 'prepared'),
            **run.inputs(),
        ),
        name=f'prepare_{re.sub(r"[^0-9a-zA-Z]", "_", example.name)}',
        mem_gb=1.0,
    )


def _train_node(
    workflow: Workflow, run: CrossvalRun, folder: Path, records: _Records, training: Any
) -> Node:
    node = Node(
        Train(
            folder=str(folder / 'trained'),
            training=json.dumps(asdict(training)),
            use_gpu=run.use_gpu,
            **run.inputs(*run.learner.train_options),
        ),
        name=training.name,
        n_procs=1,
        mem_gb=run.mem_gb,
    )
    records.connect(training.train, node, 'records')
    records.connect(training.validate, node, 'validation')
    return node


def _test_node(
    workflow: Workflow,
    run: CrossvalRun,
    folder: Path,
    records: _Records,
    trained: Mapping[str, Node],
    test: Any,
) -> Node:
    node = Node(
        TestNetworks(
            folder=str(folder / 'tested'),
            test=json.dumps(asdict(test)),
            use_gpu=run.use_gpu,
            **run.inputs(*run.learner.train_options, *run.learner.test_options),
        ),
        name=test.name,
        n_procs=1,
        mem_gb=run.mem_gb,
    )
    networks = [trained[name] for name in test.trainings]
    joined = _joined(workflow, f'networks_{test.name}', networks, 'network')
    workflow.connect(joined, 'out', node, 'networks')
    records.connect(test.participants, node, 'records')
    return node
