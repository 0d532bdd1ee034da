"""Draw the workflows for the documentation: ``python benchmarks/workflow_graphs.py``.

Needs Graphviz (``dot``). Writes ``docs/figures/workflow_<name>.svg``; a test compares the nodes
and edges in them with those of the workflows.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from nipype import Workflow

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.learning.examples import Example
from tmsprep.methods import methods_of
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.workflows.crossval import CrossvalRun, init_crossval_wf
from tmsprep.workflows.image import Computing, init_image_wf

FIGURES = Path(__file__).resolve().parents[1] / 'docs' / 'figures'

#: Name of each figure to the protocol that it is drawn for.
PROTOCOLS = {'image_tms': 'tms', 'image_locuscoeruleus': 'locus-coeruleus'}


def image_workflow(name: str) -> Workflow:
    """Workflow of one image; nothing of it is run."""
    protocol = load_protocol(name)
    methods = methods_of(protocol)
    image = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))
    nothing: dict[str, dict[str, Any]] = {method.name: {} for method in methods}
    return init_image_wf(
        image=image,
        protocol=protocol,
        layout=Layout(Path('/out'), protocol.name),
        methods=methods,
        resources=nothing,
        mem_gb=dict.fromkeys(nothing, 1.0),
        computing=Computing(),
        kept=Path('/scratch/kept'),
    )


def crossval_workflow() -> Workflow:
    """Workflow of a cross-validation of three participants; nothing of it is run."""
    protocol = load_protocol('tms')
    names = [f'sub-0{i}' for i in (1, 2, 3)]
    paths = {name: Path(f'/bids/{name}/anat/{name}_T1w.nii.gz') for name in names}
    points = PointSet.from_mapping({}, protocol.labels)
    examples = [Example(name, path, points) for name, path in paths.items()]
    options = {'recipe': 'quick', 'residual': ('shared',), 'folds': None, 'repetitions': 1}
    learner = methods_of(protocol)[0].learner(protocol, {**options, 'random_seed': 1})
    assert learner is not None
    run = CrossvalRun(
        method='cnn',
        learner=learner,
        plan=learner.plan(names, examples),
        examples=examples,
        images={n: ImageRef.from_path(Path('/bids'), path) for n, path in paths.items()},
        layout=Layout(Path('/out'), protocol.name),
        settings={},
        mem_gb=1.0,
        use_gpu=False,
    )
    return init_crossval_wf(run=run, work_dir=Path('/work'))


def workflows() -> dict[str, Workflow]:
    """Name of each figure to its workflow."""
    found = {name: image_workflow(protocol) for name, protocol in PROTOCOLS.items()}
    return {**found, 'crossval': crossval_workflow()}


def edges_of(workflow: Workflow) -> set[tuple[str, str]]:
    """Names of the nodes at both ends of every edge."""
    return {(first.name, second.name) for first, second in workflow._graph.edges}


def as_dot(workflow: Workflow) -> str:
    """Describe a workflow for Graphviz."""
    lines = [f'  "{first}" -> "{second}";' for first, second in sorted(edges_of(workflow))]
    style = '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11];'
    return '\n'.join(['digraph {', '  rankdir=LR;', style, *lines, '}', ''])


def main() -> None:
    """Draw all figures."""
    for name, workflow in workflows().items():
        drawn = subprocess.run(
            ['dot', '-Tsvg'], input=as_dot(workflow), capture_output=True, text=True, check=True
        )
        # Without the comment that names the version of Graphviz.
        text = drawn.stdout[drawn.stdout.index('<svg') :]
        (FIGURES / f'workflow_{name}.svg').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
