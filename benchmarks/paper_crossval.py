"""Run the cross-validation of Baxter et al. 2021, training by training, and keep its predictions.

``python benchmarks/paper_crossval.py DATA REFERENCE OUT TABLE``: leave-one-out over the
participants of ``DATA/raters.tsv`` with five repetitions and three variants of residual layers,
390 trainings. The reference is the consensus of the surrogate raters in ``REFERENCE/raters``, see
``reference.py``. TABLE is written after each training, one repetition of all variants after the
other: repeat the command to resume, also with nothing but TABLE. ``tmsprep crossval`` does the
same in one go, and for any data set, with the same plan and seeds.

With ``--publish DIR`` the tables of the trainings that are done are written there as those of
``tmsprep crossval``, for ``tmsprep group``, instead of training.

With ``--choose`` the other training participants are divided once, every fifth into the
validation set, and the error there is printed: recipes are chosen on them.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tmsprep.atomic import atomic_path
from tmsprep.bids.names import Layout
from tmsprep.evaluation.consensus import consensus
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.learning.crossval import write_tables
from tmsprep.learning.examples import Example, Record, participants_of, split
from tmsprep.learning.kept import prepare_record
from tmsprep.learning.plan import Plan, Test, Training
from tmsprep.learning.train import train_network
from tmsprep.methods import get_method
from tmsprep.methods.learner import Learner
from tmsprep.protocols import load_protocol

from default_data import read_examples

logger = logging.getLogger(__name__)

RATERS = ('spline', 'affine', 'other')

#: Of `tmsprep crossval`, but for the recipe.
OPTIONS = {
    'residual': ('shared', 'separate', 'none'),
    'repetitions': 5,
    'folds': None,
    'random_seed': 1,
}

PROTOCOL = load_protocol('tms')


def learner_of(recipe: str, steps: int | None) -> Learner:
    """Return the learner of the multi-resolution network."""
    learner = get_method('cnn').learner(PROTOCOL, {**OPTIONS, 'recipe': recipe, 'steps': steps})
    assert learner is not None
    return learner


def rated_examples(data: Path, reference: Path) -> list[Example]:
    """Read the participants of the experiment, with the consensus of their raters."""
    examples = []
    for name in rated(data):
        anat = reference / 'raters' / name / 'anat'
        points = {
            rater: read_targets(anat / f'{name}_desc-{rater}_targets.tsv') for rater in RATERS
        }
        image = data / name / 'anat' / f'{name}_T1w.nii.gz'
        examples.append(Example(name, image, consensus(points, PROTOCOL.labels)[0]))
    return examples


def rated(data: Path) -> list[str]:
    """List the participants of the experiment."""
    table = pd.read_csv(data / 'raters.tsv', sep='\t', dtype=str)
    return sorted(set(table['participant_id']))


def prepared(learner: Learner, examples: Sequence[Example], out: Path) -> list[Record]:
    """Prepare images, or take what an earlier run prepared."""
    records = [prepare_record(learner, example, out / 'prepared')[0] for example in examples]
    wrong = [record for record in records if record.error]
    if wrong:
        raise ValueError(f'{wrong[0].example.image}: {wrong[0].error}')
    return records


def by_repetition(plan: Plan) -> list[tuple[Training, Test]]:
    """Order trainings so that each repetition of all variants is done before the next."""
    pairs = list(zip(plan.trainings, plan.tests, strict=True))
    return sorted(pairs, key=lambda pair: pair[0].repetition)


def read_rows(table: Path) -> pd.DataFrame:
    """Read predictions; one variant is called 'none', which is not missing."""
    return pd.read_csv(table, sep='\t', na_values=['n/a'], keep_default_na=False)


def run(learner: Learner, records: Sequence[Record], out: Path, table: Path) -> None:
    """Do the trainings that the table does not have, and add their predictions to it."""
    plan = learner.plan(participants_of(records), [record.example for record in records])
    rows = read_rows(table) if table.is_file() else pd.DataFrame()
    keys = ['variant', 'repetition', 'fold']
    done = set() if rows.empty else set(rows[keys].itertuples(index=False, name=None))
    for training, test in by_repetition(plan):
        if (training.variant, training.repetition, training.fold) in done:
            continue
        train = [record for record in records if record.participant in training.train]
        tested = [record for record in records if record.participant in test.participants]
        found = predictions(learner, training, test, train, tested, out)
        rows = pd.concat([rows, pd.DataFrame(found).round(3)], ignore_index=True)
        with atomic_path(table) as partial:
            rows.to_csv(partial, sep='\t', index=False, na_rep='n/a')
        logger.info('%s: %.2f mm', training.name, rows['error_mm'][-len(found) :].mean())


def publish(learner: Learner, records: Sequence[Record], table: Path, out: Path) -> list[Path]:
    """Write the derivatives of a cross-validation of the trainings that TABLE has."""
    plan = learner.plan(participants_of(records), [record.example for record in records])
    rows = read_rows(table)
    done = len(rows[['variant', 'repetition', 'fold']].drop_duplicates())
    settings = {
        'RandomSeed': OPTIONS['random_seed'],
        'Folds': 'leave one participant out',
        'Repetitions': OPTIONS['repetitions'],
        'Trainings': len(plan.trainings),
        'TrainingsDone': done,
    }
    found = [{'predictions': rows.to_dict('records')}]
    layout = Layout(out, PROTOCOL.name)
    return write_tables(learner, plan, found, [], records, layout, settings)


def predictions(
    learner: Learner,
    training: Training,
    test: Test,
    train: Sequence[Record],
    tested: Sequence[Record],
    out: Path,
) -> list[dict[str, object]]:
    """Train one network, resuming from its checkpoint, and predict in its test set."""
    checkpoint = out / f'{training.name}.pt'
    trained = train_network(learner, training, train, [], checkpoint=checkpoint)
    model = learner.assemble({training.name: trained.network.eval()}, train)
    rows = learner.test(test, [(training, model)], tested)['predictions']
    checkpoint.unlink(missing_ok=True)
    return rows


def choose(learner: Learner, records: Sequence[Record], seed: int, out: Path) -> None:
    """Train on the participants outside of the experiment, and print the validation error."""
    training, validation = split(records)
    names = tuple(participants_of(validation))
    name = f'choose_{learner.options["recipe"]}_{learner.options["steps"]}_{seed}'
    one = Training(name, '', 'shared', 1, 1, tuple(participants_of(training)), (), seed)
    rows = predictions(learner, one, Test('choose', (name,), names), training, validation, out)
    errors = np.array([row['error_mm'] for row in rows], float)
    logger.info('%s: mean %.2f, median %.2f', name, np.nanmean(errors), np.nanmedian(errors))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('reference', type=Path, help='written by reference.py --raters')
    parser.add_argument('out', type=Path)
    parser.add_argument('table', type=Path, nargs='?')
    parser.add_argument('--recipe', default='crossval')
    parser.add_argument('--steps', type=int)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--choose', type=int, metavar='SEED')
    parser.add_argument('--publish', type=Path, metavar='DIR')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    learner = learner_of(options.recipe, options.steps)
    if options.choose is not None:
        apart = rated(options.data)
        examples = read_examples(options.data, PROTOCOL, 'train', options.reference)
        others = [example for example in examples if example.participant not in apart]
        choose(learner, prepared(learner, others, options.out), options.choose, options.out)
        return
    if options.table is None:
        parser.error('TABLE is needed')
    records = prepared(learner, rated_examples(options.data, options.reference), options.out)
    if options.publish is not None:
        for path in publish(learner, records, options.table, options.publish):
            print(path)
        return
    run(learner, records, options.out, options.table)


if __name__ == '__main__':
    main()
