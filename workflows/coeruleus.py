"""The workflow of locus-coeruleus for one image, and for all images of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from nipype import Node, Workflow

from tmsprep import __version__
from tmsprep.bids import T1wImage
from tmsprep.config import RunConfig
from tmsprep.files import file_sha256
from tmsprep.interfaces.coeruleus import LocateCoeruleus, SegmentCoeruleus
from tmsprep.interfaces.coeruleus_outputs import PlotCoeruleus, WriteCoeruleus
from tmsprep.interfaces.conform import Conform
from tmsprep.networks.archive import WeightsError
from tmsprep.protocols import load_protocol
from tmsprep.workflows.base import workflow_name
from tmsprep.workflows.t1w import fingerprint


@dataclass(frozen=True)
class CoeruleusResources:
    """What all images of a run share.

    Parameters
    ----------
    weights : Path
        See `tmsprep.methods.duennwald2021.weights`.
    weights_sha256 : str
        Their checksum.
    """

    weights: Path
    weights_sha256: str


def gather_coeruleus(config: RunConfig) -> CoeruleusResources:
    """Find the weights, before anything is computed.

    Raises
    ------
    WeightsError
        If there are none; the message says how to train them.
    """
    name = load_protocol(config.protocol).name
    shipped = Path(str(files('tmsprep.data'))) / f'localizer_{name.replace("-", "_")}.safetensors'
    weights = config.weights or shipped
    if not weights.is_file():
        raise WeightsError(
            f'weights file not found: {weights}. Train the networks on your images and masks: '
            f'tmsprep BIDS WEIGHTS train --protocol {config.protocol} --annotations MASKS; then '
            f'give --weights WEIGHTS/localizer_{name}.safetensors'
        )
    return CoeruleusResources(weights, file_sha256(weights))


def init_coeruleus_wf(
    *,
    config: RunConfig,
    images: Mapping[str, Sequence[T1wImage]],
    resources: CoeruleusResources,
    mem_gb: float = 2.0,
    name: str = 'coeruleus_wf',
) -> Workflow:
    """Join the workflows of all images; they do not depend on each other.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    images : Mapping
        Participant label to images.
    resources : CoeruleusResources
        Weights.
    mem_gb : float
        Of localising or segmenting in one image.
    name : str
        Of the workflow and of its folder inside the working folder.
    """
    workflow = Workflow(name=name, base_dir=str(config.work_dir))
    for image in (image for several in images.values() for image in several):
        one = init_coeruleus_image_wf(
            image=image,
            config=config,
            resources=resources,
            mem_gb=mem_gb,
            name=workflow_name(image),
        )
        workflow.add_nodes([one])
    return workflow


def init_coeruleus_image_wf(
    *,
    image: T1wImage,
    config: RunConfig,
    resources: CoeruleusResources,
    mem_gb: float = 2.0,
    name: str = 'coeruleus_image_wf',
) -> Workflow:
    """Localise, segment and measure the locus coeruleus in one image.

    Workflow graph: ``coeruleus_conform`` -> ``coeruleus_locate`` -> ``coeruleus_segment`` ->
    ``coeruleus_derivatives`` -> ``coeruleus_figures``. A step that fails hands on the reason, so
    that points are written when the segmentation fails.

    Parameters
    ----------
    image : T1wImage
        The input.
    config, resources, mem_gb : RunConfig, CoeruleusResources, float
        As for `init_coeruleus_wf`.
    name : str
        Of the workflow.
    """
    workflow = Workflow(name=name)
    where = {
        'bids_dir': str(config.bids_dir),
        'in_file': str(image.path),
        'out_dir': str(config.out_dir),
    }
    networks = {
        'weights': str(resources.weights),
        'weights_sha256': resources.weights_sha256,
        'protocol': config.protocol,
        'version': __version__,
        'use_gpu': config.device == 'cuda',
    }
    conform = Node(
        Conform(
            in_file=str(image.path),
            voxel_mm=load_protocol(config.protocol).voxel_mm,
            fingerprint=fingerprint(image.path),
            version=__version__,
        ),
        name='coeruleus_conform',
        mem_gb=1.0,
    )
    locate = Node(LocateCoeruleus(**networks), name='coeruleus_locate', mem_gb=mem_gb)
    segment = Node(
        SegmentCoeruleus(**networks, methods=list(config.segmentation)),
        name='coeruleus_segment',
        mem_gb=mem_gb,
    )
    derivatives = Node(
        WriteCoeruleus(
            **where,
            protocol=config.protocol,
            random_seed=config.random_seed,
            run_id=config.run_id,
        ),
        name='coeruleus_derivatives',
        mem_gb=0.5,
    )
    figures = Node(PlotCoeruleus(**where), name='coeruleus_figures', mem_gb=1.0)
    workflow.connect(
        [
            (conform, locate, [('conformed', 'conformed')]),
            (conform, segment, [('conformed', 'conformed'), ('properties', 'properties')]),
            (conform, derivatives, [('properties', 'properties')]),
            (conform, figures, [('conformed', 'conformed')]),
            (locate, segment, [('outcome', 'outcome')]),
            (locate, derivatives, [('outcome', 'outcome'), ('heatmaps', 'heatmaps')]),
            (locate, figures, [('heatmaps', 'heatmaps')]),
            (segment, derivatives, [('segmentations', 'segmentations'), ('labels', 'labels')]),
            (segment, figures, [('labels', 'labels')]),
            (derivatives, figures, [('targets', 'targets')]),
        ]
    )
    return workflow
