"""The group level: methods and raters compared over everybody, without any image."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.cli.annotated import conclude

if TYPE_CHECKING:
    import pandas as pd

    from tmsprep.config import RunConfig
    from tmsprep.group.collect import Group
    from tmsprep.group.issues import Issue
    from tmsprep.group.template import InTemplate

logger = logging.getLogger('tmsprep')

_LEVELS = {'error': logging.ERROR, 'warning': logging.WARNING, 'note': logging.INFO}


def run_group(config: RunConfig, log_dir: Path) -> int:
    """Compare everybody's points, and write tables and a report.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    log_dir : Path
        Of this run.

    Returns
    -------
    int
        0 if everything was done; 1 if somebody failed, or a file of points has an error, though
        the others were compared.

    Raises
    ------
    BidsError
        If there is nothing to compare.
    ValueError
        If the overrides do not fit.
    """
    from tmsprep.group.collect import collect_group

    group = collect_group(config)
    log_issues(group.issues)
    _log_content(group)
    if config.check_annotations:
        warnings = sum(issue.severity == 'warning' for issue in group.issues)
        done = f'no errors in the files of points, {warnings} warnings'
        return _conclude(group, done, 'check of annotations ended')
    if config.dry_run:
        return _conclude(group, 'dry run: nothing was written', 'dry run')
    config.to_toml(log_dir / 'config.toml')
    _write(config, group)
    done = f'tmsprep finished without errors: {group.n_people} participants with points'
    return _conclude(group, done, 'tmsprep finished')


def log_issues(issues: Sequence[Issue]) -> None:
    """Log what there is to say about people and files, once for all whom it is about."""
    from tmsprep.group.issues import in_common

    for severity, who, message in in_common(issues):
        logger.log(_LEVELS[severity], '%s: %s', who, message)


def _log_content(group: Group) -> None:
    found = group.points.dropna(subset=['x'])
    for method, rows in found.groupby('method', sort=False):
        logger.info(
            '%s: %d people, %d points', method, rows['participant_id'].nunique(), len(rows)
        )


def _write(config: RunConfig, group: Group) -> None:
    from tmsprep.bids import write_dataset_description
    from tmsprep.group.outputs import write_outputs
    from tmsprep.group.statistics import group_tables
    from tmsprep.group.template import template_points

    in_template = template_points(group.points, group.images, config.out_dir)
    log_issues(in_template.issues)
    group = group._replace(issues=[*group.issues, *in_template.issues])
    write_dataset_description(config.out_dir, config.bids_dir)
    tables = group_tables(
        group, config.consensus_threshold, config.equivalence_margin, config.random_seed
    )
    for path in write_outputs(config.out_dir, group, tables, _settings(config, group)):
        logger.info('%s', path)
    logger.info('report: %s', _write_report(config, group, tables, in_template))


def _settings(config: RunConfig, group: Group) -> dict[str, Any]:
    """Say in the sidecars how the tables were made."""
    settings = {
        'Protocol': group.protocol.name,
        'People': group.n_people,
        'ConsensusThreshold': config.consensus_threshold,
        'EquivalenceMargin': config.equivalence_margin,
        'RandomSeed': config.random_seed,
    }
    if config.annotations is not None:
        settings['Raters'] = describe_raters(config.annotations, group)
    if config.agreement_overrides is not None:
        settings['AgreementOverrides'] = config.agreement_overrides.name
    return settings


def describe_raters(folder: Path, group: Group) -> str:
    """Say in a sentence who the raters are, as the description of their folder does.

    Parameters
    ----------
    folder : Path
        Of the files of points. The nearest ``dataset_description.json`` above them counts: its
        ``Name`` and the ``Description`` of ``GeneratedBy``.
    group : Group
        Everybody's points.
    """
    names = sorted({points.file.rater for points in group.raters})
    homes = (parent / 'dataset_description.json' for parent in (folder, *folder.parents))
    path = next((path for path in homes if path.is_file()), None)
    described = {} if path is None else _description(path)
    programs = described.get('GeneratedBy') or []
    words = [p['Description'] for p in programs if isinstance(p, dict) and p.get('Description')]
    source = '; '.join([str(described.get('Name') or folder.name), *map(str, words)])
    return f'{len(names)} raters ({", ".join(names)}) of: {source}.'


def _description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_report(
    config: RunConfig, group: Group, tables: dict[str, pd.DataFrame], in_template: InTemplate
) -> Path:
    from tmsprep.group.issues import in_common
    from tmsprep.reports.group import write_group_report
    from tmsprep.reports.group_content import GroupContent, LeftOut

    content = GroupContent(
        protocol=group.protocol,
        points=group.points,
        errors=tables['errors'],
        tables={name: table for name, table in tables.items() if name.startswith('table')},
        left_out=[LeftOut(who, why, severity) for severity, who, why in in_common(group.issues)],
        margin_mm=config.equivalence_margin,
        threshold_mm=config.consensus_threshold,
        reference=describe_raters(config.annotations, group) if group.raters else '',
        agreement=tables.get('agreement'),
        template_points=in_template.points,
        template=in_template.space,
        seed=config.random_seed,
    )
    return write_group_report(config.out_dir, content)


def _conclude(group: Group, done: str, what: str) -> int:
    from tmsprep.group.issues import errors_by_subject

    return conclude(errors_by_subject(group.issues), done, what)
