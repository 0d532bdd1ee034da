"""The participant level of protocol locus-coeruleus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.participant import Images, Steps, run_steps

if TYPE_CHECKING:
    from nipype import Workflow

    from tmsprep.bids import ImageRef, Survey
    from tmsprep.config import RunConfig


def run_coeruleus_participant(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Localise, segment and measure the locus coeruleus in everybody that was found.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    found : Survey
        Images, and what stands in the way of others.
    log_dir : Path
        Of this run.

    Returns
    -------
    int
        0 if everything was done, 1 if something failed.

    Raises
    ------
    ValueError
        If masks or points of raters are given, which only other levels use.
    WeightsError
        If there are no weights; the message says how to train them.
    """
    from tmsprep.methods.duennwald2021.report import write_coeruleus_report

    if config.annotations is not None:
        raise ValueError(
            f'--annotations means nothing at level participant of protocol {config.protocol}; '
            'give it to train, crossval or group'
        )
    steps = Steps(_workflow, 'coeruleus_figures', write_coeruleus_report, _outputs, _is_ours)
    return run_steps(config, found, log_dir, steps)


def _workflow(config: RunConfig, images: Images) -> Workflow:
    from tmsprep.workflows.coeruleus import gather_coeruleus, init_coeruleus_wf

    resources = gather_coeruleus(config)
    mem_gb = _memory(resources.weights, images)
    return init_coeruleus_wf(config=config, images=images, resources=resources, mem_gb=mem_gb)


def _memory(weights: Path, images: Images) -> float:
    """Estimate the memory of one image, GB; weights of another kind are refused here."""
    from tmsprep.methods.duennwald2021.memory import applying_gb

    everyone = [image.path for several in images.values() for image in several]
    return applying_gb(everyone, weights)


def _outputs(config: RunConfig, image: ImageRef) -> Iterator[Path]:
    from tmsprep.bids import derivative_path

    names = [
        ('coreunet', 'targets'),
        *((method, 'segmentation') for method in config.segmentation),
    ]
    for desc, suffix in names:
        yield derivative_path(config.out_dir, image, desc=desc, suffix=suffix, extension='.tsv')


def _is_ours(node: str) -> bool:
    return node.startswith('coeruleus_') or node == 'input'
