from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

BASE = {
    *('points', 'imaging', 'protocols', 'atomic', 'running.machine', 'disclaimer'),
    *('bids', 'config', 'config_values', 'bids_filters', 'data'),
}
"""What everybody may use: the first rooms of the house, and settings, names and files."""

MAY_IMPORT = {
    'imaging': set(),
    'protocols': set(),
    'networks': set(),
    'registration': set(),
    'formats': set(),
    'evaluation': set(),
    'phantoms': set(),
    'outcome': set(),
    'failures': set(),
    'derivatives': {'evaluation', 'formats', 'outcome'},
    'coeruleus_derivatives': {'derivatives', 'evaluation', 'formats', 'outcome'},
    'reports': {
        'derivatives',
        'evaluation',
        'failures',
        'formats',
        'outcome',
        'registration.names',
    },
    'learning': {'networks', 'formats', 'evaluation', 'registration.brain'},
    'group': {
        *('evaluation', 'formats', 'derivatives', 'failures', 'outcome', 'reports.collect'),
        *('registration.names', 'registration.transforms'),
    },
    'interfaces': {
        *('networks', 'registration', 'evaluation', 'formats', 'learning', 'reports'),
        *('outcome', 'failures', 'derivatives', 'coeruleus_derivatives'),
    },
    'workflows': {
        *('interfaces', 'networks.archive', 'registration.names'),
        *('learning.cohort', 'learning.folds', 'learning.coeruleus_folds', 'learning.volumes'),
    },
    'cli': {
        *('workflows', 'interfaces', 'reports', 'failures', 'derivatives', 'formats', 'phantoms'),
        *('learning', 'networks.weights', 'group'),
    },
}
"""Which rooms a room may use beside itself and `BASE`."""

TORCH_ROOMS, ANTS_ROOMS, NIPYPE_ROOMS = (
    {'networks', 'learning'},
    {'registration'},
    {'interfaces', 'workflows', 'cli'},
)


def modules() -> dict[str, Path]:
    """All modules of the package by name, without the package's own: 'imaging.conform'."""
    found = {}
    for root, prefix in ((CHECKOUT / 'tmsprep', ()), (CHECKOUT / 'workflows', ('workflows',))):
        for path in sorted(root.rglob('*.py')):
            parts = (*prefix, *path.relative_to(root).with_suffix('').parts)
            found['.'.join(p for p in parts if p != '__init__')] = path
    return found


MODULES = modules()


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """All modules that a file imports; with `top_level` only those loaded with the file itself.

    What stands behind ``if TYPE_CHECKING`` is not loaded.
    """
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f'{node.module}.{alias.name}' for alias in node.names)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if top_level and (inside or _only_for_types(node)):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding='utf-8')))
    return found


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'


def loads(path: Path, package: str, *, top_level: bool = False) -> bool:
    return any(name.split('.')[0] == package for name in imports(path, top_level=top_level))


def room(module: str) -> str:
    return module.split('.')[0]


def within(name: str, allowed: set[str]) -> bool:
    """Tell whether a module is one of the allowed, or lies in one."""
    parts = name.split('.')
    return any('.'.join(parts[:n]) in allowed for n in range(1, len(parts) + 1))


def test_every_room_is_known() -> None:
    known = BASE | set(MAY_IMPORT) | {'', '__main__'}
    assert {room(module) for module in MODULES} <= known


@pytest.mark.parametrize('module', [m for m in MODULES if room(m) in MAY_IMPORT])
def test_imports_go_one_way(module: str) -> None:
    allowed = BASE | MAY_IMPORT[room(module)] | {room(module), '__version__'}
    ours = {n.removeprefix('tmsprep.') for n in imports(MODULES[module]) if _is_ours(n)}
    forbidden = sorted(name for name in ours if not within(name, allowed))
    assert forbidden == []


def _is_ours(name: str) -> bool:
    return name.startswith('tmsprep.')


@pytest.mark.parametrize('module', [m for m in MODULES if room(m) in BASE])
def test_the_first_rooms_use_only_each_other(module: str) -> None:
    ours = {n.removeprefix('tmsprep.') for n in imports(MODULES[module]) if _is_ours(n)}
    forbidden = sorted(name for name in ours if not within(name, BASE | {'__version__', 'atomic'}))
    assert forbidden == []


def test_only_the_workflow_side_knows_nipype() -> None:
    using = {room(m) for m, path in MODULES.items() if loads(path, 'nipype')}
    assert using <= NIPYPE_ROOMS


def test_torch_is_loaded_with_networks_and_learning_only() -> None:
    using = {room(m) for m, path in MODULES.items() if loads(path, 'torch', top_level=True)}
    assert using <= TORCH_ROOMS


def test_ants_is_used_in_registration_only_and_never_loaded_with_it() -> None:
    using = {room(m) for m, path in MODULES.items() if loads(path, 'ants')}
    assert using == ANTS_ROOMS
    assert not any(loads(path, 'ants', top_level=True) for path in MODULES.values())


@pytest.mark.parametrize('package', ['nilearn', 'matplotlib', 'bids'])
def test_heavy_packages_are_loaded_where_they_are_used(package: str) -> None:
    assert [m for m, path in MODULES.items() if loads(path, package, top_level=True)] == []


HEAVY = ('torch', 'ants', 'nipype', 'nilearn', 'matplotlib', 'bids', 'scipy', 'pandas', 'nibabel')


@pytest.mark.parametrize('module', ['tmsprep.cli.parser', 'tmsprep.cli.run'])
def test_the_command_line_loads_nothing_heavy(module: str) -> None:
    code = f'import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))'
    run = subprocess.run(
        [sys.executable, '-c', code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
