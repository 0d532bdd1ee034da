"""Everything that a group in protocol locus-coeruleus is told from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tmsprep.bids.names import BidsError, ImageRef, labels_in, natural_key, shorten
from tmsprep.config import RunConfig
from tmsprep.group.derived import image_of
from tmsprep.group.issues import Issue
from tmsprep.methods.duennwald2021.group_crossval import read_crossval
from tmsprep.methods.duennwald2021.group_participants import LOCALIZER, measure_participants
from tmsprep.methods.duennwald2021.group_sources import CROSSVAL, PARTICIPANT, Measured
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.reports.collect import ImageResults, collect_subject


@dataclass(frozen=True)
class CoeruleusGroup:
    """The group: what was measured, in whom, and what is missing.

    Parameters
    ----------
    protocol : Protocol
        What was localised.
    measured : dict
        'crossval', 'participant' or both, to what was measured there.
    people : tuple of str
        Full labels of everybody known, in natural order.
    issues : list of Issue
        What is to be said of them.
    """

    protocol: Protocol
    measured: Mapping[str, Measured]
    people: tuple[str, ...]
    issues: Sequence[Issue]

    @property
    def n_measured(self) -> int:
        """How many people have points."""
        return len(
            {who for given in self.measured.values() for who in given.points['participant']}
        )


def participant_results(
    config: RunConfig,
) -> tuple[dict[ImageRef, ImageResults], list[Issue]]:
    """Read what the participant level wrote of the locus coeruleus.

    Parameters
    ----------
    config : RunConfig
        Folders and participants.

    Returns
    -------
    tuple
        Each image, which need not be there any more, to its tables; and who failed.
    """
    results, issues = {}, []
    there = [*labels_in(config.out_dir, 'sub'), *labels_in(config.out_dir / 'logs', 'sub')]
    for subject in dict.fromkeys(there):
        if config.participant_label and subject not in config.participant_label:
            continue
        found = collect_subject(config.out_dir, subject)
        ours = [image for image in found.images if _is_ours(image)]
        for image in ours:
            pairs = [part.split('-', 1) for part in image.name.split('_')]
            if all(len(pair) == 2 for pair in pairs):
                results[image_of(dict(pairs), config.bids_dir)] = image
        if ours:
            problems = [*found.problems, *(error.message for error in found.errors)]
            problems += [f'{i.name}: {error.message}' for i in ours for error in i.errors]
            issues += [Issue(subject, problem) for problem in problems]
    return results, issues


def _is_ours(image: ImageResults) -> bool:
    """Tell whether an image has points of this protocol, if only of a run before the last."""
    earlier = any(f'_desc-{LOCALIZER}_' in path.name for path in image.earlier)
    return LOCALIZER in image.tables or earlier


def collect_coeruleus_group(
    config: RunConfig,
    results: Mapping[ImageRef, ImageResults],
    masks: Mapping[str, Sequence[Path]],
    issues: Iterable[Issue] = (),
) -> CoeruleusGroup:
    """Gather what the other levels left.

    Parameters
    ----------
    config : RunConfig
        Folders, protocol and participants.
    results : mapping
        Of `participant_results`.
    masks : mapping
        Name of an image to the rater's files; empty if there is no rater.
    issues : iterable of Issue
        What has been found already.

    Raises
    ------
    BidsError
        If there is nothing to measure, or somebody who was asked for is unknown.
    """
    protocol = load_protocol(config.protocol)
    measured = {CROSSVAL: read_crossval(config.out_dir, config.participant_label)}
    if masks:
        measured[PARTICIPANT] = measure_participants(results, masks, config.out_dir, protocol)
    found = [*issues, *(issue for given in measured.values() for issue in given.issues)]
    measured = {level: given for level, given in measured.items() if len(given.points)}
    if not measured:
        raise BidsError(_nothing(config, results, masks))
    if results and not masks:
        message = (
            'outputs of the participant level are not compared: give the masks of one rater by '
            '--annotations DIR'
        )
        found.append(Issue('', message, 'note'))
    people = _people(config, measured)
    return CoeruleusGroup(protocol, measured, people, [*found, *_untested(people, measured)])


def _nothing(
    config: RunConfig,
    results: Mapping[ImageRef, ImageResults],
    masks: Mapping[str, Sequence[Path]],
) -> str:
    """Say what there is not, and what to run."""
    name = config.protocol
    first = (
        f'{config.out_dir}: no crossval_points.tsv with points of these people, so there is '
        f'nothing to compare. Run crossval --protocol {name} --annotations DIR first'
    )
    if masks and not results:
        return f'{first}, or participant --protocol {name}, whose outputs are then measured'
    if masks:
        return (
            f'{first}; or look into the log, why no output of the participant level could be '
            'compared with a mask'
        )
    if results:
        return f'{first}; or give the masks of one rater by --annotations DIR'
    return f'{first}; or participant --protocol {name}, and then group with --annotations DIR'


def _people(config: RunConfig, measured: Mapping[str, Measured]) -> tuple[str, ...]:
    named = {who for given in measured.values() for who in given.points['participant']}
    named |= {who for given in measured.values() for who in given.roles}
    known = named | {f'sub-{label}' for label in labels_in(config.bids_dir, 'sub')}
    wanted = {f'sub-{label}' for label in config.participant_label}
    unknown = sorted(wanted - known, key=natural_key)
    if unknown:
        there = shorten(sorted(known, key=natural_key)) or 'nobody'
        raise BidsError(
            f'--participant-label: no {shorten(unknown)} in the data set or the outputs; there '
            f'are: {there}'
        )
    return tuple(sorted(wanted or known, key=natural_key))


def _untested(people: Iterable[str], measured: Mapping[str, Measured]) -> Iterable[Issue]:
    """Say who is in the data set and was never measured nor trained on."""
    known = {who for given in measured.values() for who in given.points['participant']}
    known |= {who for given in measured.values() for who in given.roles}
    message = 'is in the data set, but in no table: without mask or points, or not run'
    for who in people:
        if who not in known:
            yield Issue(who.removeprefix('sub-'), message, 'warning')


def people_table(group: CoeruleusGroup) -> pd.DataFrame:
    """One row per known person: what it was there for, and what is missing.

    Parameters
    ----------
    group : CoeruleusGroup
        The group.

    Returns
    -------
    pandas.DataFrame
        `participant`, `role`, `points` (with a known error), `outcome` ('measured', 'trained on',
        'missing', 'failed'), `message`.
    """
    points = pd.concat([given.points for given in group.measured.values()])
    complete = points.dropna(subset=['x', 'reference_x'])
    counts = complete['participant'].value_counts()
    roles = {who: role for given in group.measured.values() for who, role in given.roles.items()}
    tested = set(points['participant'])
    rows = []
    for who in group.people:
        said = [i for i in group.issues if i.who == who]
        row = {'participant': who, 'role': roles.get(who, ''), 'points': int(counts.get(who, 0))}
        row['outcome'] = 'measured' if who in tested else 'trained on'
        if who not in tested and who not in roles:
            row['outcome'] = 'missing'
        if any(issue.severity == 'error' for issue in said):
            row['outcome'] = 'failed'
        rows.append(row | {'message': ' '.join(issue.message for issue in said)})
    return pd.DataFrame(rows, columns=['participant', 'role', 'points', 'outcome', 'message'])
