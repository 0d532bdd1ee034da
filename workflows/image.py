"""The workflow of one image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nipype import Node, Workflow

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import EXPERT
from tmsprep.interfaces.conform import Conform
from tmsprep.interfaces.derivatives import WriteDerivatives
from tmsprep.interfaces.figures import PlotFigures
from tmsprep.interfaces.localize import Locate
from tmsprep.methods.base import Method
from tmsprep.options import NamedPath
from tmsprep.own_points import OwnPoints
from tmsprep.protocols import Protocol


@dataclass(frozen=True)
class Computing:
    """How a run computes.

    Parameters
    ----------
    random_seed : int
        Seed of everything random.
    threads : int
        Threads of one step; the points of some methods depend on it.
    cpus : int
        Largest number of CPUs of one step.
    use_gpu : bool
        Whether networks run on the GPU.
    run_id : str
        Name of the run.
    """

    random_seed: int = 1
    threads: int = 1
    cpus: int = 1
    use_gpu: bool = False
    run_id: str = ''


def init_image_wf(
    *,
    image: ImageRef,
    protocol: Protocol,
    layout: Layout,
    methods: Sequence[Method],
    resources: Mapping[str, Mapping[str, Any]],
    mem_gb: Mapping[str, float],
    computing: Computing,
    kept: Path,
    derivatives: Sequence[NamedPath] = (),
    chosen: Sequence[str] = (),
    deface: bool = False,
    own_points: OwnPoints | None = None,
    name: str = 'image_wf',
) -> Workflow:
    """Localise all targets in one image, write derivatives and figures.

    Workflow graph: ``conform`` (on the common grid) and ``isotropic`` (isotropic voxels), as far
    as a method needs them, feed one node per method, named by it; a method that can start from the
    points of another comes after it. All methods end in ``derivatives``, which also finds the
    scalp over the points if the protocol is for a coil, and whose tables ``figures`` draws, with
    the table of the raters if the outputs hold one. A method that fails hands on the reason
    instead of its points, so that the results of the other methods are still written.

    Parameters
    ----------
    image : ImageRef
        The input.
    protocol : Protocol
        The targets.
    layout : Layout
        Names of the outputs.
    methods : sequence of Method
        Methods of the run, in the order of the protocol.
    resources : mapping
        Method to what `Method.resources` returned.
    mem_gb : mapping
        Method to its peak memory.
    computing : Computing
        Seed, threads and device.
    kept : Path
        Directory of the methods' outcomes, which the next run may take.
    derivatives : sequence of NamedPath
        Directories with earlier derivatives of the image.
    chosen : sequence of str
        Labels of the targets that the tables list; empty for all.
    deface : bool
        Whether figures leave out the face.
    own_points : OwnPoints, optional
        Points given in a template, for a table of their own.
    name : str
        Name of the workflow.
    """
    workflow = Workflow(name=name)
    conformed = _conform_nodes(image, protocol, methods)
    nodes = {
        method.name: _method_node(
            method,
            protocol,
            {
                **resources[method.name],
                **method.image_resources(image, layout, derivatives),
            },
            [other.name for other in methods if other.name in method.after],
            mem_gb[method.name],
            computing,
            kept / method.name,
        )
        for method in methods
    }
    where = {'image': image, 'layout': layout, 'protocol': protocol}
    written = Node(
        WriteDerivatives(
            methods=list(nodes),
            **where,
            random_seed=computing.random_seed,
            run_id=computing.run_id,
            chosen=list(chosen),
            **({'own_points': own_points} if own_points else {}),
        ),
        name='derivatives',
        # Transforms of the finest preset are read here.
        mem_gb=1.0,
    )
    figures = Node(PlotFigures(**where, deface=deface), name='figures', mem_gb=1.0)
    expert = layout.table(image, EXPERT)
    if expert.is_file():
        figures.inputs.expert = str(expert)
    for method in methods:
        node, source = nodes[method.name], conformed[method.isotropic]
        workflow.connect(source, 'conformed', node, 'conformed')
        workflow.connect(source, 'properties', node, 'properties')
        workflow.connect(node, 'outcome', written, f'outcome_{method.name}')
        for other in set(method.after) & set(nodes):
            workflow.connect(nodes[other], 'outcome', node, f'outcome_{other}')
    for field, source in zip(('properties', 'properties_again'), conformed.values(), strict=False):
        workflow.connect(source, 'properties', written, field)
    workflow.connect(next(iter(conformed.values())), 'conformed', written, 'conformed')
    for isotropic, source in conformed.items():
        field = 'isotropic' if isotropic else 'conformed'
        workflow.connect(source, 'conformed', figures, field)
    workflow.connect(
        [(written, figures, [(name, name) for name in ('tables', 'outcomes', 'points')])]
    )
    return workflow


def _conform_nodes(
    image: ImageRef, protocol: Protocol, methods: Sequence[Method]
) -> dict[bool, Node]:
    """Make a node for each grid that a method needs: whether it is isotropic to the node."""
    nodes = {}
    for isotropic in sorted({method.isotropic for method in methods}):
        grid = {'voxel_mm': protocol.voxel_mm} if isotropic else {}
        interface = Conform(in_file=str(image.path), **grid)
        name = 'isotropic' if isotropic else 'conform'
        nodes[isotropic] = Node(interface, name=name, mem_gb=1.0)
    return nodes


def _method_node(
    method: Method,
    protocol: Protocol,
    resources: Mapping[str, Any],
    after: Sequence[str],
    mem_gb: float,
    computing: Computing,
    folder: Path,
) -> Node:
    interface = Locate(
        methods=after,
        method=method.name,
        folder=str(folder),
        protocol=protocol,
        resources=dict(resources),
        random_seed=computing.random_seed,
        threads=computing.threads,
        version=method.version,
        use_gpu=computing.use_gpu and method.uses_gpu,
    )
    cpus = min(method.cpus(computing.threads), computing.cpus)
    return Node(interface, name=method.name, n_procs=cpus, mem_gb=mem_gb)


def workflow_name(image: ImageRef) -> str:
    """Name of an image's workflow: its entities, in letters that Nipype takes."""
    return re.sub(r'\W', '_', image.stem) + f'_{image.suffix}_wf'
