"""Train the localizer that ships with the package.

``python -m tmsprep.learning.first_weights DATA OUT --seed 1`` trains one member of the ensemble;
call it again to resume. ``--assemble NAME`` joins the finished members into one weights file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import torch

from tmsprep.formats.targets_tsv import read_targets
from tmsprep.learning.cohort import Annotated, Person, load_cohort
from tmsprep.learning.recipes import recipe_named
from tmsprep.learning.training import Training, localization_errors
from tmsprep.networks.multiresolution import NetworkSettings
from tmsprep.networks.weights import Localizer, load_localizer, save_localizer
from tmsprep.protocols import Protocol, load_protocol

VALIDATION_EVERY = 9
"""Every ninth training person is kept aside, to choose recipes on (our choice)."""


def annotated_people(data: Path, protocol: Protocol, split: str) -> list[Annotated]:
    """Everyone of one split of a BIDS data set laid out as the training data are.

    Parameters
    ----------
    data : Path
        With ``split.tsv``, ``derivatives/reference`` (points) and ``derivatives/dlmuse``
        (parcellation).
    protocol : Protocol
        Whose targets to read.
    split : str
        'train' or 'test'.
    """
    table = pd.read_csv(data / 'split.tsv', sep='\t', dtype=str)
    people = []
    for name in table.loc[table['split'] == split, 'participant_id']:
        derived = data / 'derivatives'
        reference = derived / 'reference' / name / 'anat' / f'{name}_desc-reference_targets.tsv'
        points = read_targets(reference).reindex(protocol.labels)
        mask = derived / 'dlmuse' / name / 'anat' / f'{name}_desc-dlmuse_dseg.nii.gz'
        people.append(Annotated(name, data / name / 'anat' / f'{name}_T1w.nii.gz', points, mask))
    return people


def describe(errors: torch.Tensor) -> dict[str, float]:
    """Summarise distances in mm; missing points are left out."""
    known = errors[torch.isfinite(errors)]
    return {
        'n': len(known),
        'mean': known.mean().item(),
        'sd': known.std().item(),
        'median': known.median().item(),
        'p95': known.quantile(0.95).item(),
        'max': known.max().item(),
    }


def train_member(data: Path, out: Path, seed: int, steps: int | None, threads: int) -> None:
    """Train one member, resuming from its checkpoint, and save it with its validation error."""
    torch.set_num_threads(threads)
    protocol = load_protocol('tms')
    people = load_cohort(annotated_people(data, protocol, 'train'), out / 'cache')
    validation = people[::VALIDATION_EVERY]
    training = [p for i, p in enumerate(people) if i % VALIDATION_EVERY]
    recipe = recipe_named('default', **({'steps': steps} if steps else {}))
    run = Training(
        NetworkSettings(len(protocol.labels)), recipe, protocol, seed, half_precision=True
    )
    log = out / f'member-{seed}.log.tsv'

    def progress(step: int, loss: float) -> None:
        if step % 10 == 0:
            with log.open('a', encoding='utf-8') as stream:
                stream.write(f'{step}\t{loss:.4f}{_validation(run, validation, step)}\n')

    network = run.run(training, out / f'member-{seed}.pt', progress=progress)
    card = {'seed': str(seed), 'recipe': recipe.name, 'steps': str(recipe.steps)}
    card['validation'] = json.dumps(describe(localization_errors(network, validation)))
    save_localizer(
        out / f'member-{seed}.safetensors', Localizer(protocol.labels, (network,), card)
    )


def _validation(run: Training, people: list[Person], step: int) -> str:
    if step % 250:
        return ''
    summary = describe(localization_errors(run.result(), people))
    run.network.train()
    return '\t' + json.dumps({k: round(v, 3) for k, v in summary.items()})


def assemble(out: Path, destination: Path) -> None:
    """Join all finished members into one ensemble."""
    parts = [load_localizer(path) for path in sorted(out.glob('member-*.safetensors'))]
    card = {
        'name': destination.stem,
        'members': str(len(parts)),
        'seeds': ' '.join(part.card['seed'] for part in parts),
        'recipe': f'{parts[0].card["recipe"]}, {parts[0].card["steps"]} steps',
        'data': 'IXI, Hammersmith 3 T, 2 mm; rule-based reference points, not human',
        'licence': 'CC BY-SA 3.0',
    }
    members = tuple(part.members[0] for part in parts)
    save_localizer(destination, Localizer(parts[0].labels, members, card))


def main() -> None:
    """Parse the command line and train or assemble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--steps', type=int)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--assemble', type=Path, metavar='FILE')
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.assemble:
        assemble(options.out, options.assemble)
    else:
        train_member(options.data, options.out, options.seed, options.steps, options.threads)


if __name__ == '__main__':
    main()
