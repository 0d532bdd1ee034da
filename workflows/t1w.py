"""The workflow of one T1w image."""

from __future__ import annotations

from pathlib import Path

from nipype import Node, Workflow

from tmsprep import __version__
from tmsprep.bids import ImageRef, derivative_path
from tmsprep.config import RunConfig
from tmsprep.interfaces.conform import Conform
from tmsprep.interfaces.derivatives import WriteDerivatives
from tmsprep.interfaces.figures import PlotFigures
from tmsprep.interfaces.localize import LocalizeCNN
from tmsprep.workflows.registration import init_registration_wf
from tmsprep.workflows.resources import RunResources


def init_t1w_wf(
    *,
    image: ImageRef,
    config: RunConfig,
    resources: RunResources,
    name: str = 't1w_wf',
) -> Workflow:
    """Localise all targets in one T1w, write derivatives and figures.

    Workflow graph: ``conform`` feeds ``cnn`` and ``registration_wf``; both end in
    ``derivatives``, whose tables ``figures`` draws, with the experts' table if the outputs hold
    one. A method that fails hands on the reason
    instead of its points, so that the other method's results are still written.

    Parameters
    ----------
    image : ImageRef
        The input.
    config : RunConfig
        Settings of the run.
    resources : RunResources
        Weights, atlas and reusable derivatives.
    name : str
        Of the workflow.
    """
    workflow = Workflow(name=name)
    where = {
        'bids_dir': str(config.bids_dir),
        'in_file': str(image.path),
        'out_dir': str(config.out_dir),
        'protocol': config.protocol,
    }
    conform = Node(
        Conform(in_file=str(image.path), fingerprint=fingerprint(image.path), version=__version__),
        name='conform',
        mem_gb=0.8,
    )
    derivatives = Node(
        WriteDerivatives(**where, random_seed=config.random_seed, run_id=config.run_id),
        name='derivatives',
        mem_gb=0.3,
    )
    figures = Node(PlotFigures(**where), name='figures', mem_gb=0.6)
    expert = derivative_path(
        config.out_dir, image, desc='expert', suffix='targets', extension='.tsv'
    )
    if expert.is_file():
        figures.inputs.expert = str(expert)
    workflow.connect(
        [
            (conform, derivatives, [('properties', 'properties')]),
            (conform, figures, [('conformed', 'conformed')]),
            (derivatives, figures, [('tables', 'tables')]),
        ]
    )
    if 'cnn' in config.localizers:
        cnn = Node(
            LocalizeCNN(
                weights=str(resources.weights),
                weights_sha256=resources.weights_sha256,
                labels=list(resources.labels),
                version=__version__,
                use_gpu=config.device == 'cuda',
            ),
            name='cnn',
            mem_gb=1.0,
        )
        workflow.connect(
            [
                (conform, cnn, [('conformed', 'conformed'), ('properties', 'properties')]),
                (cnn, derivatives, [('outcome', 'cnn')]),
            ]
        )
    if 'syn' in config.localizers:
        registration_wf = init_registration_wf(image=image, config=config, resources=resources)
        workflow.connect(
            [
                (conform, registration_wf, [('conformed', 'inputnode.conformed')]),
                (
                    registration_wf,
                    derivatives,
                    [
                        ('outputnode.outcome', 'syn'),
                        ('outputnode.mask', 'mask'),
                        ('outputnode.transforms', 'transforms'),
                    ],
                ),
                (
                    registration_wf,
                    figures,
                    [
                        ('outputnode.mask', 'mask'),
                        ('outputnode.before', 'before'),
                        ('outputnode.after', 'after'),
                    ],
                ),
            ]
        )
        if 'cnn' in config.localizers:
            workflow.connect(cnn, 'outcome', registration_wf, 'inputnode.approximate')
    return workflow


def fingerprint(path: Path) -> str:
    """Size and modification time of an image; a changed file must not be answered from a cache."""
    try:
        status = path.stat()
    except OSError:
        return 'unreadable'
    return f'{status.st_size}-{status.st_mtime_ns}'
