"""The participant level: localise in every image, and report."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tmsprep.bids import FoundImages, find_images
from tmsprep.bids.earlier import label_folders
from tmsprep.bids.names import BidsError, ImageRef, Layout
from tmsprep.cli.annotated import conclude
from tmsprep.cli.experts import read_experts, warn_of_far_experts, write_expert_tables
from tmsprep.cli.export import write_files
from tmsprep.cli.points import own_points, tell_of_earlier_points
from tmsprep.cli.warned import Warned
from tmsprep.config import ParticipantConfig
from tmsprep.derivatives.earlier import REVIEWED
from tmsprep.done import Work
from tmsprep.failures import (
    forget_records,
    forget_useless_records,
    read_records,
    record_problems,
)
from tmsprep.group.experts import Experts
from tmsprep.group.issues import errors_by_subject
from tmsprep.methods import methods_of
from tmsprep.methods.base import Method
from tmsprep.methods.resources import gather_resources
from tmsprep.own_points import OwnPoints
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.review import doubtful_statuses, match_reviews, take_reviews
from tmsprep.running import EXIT_FAILED, EXIT_OK, EXIT_WARNED
from tmsprep.running.execution import execute, prepare_run
from tmsprep.running.locks import TAKEN, claim_participants
from tmsprep.running.progress import Progress
from tmsprep.text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from nipype import Node, Workflow

logger = logging.getLogger('tmsprep')

Images = Mapping[str, Sequence[ImageRef]]


@dataclass(frozen=True)
class ParticipantRun:
    """One run of the participant level.

    Parameters
    ----------
    config : ParticipantConfig
        Settings.
    protocol : Protocol
        The targets.
    layout : Layout
        Names of the outputs.
    methods : list of Method
        Methods to run, in the order of the protocol.
    """

    config: ParticipantConfig
    protocol: Protocol
    layout: Layout
    methods: list[Method]

    @classmethod
    def of(cls, config: ParticipantConfig) -> ParticipantRun:
        """Read the protocol of the settings."""
        protocol = load_protocol(config.protocol)
        layout = Layout(config.out_dir, protocol.name)
        return cls(config, protocol, layout, methods_of(protocol, config.localizers))

    def resources(self) -> dict[str, dict[str, Any]]:
        """Find weights, atlas and other files of all methods; see `gather_resources`."""
        return gather_resources(self.methods, self.protocol, self.config.options)

    def work(
        self,
        resources: Mapping[str, Mapping[str, Any]] | None = None,
        own: OwnPoints | None = None,
    ) -> Work:
        """Describe what is to be done; without resources, tables may be made in any way."""
        return Work(
            self.layout,
            self.protocol,
            self.methods,
            self.config.options,
            resources,
            self.config.derivatives,
            self.config.targets,
            own,
        )

    def problems(self, subject: str, images: Sequence[ImageRef]) -> Iterator[str]:
        """Say what failed for a participant, or else what is missing."""
        records = read_records(self.layout, subject)
        yield from (f'{record.node}: {record.message}' for record in records)
        if not records:
            # How the tables were made is not asked: this run has just made them, perhaps of files
            # among the outputs that it then replaced.
            work = self.work()
            for image in images:
                yield from work.left(image)
                yield from work.without_points(image)


def run_level(config: ParticipantConfig) -> int:
    """Localise the targets of a protocol in all images of a run.

    Parameters
    ----------
    config : ParticipantConfig
        Settings of the run.

    Returns
    -------
    int
        0 if everything was done, 1 if something failed, 3 if a point carries a warning and the
        settings ask for this code.

    Raises
    ------
    BidsError
        If participants or files of points cannot be used.
    ResourceError
        If weights or an atlas are missing or made for other targets; nothing has been run then.
    RuntimeError
        If Nipype stopped for a reason that concerns no single image.
    """
    run = ParticipantRun.of(config)
    found = find_images(config.image_query)
    reviews = match_reviews(config.review, run.layout, found.images)
    if config.reports_only and not config.dry_run:
        _refuse_defacing(config)
        return _conclude(run, found, unreported=_write_reports(run, found.images, reviews))
    resources = run.resources()
    own = own_points(config, run.protocol, run.methods, resources)
    if config.derivatives and not any(method.takes_derivatives for method in run.methods):
        names = ' and '.join(method.name for method in run.methods)
        logger.warning('--derivatives: not used, as %s needs nothing of it', names)
    experts = read_experts(config, run.protocol, run.layout, found.images)
    if config.dry_run:
        return _describe(found, experts)
    config.to_toml(config.log_dir / 'config.toml')
    with claim_participants(run.layout, config.work_dir, found.images) as claimed:
        _record_problems(run, found, claimed)
        try:
            _execute(run, claimed, resources, experts, own)
        finally:
            unreported = _write_reports(run, claimed, reviews)
        others = set(found.images) - set(claimed)
        return _conclude(run, found, experts, others, unreported)


def _record_problems(run: ParticipantRun, found: FoundImages, subjects: Iterable[str]) -> None:
    for subject in subjects:
        forget_useless_records(run.layout, subject, run.config.bids_dir)
        problems = found.problems.get(subject, [])
        record_problems(run.layout, subject, problems)
        for problem in problems:
            logger.error('sub-%s: %s', subject, problem)


def _execute(
    run: ParticipantRun,
    images: Images,
    resources: Mapping[str, Mapping[str, Any]],
    experts: Experts | None,
    own: OwnPoints | None,
) -> None:
    """Build and run the workflow."""
    every = [image for several in images.values() for image in several]
    links = label_folders(run.config.derivatives)
    prepare_run(run.config.execution, run.layout, run.protocol, run.config.bids_dir, links)
    for image in every:
        forget_records(run.layout, image)
    # Before the workflow is built, which takes up the tables that are there.
    config = run.config
    write_expert_tables(
        run.protocol, run.layout, every, experts, config.consensus_threshold, config.targets
    )
    if not every:
        return
    # Nipype reads its settings, which are prepared above, when it is first imported.
    from tmsprep.workflows.image import workflow_name

    def finished(node: Node) -> str:
        last = node.name == 'figures'
        return node.fullname.split('.')[1].removesuffix('_wf') if last else ''

    workflow = _workflow(run, every, resources, own)
    if not run.config.deface_report:
        logger.info('reports show faces; --deface-report leaves them out')
    logger.info('%s of %s', counted(len(every), 'image'), counted(len(images), 'participant'))
    progress = Progress(len(workflow._get_all_nodes()), len(every), finished)
    names = {workflow_name(image): image for image in every}
    execute(workflow, run.config.execution, run.layout, progress, names)
    warn_of_far_experts(run.layout, every, [method.name for method in run.methods], experts)


def _workflow(
    run: ParticipantRun,
    images: Sequence[ImageRef],
    resources: Mapping[str, Mapping[str, Any]],
    own: OwnPoints | None,
) -> Workflow:
    from tmsprep.workflows.base import init_participant_wf
    from tmsprep.workflows.image import Computing

    config, paths = run.config, [image.path for image in images]
    return init_participant_wf(
        images=images,
        protocol=run.protocol,
        layout=run.layout,
        methods=run.methods,
        resources=resources,
        mem_gb={m.name: m.memory_gb(resources[m.name], paths) for m in run.methods},
        computing=Computing(
            random_seed=config.random_seed,
            threads=config.omp_nthreads,
            # Each job of a batch system has CPUs of its own.
            cpus=config.nprocs if config.use_plugin is None else config.omp_nthreads,
            use_gpu=config.device == 'cuda',
            run_id=config.run_id,
        ),
        work_dir=config.work_dir,
        derivatives=config.derivatives,
        chosen=config.targets,
        deface=config.deface_report,
        own_points=own,
    )


def _refuse_defacing(config: ParticipantConfig) -> None:
    """Refuse to promise pictures without faces where no picture is made."""
    if config.deface_report:
        raise BidsError(
            '--deface-report: --reports-only shows the pictures of an earlier run as they are. '
            'Leave out --reports-only'
        )


def _write_reports(
    run: ParticipantRun, images: Images, reviews: Mapping[str, Path]
) -> dict[str, str]:
    """Take up reviews, write files for navigators, and reports; return who lacks one, and why."""
    if not (run.config.point or run.config.points):
        every = (image for several in images.values() for image in several)
        tell_of_earlier_points(run.layout, every)
    failed: dict[str, str] = {}
    for subject, several in images.items():
        problems = [
            *take_reviews(run.layout, run.protocol, several, reviews),
            *write_files(run.layout, run.protocol, subject, run.config.bids_dir),
        ]
        if problems:
            failed[subject] = '; '.join(problems)
    return failed


def _conclude(
    run: ParticipantRun,
    found: FoundImages,
    experts: Experts | None = None,
    others: Collection[str] = (),
    unreported: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Log which participants failed and why, or belong to another run; give the exit code."""
    images = found.images
    warned = _warned(run, images)
    if warned.named:
        logger.warning('%s', warned.in_words)
    failed = {**dict.fromkeys(sorted(others), TAKEN), **found.refused}
    for subject, several in images.items():
        if subject in others:
            continue
        problems = list(run.problems(subject, several))
        if subject in unreported:
            problems.append(unreported[subject])
        if problems:
            failed[subject] = '; '.join(problems)
    for subject, messages in failed.items():
        logger.error('sub-%s failed: %s', subject, messages)
    if failed:
        logger.error(
            'tmsprep finished with errors: %d of %d participants failed%s',
            len(failed),
            len(images) + len(found.refused),
            warned.named_above,
        )
        return EXIT_FAILED
    people = counted(len(images), 'participant')
    done = f'tmsprep finished without errors: {people}{warned.named_above}'
    code = _conclude_experts(experts, done, 'tmsprep finished')
    return EXIT_WARNED if code == EXIT_OK and warned.named and run.config.fail_on_warning else code


def _warned(run: ParticipantRun, images: Images) -> Warned:
    work = run.work()
    every = (image for several in images.values() for image in several)
    return Warned.of(
        {
            image.stem: {
                **work.statuses(image),
                REVIEWED: doubtful_statuses(run.layout, image),
            }
            for image in every
        }
    )


def _conclude_experts(experts: Experts | None, done: str, what: str) -> int:
    """Give the exit code for the files of points, which were read before all else."""
    return conclude(errors_by_subject(experts.issues if experts else ()), done, what)


def _describe(found: FoundImages, experts: Experts | None) -> int:
    """Log what would be done."""
    for subject, several in found.images.items():
        for image in several:
            logger.info('sub-%s: would run on %s', subject, image.relative_path)
        for problem in found.problems.get(subject, ()):
            logger.error('sub-%s: %s', subject, problem)
    for subject, message in found.refused.items():
        logger.error('sub-%s: %s', subject, message)
    cannot = len(found.problems) + len(found.refused)
    if cannot:
        total = len(found.images) + len(found.refused)
        logger.error('dry run: %d of %d participants cannot run', cannot, total)
        return EXIT_FAILED
    return _conclude_experts(experts, 'dry run: nothing was written', 'dry run')
