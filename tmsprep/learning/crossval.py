"""The steps of a cross-validation: one training, one test, and the tables."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tmsprep.bids.names import Layout
from tmsprep.disclaimer import disclaimer
from tmsprep.learning.examples import Record, participants_of, usable
from tmsprep.learning.kept import load_checked, save_checked
from tmsprep.learning.loop import rounded
from tmsprep.learning.plan import Plan, Test, Training
from tmsprep.learning.train import summary, train_network
from tmsprep.methods.learner import Learner, Rows
from tmsprep.tables import write_json, write_or_delete


def run_training(
    learner: Learner,
    training: Training,
    records: Sequence[Record],
    validation: Sequence[Record],
    folder: Path,
    device: str = 'cpu',
) -> tuple[Path, Path]:
    """Train one network of a cross-validation, from its checkpoint if there is one.

    Parameters
    ----------
    learner : Learner
        Of the method.
    training : Training
        Of the plan.
    records, validation : sequence of Record
        Training set and validation set; nothing else is read.
    folder : Path
        Directory for the checkpoint and the result.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    network, summary : Path
        ``network.pt``, which `run_test` reads, and ``training.json`` with the log. If the training
        diverged, both hold the reason instead.
    """
    start, checkpoint = time.perf_counter(), folder / 'checkpoint.pt'
    state = None
    content: dict[str, Any]
    try:
        trained = train_network(
            learner, training, records, validation, checkpoint=checkpoint, device=device
        )
        if learner.half_precision:
            # Refused here, rather than when it is tested.
            rounded(copy.deepcopy(trained.network))
    except FloatingPointError as error:
        content = {**asdict(training), 'error': str(error)}
    else:
        state = trained.network.state_dict()
        seconds = time.perf_counter() - start
        content = {**summary(training, trained, seconds), 'log': trained.log}
    content |= {
        'training_images': len(usable(records)),
        'validation_images': len(usable(validation)),
    }
    texts = [record.to_json() for record in usable(records)]
    network = folder / 'network.pt'
    save_checked(network, {'training': asdict(training), 'records': texts, 'network': state})
    path = write_json(folder / 'training.json', content)
    checkpoint.unlink(missing_ok=True)
    return network, path


def run_test(
    learner: Learner,
    test: Test,
    networks: Sequence[Path],
    records: Sequence[Record],
    device: str = 'cpu',
) -> Rows:
    """Test networks in images that they were not trained on.

    Parameters
    ----------
    learner : Learner
        Of the method.
    test : Test
        Of the plan.
    networks : sequence of Path
        Files of `run_training`, in the order of `test`.
    records : sequence of Record
        Test set.
    device : str
        'cpu' or 'cuda'.
    """
    models = [_model(learner, path) for path in networks]
    return learner.test(test, models, records, device)


def _model(learner: Learner, path: Path) -> tuple[Training, Any]:
    """Read a training and make the model of its network; None if it diverged."""
    content = load_checked(path)
    training = Training.from_dict(content['training'])
    if content['network'] is None:
        return training, None
    network = learner.network(training)
    network.load_state_dict(content['network'])
    network = rounded(network) if learner.half_precision else network.eval()
    records = [Record.from_json(text) for text in content['records']]
    return training, learner.assemble({training.name: network}, records)


def write_tables(
    learner: Learner,
    plan: Plan,
    tests: Sequence[Rows],
    trainings: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    layout: Layout,
    settings: Mapping[str, Any],
) -> list[Path]:
    """Write the tables of a finished cross-validation.

    Parameters
    ----------
    learner : Learner
        Of the method.
    plan : Plan
        All trainings and tests.
    tests : sequence of dict
        What `run_test` returned, in the order of the plan.
    trainings : sequence of mapping
        Summaries of `run_training`, in the order of the plan.
    records : sequence of Record
        All images, also those with an error.
    layout : Layout
        Names of the outputs.
    settings : mapping
        How the run was done, for the sidecars.

    Returns
    -------
    list of Path
        The tables.
    """
    rows: Rows = {}
    for found in tests:
        for name, lines in found.items():
            rows.setdefault(name, []).extend(lines)
    entries = {
        'Protocol': learner.protocol.name,
        **settings,
        **learner.entries(plan),
        'Participants': len(participants_of(records)),
        'Images': len(records),
        'ImagesLeftOut': {record.name: record.error for record in records if record.error},
        'Disclaimer': disclaimer(learner.protocol),
    }
    return [
        path
        for table in learner.tables(rows, trainings, plan)
        for path in write_or_delete(
            layout.level('crossval', table.name),
            table.rows,
            table.description,
            table.columns,
            **entries,
        )
    ]
