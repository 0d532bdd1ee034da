"""The workflow of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nipype import Workflow

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.base import Method
from tmsprep.options import NamedPath
from tmsprep.own_points import OwnPoints
from tmsprep.protocols import Protocol
from tmsprep.workflows.image import Computing, init_image_wf, workflow_name


def init_participant_wf(
    *,
    images: Sequence[ImageRef],
    protocol: Protocol,
    layout: Layout,
    methods: Sequence[Method],
    resources: Mapping[str, Mapping[str, Any]],
    mem_gb: Mapping[str, float],
    computing: Computing,
    work_dir: Path,
    derivatives: Sequence[NamedPath] = (),
    chosen: Sequence[str] = (),
    deface: bool = False,
    own_points: OwnPoints | None = None,
) -> Workflow:
    """Join the workflows of all images, which do not depend on each other.

    Its name, and so its directory, is that of the protocol, since protocols can share a working
    directory.

    Parameters
    ----------
    images : sequence of ImageRef
        The inputs.
    work_dir : Path
        Directory of intermediate results.
    protocol, layout, methods, resources, mem_gb, computing, derivatives, own_points, chosen
    deface
        As for `init_image_wf`.
    """
    workflow = Workflow(name=f'{layout.label}_wf', base_dir=str(work_dir))
    # Nipype would delete the files of an outcome, which are not outputs of their node.
    workflow.config['execution']['remove_unnecessary_outputs'] = 'false'
    for image in images:
        one = init_image_wf(
            image=image,
            protocol=protocol,
            layout=layout,
            methods=methods,
            resources=resources,
            mem_gb=mem_gb,
            computing=computing,
            kept=kept_folder(layout, work_dir, image),
            derivatives=derivatives,
            chosen=chosen,
            deface=deface,
            own_points=own_points,
            name=workflow_name(image),
        )
        workflow.add_nodes([one])
    return workflow


def kept_folder(layout: Layout, work_dir: Path, image: ImageRef) -> Path:
    """Name the directory of the outcomes of an image that the next run may take."""
    return work_dir / f'{layout.label}_outcomes' / workflow_name(image).removesuffix('_wf')
