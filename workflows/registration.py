"""The registration branch: brain extraction, then the annotated atlas by SyN."""

from __future__ import annotations

from nipype import IdentityInterface, Node, Workflow

from tmsprep import __version__
from tmsprep.bids import ImageRef
from tmsprep.config import RunConfig
from tmsprep.interfaces.brain import ExtractBrain
from tmsprep.interfaces.register import RegisterAtlas
from tmsprep.workflows.resources import RunResources

FIELDS_IN = ['conformed', 'approximate']
FIELDS_OUT = ['outcome', 'mask', 'transforms', 'before', 'after']


def init_registration_wf(
    *,
    image: ImageRef,
    config: RunConfig,
    resources: RunResources,
    name: str = 'registration_wf',
) -> Workflow:
    """Find the brain and register the atlas to it.

    Parameters
    ----------
    image : ImageRef
        The input; a mask or a transform made for it earlier is used again.
    config : RunConfig
        Settings of the run.
    resources : RunResources
        Brain extraction weights and the atlas.
    name : str
        Of the workflow.

    Inputs
    ------
    conformed
        Conformed T1w.
    approximate
        Outcome of the CNN, optional: where the registration starts.

    Outputs
    -------
    outcome, mask, transforms, before, after
        Points, brain mask, transforms by name, and the atlas on the T1w's grid after the linear
        part and after SyN.
    """
    workflow = Workflow(name=name)
    inputnode = Node(IdentityInterface(fields=FIELDS_IN), name='inputnode')
    outputnode = Node(IdentityInterface(fields=FIELDS_OUT), name='outputnode')
    brain = Node(
        ExtractBrain(weights=str(resources.brain_weights), version=__version__),
        name='brain',
        mem_gb=1.5,
    )
    mask = resources.given_mask(image)
    if mask is not None:
        brain.inputs.given_mask = str(mask)
    register = Node(
        RegisterAtlas(
            protocol=config.protocol,
            brain_weights=str(resources.brain_weights),
            preset='sloppy' if config.sloppy else config.syn_preset,
            random_seed=config.random_seed,
            itk_threads=config.omp_nthreads,
            version=__version__,
        ),
        name='syn',
        n_procs=min(config.omp_nthreads, config.nprocs),
        mem_gb=3.0,
    )
    if config.atlas is not None:
        register.inputs.atlas = str(config.atlas)
        register.inputs.atlas_targets = str(config.atlas_targets)
    given = resources.given_transforms(image)
    if given:
        register.inputs.given_transforms = given
    workflow.connect(
        [
            (inputnode, brain, [('conformed', 'conformed')]),
            (inputnode, register, [('conformed', 'conformed'), ('approximate', 'approximate')]),
            (brain, register, [('mask', 'mask'), ('error', 'brain_error')]),
            (brain, outputnode, [('mask', 'mask')]),
            (
                register,
                outputnode,
                [
                    ('outcome', 'outcome'),
                    ('transforms', 'transforms'),
                    ('before', 'before'),
                    ('after', 'after'),
                ],
            ),
        ]
    )
    return workflow
