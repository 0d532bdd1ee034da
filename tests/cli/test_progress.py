from __future__ import annotations

import logging

import pytest
from nipype import Function, Node, Workflow

from tmsprep.cli.progress import Progress


def _same(number: int) -> int:
    return number


def _fail(number: int) -> int:
    raise ValueError(number)


def person(name: str, function: object) -> Workflow:
    """Workflow of two nodes, the last of which is the milestone."""
    first = Node(Function(['number'], ['number'], function), name='first')
    first.inputs.number = 1
    last = Node(Function(['number'], ['number'], _same), name='last')
    workflow = Workflow(name)
    workflow.connect([(first, last, [('number', 'number')])])
    return workflow


def test_nobody_is_said_to_be_finished_after_a_failure(
    tmp_path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger('tmsprep')
    monkeypatch.setattr(logger, 'propagate', True)
    workflow = Workflow('wf', base_dir=str(tmp_path))
    workflow.config['execution']['crashdump_dir'] = str(tmp_path)
    workflow.add_nodes([person('bad', _fail), person('good', _same)])
    progress = Progress(
        4, 2, lambda node: node.fullname.split('.')[1] if node.name == 'last' else ''
    )
    with caplog.at_level(logging.INFO, 'tmsprep'), pytest.raises(Exception, match='first'):
        workflow.run(plugin='Linear', plugin_args={'status_callback': progress})
    progress.close()
    told = [record.getMessage() for record in caplog.records if record.name == 'tmsprep']
    assert told == ['good: finished (1 of 2)']
