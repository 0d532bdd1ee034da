"""Eight processes at once."""

from __future__ import annotations

from collections.abc import Iterator

from faults_parts.runs import CNN, Ended, Seen, Site, differences, outputs, partials

LEFT_OUT = 'another run is working on this participant'
FAULT = 'Eight at once'


def start_eight(site: Site) -> Iterator[Seen]:
    """Start eight runs into one output directory.

    Of different participants and of one; each with its own working directory, and all with one.
    """
    labels = sorted(p.name.removeprefix('sub-') for p in site.people.glob('sub-*'))
    alone = site.folder / 'alone'
    site.start(site.people, alone, site.folder / 'alone_work').end()
    whole = outputs(alone)
    for one_person in (False, True):
        of_one = {name: c for name, c in whole.items() if _belongs(name, labels[0])}
        for one_folder in (False, True):
            name = f'eight_{one_person:d}{one_folder:d}'
            ended = _run_eight(site, name, [labels[0]] * 8 if one_person else labels, one_folder)
            out = site.folder / name
            different = differences(out, of_one if one_person else whole)
            hidden = partials(out)
            yield Seen(
                FAULT,
                f'{"one participant" if one_person else "eight participants"}, '
                f'{"one working directory" if one_folder else "working directories of their own"}',
                _describe(ended, different, hidden),
                _all_right(ended, one_person) and not different and not hidden,
            )


def _run_eight(site: Site, name: str, labels: list[str], one_folder: bool) -> list[Ended]:
    out = site.folder / name
    running = [
        site.start(
            site.people,
            out,
            site.folder / (f'{name}_work' if one_folder else f'{name}_work{i}'),
            [*CNN, '--participant-label', label],
        )
        for i, label in enumerate(labels)
    ]
    return [run.end() for run in running]


def _belongs(name: str, label: str) -> bool:
    return not name.startswith('sub-') or name.startswith((f'sub-{label}/', f'sub-{label}_'))


def _all_right(ended: list[Ended], one_person: bool) -> bool:
    refused = [run for run in ended if run.code == 1 and run.says(LEFT_OUT)]
    done = [run for run in ended if run.code == 0]
    if not one_person:
        return len(done) == len(ended)
    return bool(done) and len(done) + len(refused) == len(ended)


def _describe(ended: list[Ended], different: list[str], hidden: list[str]) -> str:
    done = sum(run.code == 0 for run in ended)
    refused = sum(run.code == 1 and run.says(LEFT_OUT) for run in ended)
    others = len(ended) - done - refused
    words = [f'{done} finished']
    if refused:
        words.append(f'{refused} skipped the participant, with a message and exit code 1')
    if others:
        words.append(f'{others} ended in another way: {sorted({run.last for run in ended})}')
    words.append(f'{len(different) or "no"} files differ from those of a single run')
    if hidden:
        words.append(f'{len(hidden)} temporary files are left')
    return '; '.join(words)
