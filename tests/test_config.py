from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.cli.settings import make_config
from tmsprep.config import CONFIGS, MAX_SEED, SETTINGS, ParticipantConfig, RunConfig, read_settings
from tmsprep.options import LEVELS, NamedPath

LABELS = st.lists(st.text('abcXYZ0189', min_size=1, max_size=8), max_size=3, unique=True)
FOLDERS = st.text('abc éß #\'"\\\n', min_size=1, max_size=9).map(lambda name: Path('/x', name))
ITEMS = st.none() | st.text(max_size=5) | st.integers(0, 99)
VALUES = ITEMS | st.lists(ITEMS, min_size=1)
FILTERS = st.fixed_dictionaries(
    {}, optional={'t1w': st.dictionaries(st.sampled_from(['run', 'acquisition']), VALUES)}
)

COMMON = {
    'participant_label': LABELS.map(tuple),
    'skip_bids_validation': st.booleans(),
    'consensus_threshold': st.floats(0.1, 99),
    'random_seed': st.integers(1, MAX_SEED),
    'dry_run': st.booleans(),
    'verbose': st.integers(0, 3),
}
IMAGES = {
    **COMMON,
    'session_label': LABELS.map(tuple),
    'bids_filters': FILTERS,
    'bids_database_dir': FOLDERS,
    'work_dir': FOLDERS,
    'nprocs': st.integers(1, 64),
    'omp_nthreads': st.integers(1, 4),
    'mem_gb': st.floats(0.5, 1e4),
    'device': st.just('cpu'),
    'write_graph': st.booleans(),
    'stop_on_first_crash': st.booleans(),
}
TRAINING = {'recipe': st.sampled_from(['default', 'quick']), 'steps': st.integers(1, 9999)}
OF_LEVEL: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    'participant': {
        **IMAGES,
        'localizers': st.sampled_from([('cnn',), ('cnn', 'syn')]),
        'sloppy': st.booleans(),
        'syn_preset': st.sampled_from(['default', 'paper']),
    },
    'train': {**IMAGES, **TRAINING, 'members': st.integers(1, 9)},
    'crossval': {
        **IMAGES,
        **TRAINING,
        'residual': st.sampled_from([('shared',), ('none', 'separate')]),
        'folds': st.integers(2, 9),
        'repetitions': st.integers(1, 9),
    },
    'group': {**COMMON, 'equivalence_margin': st.floats(0.1, 99)},
    'export': {name: COMMON[name] for name in ('participant_label', 'dry_run', 'verbose')},
}
GIVEN = st.sampled_from(LEVELS).flatmap(
    lambda level: st.tuples(st.just(level), st.fixed_dictionaries({}, optional=OF_LEVEL[level]))
)


def made(level: str = 'participant', **given: Any) -> RunConfig:
    return make_config(level, {n: Path('/', n[0]) for n in CONFIGS[level].folders}, **given)


@given(given=GIVEN)
@settings(max_examples=100)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, given: tuple[str, dict[str, Any]]
) -> None:
    level, values = given
    config = made(level, **values)
    assert type(config) is CONFIGS[level]
    assert {name: config.options[name] for name in values} == values
    path = config.to_toml(tmp_path_factory.mktemp('config') / 'run.toml')
    again = made(level, config_file=path)
    assert dataclasses.replace(again, run_id=config.run_id) == config


ANYTHING = st.recursive(
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(codec='utf-8'), max_size=20)
    | st.sampled_from(['/dev/zero', '', '~no-such-user/x', '[', '{"t1w": {}}', 'x' * 5000, '\0']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab1', max_size=3), inner),
    max_leaves=5,
)


@given(
    level=st.sampled_from(LEVELS),
    content=st.dictionaries(st.sampled_from([*SETTINGS, 'recipe', 'syn_preset']), ANYTHING),
)
@settings(max_examples=150)
def test_any_file(
    tmp_path_factory: pytest.TempPathFactory, level: str, content: dict[str, Any]
) -> None:
    """A file of settings is used, or refused with a message."""
    path = tmp_path_factory.mktemp('config') / 'run.toml'
    path.write_text(tomli_w.dumps(content), encoding='utf-8')
    try:
        config = made(level, config_file=path)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    else:
        assert config.analysis_level == level


def test_level_settings() -> None:
    """Each level has its own settings and the options of the methods at that level."""
    options = {level: set(made(level).options) for level in LEVELS}
    everywhere = {'out_dir', 'protocol', 'participant_label', 'dry_run', 'verbose', 'run_id'}
    assert options['export'] == {*everywhere, 'fail_on_warning'}
    assert set.intersection(*(options[level] for level in LEVELS if level != 'export')) == {
        *everywhere,
        *('bids_dir', 'skip_bids_validation', 'annotations', 'consensus_threshold'),
        'random_seed',
    }
    only = {name: [level for level in LEVELS if name in options[level]] for name in SETTINGS}
    assert only['sloppy'] == ['participant']
    assert only['localizers'] == ['participant', 'train']
    assert only['fail_on_warning'] == ['participant', 'export']
    assert only['folds'] == only['repetitions'] == ['crossval']
    assert only['equivalence_margin'] == ['group']
    assert only['work_dir'] == only['nprocs'] == ['participant', 'train', 'crossval']
    assert all(SETTINGS[name].levels == tuple(levels) for name, levels in only.items())
    assert made('train').method_options == {
        **{'weights': None, 'recipe': 'default', 'steps': None, 'residual': ('shared',)},
        **{'members': 1, 'atlas': None, 'atlas_targets': None},
    }


def test_analysis_level() -> None:
    assert {level: made(level).analysis_level for level in LEVELS} == {n: n for n in LEVELS}


def test_option_types() -> None:
    assert (SETTINGS['folds'].type, SETTINGS['folds'].several) == (int, False)
    assert (SETTINGS['derivatives'].type, SETTINGS['derivatives'].several) == (NamedPath, True)
    assert (SETTINGS['bids_filters'].type, SETTINGS['dry_run'].type) == (dict, bool)


def test_run_id() -> None:
    one, other = made(), made()
    assert one.run_id != other.run_id
    assert one.log_dir == Path('/o/logs') / one.run_id
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.verbose = 1  # type: ignore[misc]


def test_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config('participant', {'bids_dir': Path('b'), 'out_dir': Path('o')})
    assert isinstance(config, ParticipantConfig)
    assert (config.bids_dir, config.out_dir) == (tmp_path / 'b', tmp_path / 'o')
    assert config.work_dir == tmp_path / 'work'


def test_written_settings(tmp_path: Path) -> None:
    config = made(participant_label=('007', '01'))
    content = tomllib.loads(config.to_toml(tmp_path / 'run.toml').read_text())
    assert content['analysis_level'] == 'participant'
    assert content['participant_label'] == ['007', '01']
    assert content['localizers'] == ['cnn', 'syn']
    assert content['syn_preset'] == 'default'
    assert 'atlas' not in content
    settings = read_settings(tmp_path / 'run.toml')
    assert {'analysis_level', 'run_id', 'bids_dir', 'out_dir'}.isdisjoint(settings)


@pytest.mark.parametrize(
    ('level', 'given', 'message'),
    [
        ('participant', {'nprocs': 0}, '--nprocs must be 1 or more, not 0'),
        ('participant', {'omp_nthreads': 0}, '--omp-nthreads must be 1 or more, not 0'),
        ('participant', {'mem_gb': 0.0}, '--mem must be above 0'),
        ('group', {'random_seed': 0}, f'--random-seed must be from 1 to {MAX_SEED}, not 0'),
        ('participant', {'device': 'tpu'}, "--device 'tpu' is not known"),
        ('participant', {'localizers': ('ants',)}, '--localizers ants: protocol tms has cnn, syn'),
        ('participant', {'syn_preset': 'fast'}, "--syn-preset: 'fast' is not known"),
        ('train', {'recipe': 'own'}, "--recipe: 'own' is not known; choose from default, "),
        ('train', {'residual': ()}, '--residual: give at least one of shared'),
        ('train', {'residual': ('shared', 'none')}, '--residual: train takes one of shared'),
        ('train', {'steps': 0}, '--steps must be 1 or more, not 0'),
        ('crossval', {'folds': 1}, '--folds must be 2 or more, not 1'),
        ('group', {'equivalence_margin': 0.0}, '--equivalence-margin must be above 0, not 0.0'),
        ('group', {'consensus_threshold': float('nan')}, '--consensus-threshold must be above 0'),
    ],
)
def test_limits(level: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        made(level, **given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('nprocs = ', 'cannot be read as TOML'),
        ('n_procs = 2', "unknown setting 'n_procs' (known: agreement_overrides,"),
        ('nprocs = "2"', "--nprocs: '2' is not of type int"),
        ('nprocs = true', '--nprocs: True is not of type int'),
        ('nprocs = 0', '--nprocs must be 1 or more'),
        ('participant_label = "01"', "--participant-label: '01' is not a list"),
        ('bids_filters = "nope"', 'nope: no such filter file, nor a preset'),
        ('device = "tpu"', "--device 'tpu' is not known"),
    ],
)
def test_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'run.toml'
    path.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        made(config_file=path)
    assert str(caught.value).startswith(f'{path}: {message}')


def test_short_file(tmp_path: Path) -> None:
    """A file may hold a few settings, as the command line takes them or as TOML has them."""
    path = tmp_path / 'run.toml'
    path.write_text('mem_gb = 8\n[bids_filters.t1w]\nacquisition = "mprage"\n')
    config = made(config_file=path)
    assert config.options['mem_gb'] == 8.0
    assert config.options['bids_filters'] == {'t1w': {'acquisition': 'mprage'}}
    path.write_text('mem_gb = "9GB"\nbids_filters = "first_session"\nparticipant_label=["sub-1"]')
    config = made(config_file=path)
    assert (config.options['mem_gb'], config.participant_label) == (9.0, ('1',))
    assert config.options['bids_filters']['t1w']['session'] == ['1', '01', '001']


def test_other_level_file(tmp_path: Path) -> None:
    path = made('crossval', folds=3, recipe='quick', random_seed=5).to_toml(tmp_path / 'run.toml')
    group = made('group', config_file=path)
    assert group.analysis_level == 'group'
    assert group.random_seed == 5
    assert {'folds', 'recipe', 'work_dir'}.isdisjoint(group.options)
    (note,) = group.notes
    assert note.startswith(f'{path}: not used at the level group of this protocol: ')
    assert {'folds', 'recipe', 'repetitions'} <= {*note.partition(' protocol: ')[2].split(', ')}
    assert 'nprocs' not in note
    assert 'random_seed' not in note
    assert made('crossval', config_file=path).notes == ()
    assert made('train', config_file=path).method_options['recipe'] == 'quick'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('folds = 1', '--folds must be 2 or more, not 1'),
        ('folds = "many"', "--folds: 'many' is not of type int"),
        ('equivalence_margin = -3', '--equivalence-margin must be above 0, not -3.0'),
        ('syn_preset = "nonsense"', "--syn-preset: 'nonsense' is not known; choose from"),
        ('repetitions = inf', '--repetitions: inf is not of type int'),
        ('segmentation = "all"', "--segmentation: 'all' is not a list"),
    ],
)
def test_impossible_values_of_another_level(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'run.toml'
    path.write_text(text)
    level = 'group' if 'margin' not in text else 'participant'
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        made(level, config_file=path)
    assert str(caught.value).startswith(f'{path}: {message}')


def test_values_that_another_level_may_miss(tmp_path: Path) -> None:
    """Neither the files of another level nor its GPU need be here."""
    path = tmp_path / 'run.toml'
    path.write_text('agreement_overrides = "/absent"')
    assert made('train', config_file=path).notes[0].endswith(': agreement_overrides')
    path.write_text('device = "cuda"')
    assert made('group', config_file=path).notes == ()


def test_other_protocol_file(tmp_path: Path) -> None:
    path = made(syn_preset='paper').to_toml(tmp_path / 'run.toml')
    path.write_text(path.read_text().replace('"tms"', '"locus-coeruleus"'))
    path.write_text(path.read_text().replace('"cnn",', '').replace('"syn"', '"coreunet"'))
    config = made(config_file=path)
    assert config.protocol == 'locus-coeruleus'
    assert config.method_options == {'weights': None, 'segmentation': ('lpp',)}
    (note,) = config.notes
    assert 'syn_preset' in note


TOY = """
name = 'toy'
title = 'Toy'
source = 'none'
methods = ['cnn']
[defaults]
repetitions = 2
recipe = 'quick'
steps = 7
[defaults.crossval]
folds = 4
steps = 9
[[targets]]
label = 'A'
hemisphere = 'L'
region = 'somewhere'
type = 'none'
"""


def test_protocol_defaults(tmp_path: Path) -> None:
    toy = tmp_path / 'toy.toml'
    toy.write_text(TOY)
    crossval, train = made('crossval', protocol=str(toy)), made('train', protocol=str(toy))
    assert (crossval.options['folds'], crossval.options['repetitions']) == (4, 2)
    assert (crossval.options['steps'], train.options['steps']) == (9, 7)
    assert made('crossval', protocol=str(toy), folds=3).options['folds'] == 3
    assert made('participant', protocol=str(toy)).options['localizers'] == ('cnn',)
    toy.write_text(TOY.replace('folds = 4', 'folds = 1'))
    with pytest.raises(ValueError, match=r'^protocol toy: --folds must be 2 or more, not 1$'):
        made('crossval', protocol=str(toy))
    toy.write_text(TOY.replace('steps = 9', 'stepz = 9'))
    with pytest.raises(ValueError, match=r"^protocol toy: unknown setting 'stepz'"):
        made('crossval', protocol=str(toy))


def test_second_protocol() -> None:
    config = made('crossval', protocol='locus-coeruleus')
    assert (config.options['folds'], config.options['repetitions']) == (5, 1)
    assert config.options['bids_filters']['t1w']['acquisition'] == 'neuromelanin'
    assert config.method_options == {
        **{'segmentation': ('npp', 'pp', 'lpp'), 'recipe': 'duennwald2021', 'epochs': None},
        **{'augmentation': ('with', 'without'), 'held_out': 0},
    }
    assert made('participant', protocol='locus-coeruleus').options['localizers'] == ('coreunet',)
    own = made('participant', protocol='locus-coeruleus', bids_filters='t1w')
    assert own.options['bids_filters']['t1w']['ceagent'] is None
    assert made('participant', protocol='afids').options['localizers'] == ('cnn', 'syn')


def test_threshold_default() -> None:
    from tmsprep.evaluation.status import DISAGREEMENT_MM

    assert SETTINGS['consensus_threshold'].default == DISAGREEMENT_MM
