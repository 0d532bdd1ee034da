from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tmsprep.cli.parser import build_parser
from tmsprep.derivatives.earlier import FIRST_COLUMNS
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.methods import SHIPPED, get_method
from tmsprep.options import LEVELS
from tmsprep.protocols import load_protocol
from tmsprep.tables import COIL_COLUMNS

CHECKOUT = Path(__file__).parents[1]
PAGES = sorted([*CHECKOUT.glob('*.md'), *(CHECKOUT / 'docs').glob('*.md')])


def text(name: str | Path) -> str:
    return (CHECKOUT / name).read_text(encoding='utf-8')


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in these languages, long lines joined."""
    fences = re.findall(r'^```(\w*)\n(.*?)^```$', text(page), re.MULTILINE | re.DOTALL)
    return [block.replace('\\\n', '') for language, block in fences if language in languages]


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


def test_readme_disclaimer() -> None:
    words = ' '.join(text('README.md').replace('\n>', '\n').split())
    assert words.count(DISCLAIMER) == 1


INSTALL, RUN_TESTS, *_ = blocks(CHECKOUT / 'README.md', 'bash')
PAGES_TO_RUN = [p for p in PAGES if blocks(p, 'bash') and p.name != 'CONTRIBUTING.md']


def test_ci_runs_the_tests_as_readme_does() -> None:
    assert RUN_TESTS == '.venv/bin/python -m pytest -n 2\n'
    assert '\n"$venv/bin/python" -m pytest -n 2 ' in text('.ci/run')


def run_shell(script: str, folder: Path) -> None:
    """Run commands as a page gives them, in a folder whose .venv/bin has this tmsprep."""
    programs = folder / '.venv' / 'bin'
    programs.mkdir(parents=True, exist_ok=True)
    (programs / 'python').write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for name, place in tomllib.loads(text('pyproject.toml'))['project']['scripts'].items():
        module, function = place.split(':')
        (programs / name).write_text(
            f'#!{sys.executable}\nfrom {module} import {function}\n'
            f"if __name__ == '__main__':\n    raise SystemExit({function}())\n"
        )
    for program in programs.iterdir():
        program.chmod(0o755)
    paths = {'PATH': f'{programs}:{os.environ["PATH"]}', 'PYTHONPATH': str(CHECKOUT)}
    run = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', script],
        cwd=folder,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


@pytest.fixture(scope='module')
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the demo of README's first command was run."""
    folder = tmp_path_factory.mktemp('demo')
    run_shell(INSTALL.rpartition('&&')[2], folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES_TO_RUN, ids=lambda page: page.name)
def test_commands_run(page: Path, demo: Path, tmp_path: Path) -> None:
    commands = [block for block in blocks(page, 'bash') if block not in (INSTALL, RUN_TESTS)]
    folder = shutil.copytree(demo, tmp_path / page.stem)
    run_shell('\n'.join(commands), folder)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path) -> None:
    levels = '|'.join(LEVELS)
    known = {o for action in build_parser()._actions for o in action.option_strings}
    for block in blocks(page, '', 'sh'):
        for line in re.findall(rf'\btmsprep \S+ \S+ (?:{levels})\b([^#\n]*)', block):
            assert set(re.findall(r'(?<![\w-])--?[a-z][\w-]*', line)) <= known, line


EXAMPLES = [
    path.relative_to(CHECKOUT).with_suffix('')
    for folder in ('tmsprep', 'tmsprep/workflows')
    for path in sorted((CHECKOUT / folder).rglob('*.py'))
    if '>>> ' in path.read_text(encoding='utf-8')
]


@pytest.mark.parametrize('path', EXAMPLES, ids=str)
def test_examples_in_docstrings(path: Path) -> None:
    module = importlib.import_module('.'.join(path.parts).removesuffix('.__init__'))
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_option_is_described() -> None:
    usage = text('docs/usage.md')
    options = {o for action in build_parser()._actions for o in action.option_strings}
    missing = {o for o in options if not re.search(rf'{re.escape(o)}(?![\w-])', usage)}
    assert missing - {'--help'} == set()


def test_descriptions_complete() -> None:
    outputs = text('docs/outputs.md') + text('docs/locus_coeruleus_usage.md')
    names = [*FIRST_COLUMNS, *COIL_COLUMNS, 'dispersion_mm', *load_protocol('tms').labels]
    for method in map(get_method, SHIPPED):
        names += [*method.columns, *method.statuses]
    assert [name for name in names if f'`{name}`' not in outputs] == []


def test_extending_shows_the_toy_method() -> None:
    shown = blocks(CHECKOUT / 'docs' / 'extending.md', 'python')
    assert len(shown) == 2
    assert all(block in text('tests/methods/toy.py') for block in shown)


def test_exact_constraints() -> None:
    lines = [line for line in text('constraints.txt').splitlines() if not line.startswith('#')]
    assert all(re.fullmatch(r'[\w.\-]+==[\w.]+', line) for line in lines)
