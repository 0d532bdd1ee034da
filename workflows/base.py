"""The workflow of one run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nipype import Workflow

from tmsprep.bids import ImageRef
from tmsprep.config import RunConfig
from tmsprep.workflows.resources import RunResources
from tmsprep.workflows.t1w import init_t1w_wf


def init_tmsprep_wf(
    *,
    config: RunConfig,
    images: Mapping[str, Sequence[ImageRef]],
    resources: RunResources,
    name: str = 'tmsprep_wf',
) -> Workflow:
    """Join the workflows of all T1w images; they do not depend on each other.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    images : Mapping
        Participant label to T1w images.
    resources : RunResources
        Files that all share.
    name : str
        Of the workflow and of its folder inside the working folder.
    """
    workflow = Workflow(name=name, base_dir=str(config.work_dir))
    for image in (image for several in images.values() for image in several):
        workflow.add_nodes(
            [
                init_t1w_wf(
                    image=image, config=config, resources=resources, name=workflow_name(image)
                )
            ]
        )
    return workflow


def workflow_name(image: ImageRef) -> str:
    """Name of an image's workflow: its entities, in letters that Nipype takes."""
    return re.sub(r'\W', '_', image.stem) + f'_{image.suffix}_wf'
