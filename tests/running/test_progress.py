from __future__ import annotations

import logging
from pathlib import Path

import pytest
from nipype import Function, Node, Workflow

from tmsprep.running.progress import Progress


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


class Told(logging.Handler):
    """Keeps what is said, whichever handlers other tests have left."""

    def __init__(self):
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_failure_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger, told = logging.getLogger('tmsprep'), Told()
    monkeypatch.setattr(logger, 'handlers', [told])
    caplog.set_level(logging.INFO, 'tmsprep')
    workflow = Workflow('wf', base_dir=str(tmp_path))
    workflow.config['execution']['crashdump_dir'] = str(tmp_path)
    workflow.add_nodes([person('bad', _fail), person('good', _same)])
    progress = Progress(
        4, 2, lambda node: node.fullname.split('.')[1] if node.name == 'last' else ''
    )
    with pytest.raises(Exception, match='first'):
        workflow.run(plugin='Linear', plugin_args={'status_callback': progress})
    progress.close()
    assert told.messages == ['good: finished (1 of 2)']
