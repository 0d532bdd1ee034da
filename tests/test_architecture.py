from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

BASE = {
    *(
        'points',
        'atomic',
        'files',
        'alignment',
        'options',
        'outcome',
        'tables',
        'disclaimer',
        'text',
        'template',
        'own_points',
    ),
    *('bids', 'config', 'bids_filters', 'data', 'imaging', 'protocols', 'formats.targets_tsv'),
    *('running.machine', 'running.system', 'gyri.labels'),
}
"""What every room may use: points, names, files, images, settings, and the writer of tables."""

METHOD = {'methods', 'methods.base', 'methods.learner', 'methods.resources'}
"""What a shared room knows of methods: the registry and the interface."""

MAY_IMPORT = {
    'formats': set(),
    'networks': set(),
    'gyri': {'networks', 'evaluation'},
    'registration': {'evaluation', 'formats'},
    'evaluation': {'formats', 'networks.archive'},
    'scalp': {'evaluation', *METHOD},
    'phantoms': set(),
    'failures': set(),
    'derivatives': {'evaluation', 'formats', 'gyri', *METHOD},
    'intake': set(),
    'done': {'evaluation', 'derivatives', *METHOD},
    'learning': {'networks', 'formats', 'evaluation', *METHOD},
    'group': {'evaluation', 'formats', 'derivatives', 'failures', 'registration', *METHOD},
    'reports': {
        *('evaluation', 'formats', 'derivatives', 'failures', 'review', 'point_table'),
        *METHOD,
    },
    'export': {'evaluation', 'formats', 'derivatives', 'point_table', 'reports', 'scalp'},
    'review': {'evaluation', 'formats', 'derivatives', 'scalp', *METHOD},
    'point_table': {'evaluation', 'formats', 'derivatives', 'scalp', 'gyri', *METHOD},
    'methods': {
        *('networks', 'registration', 'evaluation', 'formats', 'learning', 'derivatives', 'group'),
        *('reports', 'gyri'),
    },
    'interfaces': {
        'scalp',
        'learning',
        'reports',
        'derivatives',
        'point_table',
        'failures',
        'evaluation',
        *METHOD,
    },
    'workflows': {'interfaces', 'learning', 'derivatives', *METHOD},
    'running': {'failures', *METHOD},
    'cli': {
        *(
            'running',
            'workflows',
            'reports',
            'failures',
            'derivatives',
            'export',
            'review',
            'formats',
            'phantoms',
            'done',
            'intake',
        ),
        *('learning', 'group', 'evaluation', *METHOD),
    },
}
"""Which rooms a room may use besides itself and `BASE`."""

TORCH_ROOMS, ANTS_ROOMS, NIPYPE_ROOMS = (
    {'networks', 'learning', 'methods', 'gyri'},
    {'registration'},
    {'interfaces', 'workflows', 'running', 'cli'},
)

NAMES = re.compile(
    r"cnn|'syn'|_syn\b|\bsyn_|\bSyN\b|coreunet|core-unet|coeruleus|\b[nl]pp\b|multi.?resolution|"
    r"baxter2021|duennwald2021|'tms'|afids|resnet",
    re.IGNORECASE,
)
"""Names of methods and protocols, which shared rooms do not know."""

KNOWS_NAMES = {
    'methods': 'each method knows itself; the registry lists all',
    'phantoms': 'a phantom is made for what it shows',
    'registration': 'the room of one kind of registration',
}

DEFAULT_PROTOCOL = re.compile(r"^    protocol: str = setting\(\n        'tms',.*$", re.MULTILINE)


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
    """Tell whether a module, or a name in it, is allowed; of `METHOD` only what is listed."""
    parts = name.split('.')
    prefixes = {'.'.join(parts[:n]) for n in range(1, len(parts) + 1)}
    if parts[0] == 'methods' and allowed >= METHOD:
        return any(module in prefixes for module in METHOD - {'methods'}) or len(parts) == 2
    return bool(prefixes & allowed)


def test_rooms_known() -> None:
    known = BASE | set(MAY_IMPORT) | {'', '__main__'}
    assert {room(module) for module in MODULES} <= known


@pytest.mark.parametrize('module', [m for m in MODULES if room(m) in MAY_IMPORT])
def test_imports_one_way(module: str) -> None:
    allowed = BASE | MAY_IMPORT[room(module)] | {room(module), '__version__'}
    ours = {n.removeprefix('tmsprep.') for n in imports(MODULES[module]) if _is_ours(n)}
    forbidden = sorted(name for name in ours if not within(name, allowed))
    assert forbidden == []


def _is_ours(name: str) -> bool:
    return name.startswith('tmsprep.')


@pytest.mark.parametrize('module', [m for m in MODULES if room(m) in BASE])
def test_base_imports_base(module: str) -> None:
    ours = {n.removeprefix('tmsprep.') for n in imports(MODULES[module]) if _is_ours(n)}
    forbidden = sorted(
        name for name in ours if not within(name, BASE | {'__version__', 'methods.method_names'})
    )
    assert forbidden == []


def test_nipype_rooms() -> None:
    using = {room(m) for m, path in MODULES.items() if loads(path, 'nipype')}
    assert using <= NIPYPE_ROOMS


def test_torch_rooms() -> None:
    using = {m for m, path in MODULES.items() if loads(path, 'torch', top_level=True)}
    training = {'interfaces.crossval', 'cli.train'}
    assert {room(m) for m in using - training} <= TORCH_ROOMS


def test_ants_rooms() -> None:
    using = {room(m) for m, path in MODULES.items() if loads(path, 'ants')}
    assert using == ANTS_ROOMS


DEFERRED = {
    'the parser must not wait for it': {
        'cli.run': {
            'tmsprep.cli.intake',
            'tmsprep.imaging.scanner_frame',
            'tmsprep.methods.resources',
        },
        'gyri.labels': {'numpy'},
        'own_points': {'tmsprep.formats.targets_tsv'},
        'protocols.protocol': {'numpy'},
        'running.machine': {'psutil'},
        'template': {'numpy'},
        'text': {'yaml'},
    },
    'only some runs need it, and all would wait for it': {
        'bids.index': {'bids.layout', 'bids.layout.models', 'bids.layout.validation'},
        'cli.demo': {'tmsprep.phantoms'},
        'evaluation.statistics': {'pingouin'},
        'learning.card': {'torch'},
        'registration.atlas': {'nilearn.datasets'},
        'running.system': {'filelock'},
        'networks.archive': {'torch', 'safetensors.torch'},
    },
    'an extra, which need not be installed': {
        'cli.completion': {'shtab'},
        'intake.dicom': {'dcm2niix'},
    },
    'a method is created without torch and ANTs, which it computes with': {
        'methods.baxter2021.method': {
            *('tmsprep.methods.baxter2021.localize', 'tmsprep.methods.baxter2021.learner'),
            *('tmsprep.methods.baxter2021.group', 'tmsprep.methods.baxter2021.group_section'),
        },
        'methods.duennwald2021.method': {
            *('tmsprep.methods.duennwald2021.locate', 'tmsprep.methods.duennwald2021.learner'),
            'tmsprep.methods.duennwald2021.locate_stages',
            *(
                'tmsprep.methods.duennwald2021.group',
                'tmsprep.methods.duennwald2021.group_section',
            ),
        },
        'methods.syn.method': {
            *('tmsprep.methods.syn.group', 'tmsprep.methods.syn.locate'),
            'tmsprep.methods.syn.train',
        },
    },
    'the process that reads transforms has ANTs, its parent has not': {
        'registration.guarded': {'tmsprep.registration.transforms'},
    },
    'Nipype reads its settings when it is imported, so they are written first': {
        'cli.crossval': {'tmsprep.learning.kept', 'tmsprep.workflows.crossval'},
        'cli.participant': {'tmsprep.workflows.base', 'tmsprep.workflows.image'},
        'running.execution': {'nipype', 'tmsprep.running.pool'},
    },
    'the group level is made of methods, and gyri are told apart with torch': {
        'methods.base': {
            *('tmsprep.group.collect', 'tmsprep.group.comparison'),
            'tmsprep.methods.places',
        },
    },
}
"""All imports inside functions, by reason; the rest stands at the top of its module."""


def deferred(path: Path) -> set[str]:
    """All modules that functions of a file import."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    outer = [n for n in ast.walk(ast.parse(path.read_text('utf-8'))) if isinstance(n, functions)]
    nodes = [node for function in outer for node in ast.walk(function)]
    plain = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return plain | {n.module or '' for n in nodes if isinstance(n, ast.ImportFrom)}


def test_deferred_imports_listed() -> None:
    listed = {m: names for modules in DEFERRED.values() for m, names in modules.items()}
    assert {m: names for m, path in MODULES.items() if (names := deferred(path))} == listed


HEAVY = (
    'numpy',
    'torch',
    'ants',
    'nipype',
    'nilearn',
    'matplotlib',
    'bids',
    'scipy',
    'pandas',
    'nibabel',
)


#: What a command may load before it computes, of what is heavy.
LIGHT = {
    'tmsprep.cli.parser': set(),
    'tmsprep.cli.run': set(),
    'tmsprep.cli.participant': {'numpy', 'nibabel', 'pandas', 'scipy'},
    'tmsprep.methods.syn.method': {'numpy', 'nibabel', 'pandas', 'scipy'},
}


@pytest.mark.parametrize('module', LIGHT)
def test_command_line_is_light(module: str) -> None:
    code = f'import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))'
    run = subprocess.run(
        [sys.executable, '-c', code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) <= LIGHT[module]


POSIX = re.compile(
    r'\b(fcntl|msvcrt|resource\.\w+limit|pwd|grp|prctl|fork|getuid|geteuid|getpgid|setsid|'
    r'killpg|waitpid|sched_\w+|pthread_\w+|SIG(KILL|HUP|TERM|ALRM|USR\d)|O_[A-Z]+|mkfifo|'
    r'statvfs|sysconf|select\.select)\b'
)
"""What other systems lack, or do otherwise."""


def test_one_module_knows_the_system() -> None:
    """Comments and docstrings may name what is POSIX; code may call it in one module."""
    found = {
        module: sorted({word for node in ast.walk(tree) for word in _words(node)})
        for module, path in MODULES.items()
        if (tree := ast.parse(path.read_text('utf-8')))
    }
    using = {m: [w for w in words if POSIX.fullmatch(w)] for m, words in found.items()}
    allowed = {'running.system', 'running.surroundings'}
    assert {m: words for m, words in using.items() if words and m not in allowed} == {}


def _words(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.name for alias in node.names]
        return [*names, getattr(node, 'module', None) or '']
    if isinstance(node, ast.Attribute):
        return [node.attr, f'{ast.unparse(node.value)}.{node.attr}']
    return []


def shared_files() -> list[Path]:
    return [path for module, path in MODULES.items() if room(module) not in KNOWS_NAMES]


@pytest.mark.parametrize('path', shared_files(), ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_shared_rooms_name_no_method(path: Path) -> None:
    text = DEFAULT_PROTOCOL.sub('', path.read_text(encoding='utf-8'))
    found = [line.strip() for line in text.splitlines() if NAMES.search(line)]
    assert found == []


def test_templates_name_no_method() -> None:
    pages = sorted((CHECKOUT / 'tmsprep' / 'data').glob('*.jinja'))
    assert [p.name for p in pages if NAMES.search(p.read_text(encoding='utf-8'))] == []
