from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.bids import ImageQuery, find_images
from tmsprep.formats import read_points

from scale_parts.made import PROTOCOL, Linked, make_dataset, make_raters
from scale_parts.measure import whole_run
from scale_parts.page import BEGIN, END, draw, put_into, section

TABLE = pd.DataFrame(
    [('start', 10, 1.04, 150.4), ('start', 1000, 1.3, 151.0), ('group', 1000, 20.0, 300.0)],
    columns=['what', 'people', 'seconds', 'megabytes'],
)


def test_made_data_are_found_by_the_app(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / 'bids', 3)
    found = find_images(ImageQuery(root))
    assert [image.stem for some in found.images.values() for image in some] == [
        *('sub-000001', 'sub-000002', 'sub-000003')
    ]
    assert found.problems == {}


def test_simulated_raters(tmp_path: Path) -> None:
    for name in ('one', 'two'):
        make_raters(tmp_path / name, people=2, raters=3)
    paths = sorted((tmp_path / 'one').iterdir())
    assert len(paths) == 6
    assert all(path.read_bytes() == (tmp_path / 'two' / path.name).read_bytes() for path in paths)
    sets = [read_points(path) for path in paths]
    assert all(points.labels == PROTOCOL.labels for points in sets)
    assert len({points.coordinates.tobytes() for points in sets}) == 6


def test_link_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('scale_parts.made._MOST_LINKS', 2)
    (tmp_path / 'source').write_bytes(b'x')
    linked = Linked(tmp_path / 'source')
    for name in 'abcde':
        linked.at(tmp_path / name)
    assert [(tmp_path / name).stat().st_nlink for name in 'abcde'] == [3, 3, 3, 2, 2]
    assert {(tmp_path / name).read_bytes() for name in 'abcde'} == {b'x'}


def test_cost_of_run(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / 'bids', 1)
    out = tmp_path / 'out'
    cost = whole_run(root, out, 'participant', '--dry-run', '-w', tmp_path / 'work')
    assert 0.1 < cost.seconds < 60
    assert 10 < cost.megabytes < 1000
    with pytest.raises(RuntimeError, match='no such folder'):
        whole_run(tmp_path / 'absent', out, 'participant')


def test_the_table_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text(f'before\n\n{BEGIN}\nold\n{END}\n\nafter\n')
    for _ in range(2):
        put_into(page, section(TABLE))
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ('before', 'after')
    assert '| start of a task of 3 participants | 1.0 s, 150 MB | 1.3 s, 151 MB |' in lines
    assert '| group level, CNN and SyN |  | 20.0 s, 300 MB |' in lines
    assert 'old' not in lines
    page.write_text('no marks')
    with pytest.raises(ValueError, match='needs the lines'):
        put_into(page, '')


def test_the_graph_is_the_same_each_time(tmp_path: Path) -> None:
    paths = [draw(TABLE, tmp_path / name) for name in ('a.svg', 'b.svg')]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert np.all([word in paths[0].read_text() for word in ('seconds', 'group level')])
