from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.config import MAX_SEED, RECIPES, RECIPES_OF, RESIDUALS, RunConfig, read_settings

LABELS = st.lists(st.text('abcXYZ0189', min_size=1, max_size=8), max_size=3).map(tuple)
PATHS = st.text('abc éß #\'"\\\n', min_size=1, max_size=9).map(lambda name: Path('/x', name))
ITEMS = st.none() | st.text(max_size=5) | st.integers(0, 99)


@given(
    config=st.builds(
        RunConfig,
        bids_dir=PATHS,
        out_dir=PATHS,
        participant_label=LABELS,
        session_label=LABELS,
        bids_filters=st.fixed_dictionaries(
            {}, optional={'t1w': st.dictionaries(st.text(), ITEMS | st.lists(ITEMS))}
        ),
        localizers=st.sampled_from([('cnn',), ('syn',), ('cnn', 'syn')]),
        weights=st.none() | PATHS,
        annotations=st.none() | PATHS,
        consensus_threshold=st.floats(0.1, 99),
        agreement_overrides=st.none() | PATHS,
        equivalence_margin=st.floats(0.1, 99),
        check_annotations=st.booleans(),
        recipe=st.sampled_from(RECIPES),
        steps=st.none() | st.integers(1, 9999),
        residual=st.sampled_from([('shared',), ('none', 'separate')]),
        members=st.integers(1, 9),
        folds=st.none() | st.integers(2, 9),
        repetitions=st.integers(1, 9),
        derivatives=st.lists(PATHS, max_size=2).map(tuple),
        work_dir=PATHS,
        nprocs=st.integers(4, 64),
        omp_nthreads=st.integers(1, 4),
        mem_gb=st.floats(0.5, 1e4),
        device=st.sampled_from(['cpu', 'cuda']),
        random_seed=st.integers(1, MAX_SEED),
        sloppy=st.booleans(),
        use_plugin=st.none() | PATHS,
        verbose=st.integers(0, 3),
    )
)
@settings(max_examples=50, deadline=None)
def test_toml_gives_the_same_settings_back(
    tmp_path_factory: pytest.TempPathFactory, config: RunConfig
) -> None:
    path = tmp_path_factory.mktemp('config') / 'run.toml'
    assert RunConfig.from_toml(config.to_toml(path)) == config


def test_paths_become_absolute_and_runs_have_names_of_their_own() -> None:
    one, other = RunConfig(Path('b'), Path('o')), RunConfig(Path('b'), Path('o'))
    assert one.bids_dir == Path.cwd() / 'b'
    assert one.work_dir == Path.cwd() / 'work'
    assert one.run_id != other.run_id
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.sloppy = True


def test_leading_zeros_survive(tmp_path: Path) -> None:
    config = RunConfig(tmp_path, tmp_path / 'o', participant_label=('007', '01'))
    saved = RunConfig.from_toml(config.to_toml(tmp_path / 'run.toml'))
    assert saved.participant_label == ('007', '01')


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ({'nprocs': 0}, '--nprocs must be 1 or more'),
        ({'omp_nthreads': 0}, '--omp-nthreads must be 1 or more, not 0'),
        ({'mem_gb': 0.0}, '--mem must be above 0'),
        ({'random_seed': 0}, '--random-seed must be from 1'),
        ({'localizers': ()}, 'at least one of cnn, syn'),
        ({'localizers': ('ants',)}, "--localizers 'ants' is not known; choose from cnn, syn"),
        ({'device': 'auto'}, "--device 'auto' is not known"),
        ({'syn_preset': 'fast'}, "--syn-preset 'fast' is not known"),
        ({'analysis_level': 'session'}, "analysis level 'session' is not known"),
        ({'run_id': 'a/b'}, 'no file name'),
        ({'recipe': 'own'}, "--recipe 'own' is not known; choose from default, baxter2021, "),
        ({'residual': ()}, '--residual: name at least one of shared'),
        ({'residual': ('shared', 'shared')}, '--residual: name each kind once'),
        ({'residual': ('all',)}, "--residual 'all' is not known"),
        ({'folds': 1}, '--folds must be 2 or more, not 1'),
        ({'steps': 0}, '--steps must be 1 or more, not 0'),
        ({'equivalence_margin': 0.0}, '--equivalence-margin must be above 0 mm'),
        ({'consensus_threshold': float('nan')}, '--consensus-threshold must be above 0 mm'),
    ],
)
def test_values_out_of_range_are_refused(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig(Path('/b'), Path('/o'), **setting)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('nprocs = ', 'cannot be read as TOML'),
        ('n_procs = 2', "unknown setting 'n_procs'.*known: bids_dir,"),
        ('nprocs = "2"', "nprocs = '2' is not of its type"),
        ('nprocs = true', 'nprocs = True is not of its type'),
        ('participant_label = "01"', 'is not of its type'),
        ('bids_filters = "t1w"', 'is not of its type'),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'run.toml'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(path)
    assert str(caught.value).startswith(f'{path}: ')


def test_file_may_name_few_settings_and_filters_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / 'run.toml'
    path.write_text('mem_gb = 8\n[bids_filters.t1w]\nacquisition = "mprage"\n')
    expected = {'mem_gb': 8.0, 'bids_filters': {'t1w': {'acquisition': 'mprage'}}}
    assert read_settings(path) == expected
    with pytest.raises(ValueError, match='lacks bids_dir'):
        RunConfig.from_toml(path)


def test_names_are_those_of_the_rooms_that_do_the_work() -> None:
    from tmsprep.evaluation.status import DISAGREEMENT_MM
    from tmsprep.learning.folds import VARIANTS
    from tmsprep.methods.baxter2021.recipes import RECIPES as DONE
    from tmsprep.methods.duennwald2021.recipes import RECIPES as COERULEUS

    assert set(RECIPES_OF['multiresolution']) == set(DONE)
    assert set(RECIPES_OF['coreunet']) == set(COERULEUS)
    assert set(RECIPES) == set(DONE) | set(COERULEUS)
    assert set(RESIDUALS) == set(VARIANTS)
    assert RunConfig.consensus_threshold == DISAGREEMENT_MM
