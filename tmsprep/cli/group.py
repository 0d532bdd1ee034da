"""The group level: methods and raters compared over all participants, without any image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tmsprep.bids import write_dataset_description
from tmsprep.bids.names import Layout
from tmsprep.cli.annotated import conclude, log_issues
from tmsprep.config import GroupConfig
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.group.analysis import GroupRequest, GroupResult, write_group
from tmsprep.group.issues import errors_by_subject, in_common
from tmsprep.methods import methods_of
from tmsprep.protocols import load_protocol
from tmsprep.reports.group import GroupContent, Remark, write_group_report
from tmsprep.reports.sections import Section
from tmsprep.text import counted

logger = logging.getLogger('tmsprep')


def run_level(config: GroupConfig) -> int:
    """Compare the points of all participants; write tables and a report.

    Parameters
    ----------
    config : GroupConfig
        Settings of the run.

    Returns
    -------
    int
        0 if everything was done; 1 if a participant failed, or a file of points has an error,
        though the others were compared.

    Raises
    ------
    BidsError
        If there is nothing to compare.
    ValueError
        If the overrides do not fit.
    """
    request = request_of(config)
    lead = request.methods[0]
    group = lead.collect_group(request)
    log_issues(group.issues)
    _log_points(group.points)
    problems = errors_by_subject(group.issues)
    if config.check_annotations:
        warnings = sum(issue.severity == 'warning' for issue in group.issues)
        done = f'no errors in the files of points, {counted(warnings, "warning")}'
        return conclude(problems, done, 'check of annotations ended')
    if config.dry_run:
        return conclude(problems, 'dry run: nothing was written', 'dry run')
    config.to_toml(config.log_dir / 'config.toml')
    extended = group
    for method in request.methods:
        extended = method.extend_group(extended)
    result = lead.analyse_group(extended)
    log_issues(result.group.issues[len(group.issues) :])
    write_dataset_description(config.out_dir, config.bids_dir, request.protocol)
    for path in write_group(result):
        logger.info('%s', path)
    logger.info('report: %s', _write_report(result, lead.group_sections(result)))
    people = counted(group.n_participants, 'participant')
    done = f'tmsprep finished without errors: {people} with points'
    return conclude(problems, done)


def _write_report(result: GroupResult, sections: Sequence[Section]) -> Path:
    group, request = result.group, result.group.request
    # An analysis with tables of its own need not compare all points with each other.
    points = group.points if 'targets' in result.tables else None
    content = GroupContent(
        participants=group.n_participants,
        points=points,
        errors=None if points is None else errors_against_consensus(points),
        agreement=None if points is None else result.tables.get('agreement'),
        gyri=result.tables.get('gyri'),
        cohort=result.tables.get('cohort'),
        images=group.images,
        template_points=result.template_points,
        template=result.template,
        hidden=result.hidden,
        sections=sections,
        remarks=[Remark(who, why, severity) for severity, who, why in in_common(group.issues)],
        reference=result.settings.get('Raters', ''),
        seed=request.random_seed,
    )
    return write_group_report(request.layout, request.protocol, content)


def request_of(config: GroupConfig) -> GroupRequest:
    """Name what the settings of a run compare, and how."""
    protocol = load_protocol(config.protocol)
    return GroupRequest(
        layout=Layout(config.out_dir, protocol.name),
        protocol=protocol,
        methods=tuple(methods_of(protocol)),
        bids_dir=config.bids_dir,
        annotations=config.annotations,
        participants=config.participant_label,
        threshold_mm=config.consensus_threshold,
        overrides=config.agreement_overrides,
        margin_mm=config.equivalence_margin,
        random_seed=config.random_seed,
    )


def _log_points(points: pd.DataFrame) -> None:
    found = points.dropna(subset=['x'])
    for method, rows in found.groupby('method', sort=False):
        n = rows['participant_id'].nunique()
        people, points = counted(n, 'participant'), counted(len(rows), 'point')
        logger.info('%s: %s, %s', method, people, points)
