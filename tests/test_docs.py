from __future__ import annotations

import re
from pathlib import Path

import pytest

from tmsprep.cli.parser import build_parser
from tmsprep.derivatives import COLUMNS
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.evaluation.status import STATUSES
from tmsprep.protocols import load_protocol

CHECKOUT = Path(__file__).parents[1]
PAGES = sorted([*CHECKOUT.glob('*.md'), *(CHECKOUT / 'docs').glob('*.md')])


def text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding='utf-8')


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings get."""
    headings = re.findall(r'^#+ (.+)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-') for h in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r'\]\(([^)]+)\)', page.read_text(encoding='utf-8')):
        if link.startswith('https://'):
            continue
        name, _, anchor = link.partition('#')
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_has_the_disclaimer_word_for_word_once() -> None:
    words = ' '.join(text('README.md').replace('\n>', '\n').split())
    assert words.count(DISCLAIMER) == 1


def test_ci_runs_the_tests_as_readme_does() -> None:
    assert '\n.venv/bin/python -m pytest\n' in text('README.md')
    assert '\n"$venv/bin/python" -m pytest ' in text('.ci/run')


def test_every_option_is_described() -> None:
    usage = text('docs/usage.md')
    options = {o for action in build_parser()._actions for o in action.option_strings}
    missing = {o for o in options if not re.search(rf'{re.escape(o)}(?![\w-])', usage)}
    assert missing - {'--help'} == set()


def test_every_column_status_and_target_is_described() -> None:
    outputs = text('docs/outputs.md')
    names = [*COLUMNS, *STATUSES, *load_protocol('tms').labels]
    assert [name for name in names if f'`{name}`' not in outputs] == []


def test_constraints_are_exact_and_of_no_single_build() -> None:
    lines = [line for line in text('constraints.txt').splitlines() if not line.startswith('#')]
    assert all(re.fullmatch(r'[\w.\-]+==[\w.]+', line) for line in lines)
