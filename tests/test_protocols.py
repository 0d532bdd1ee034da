"""Each protocol with each localizer at level participant: exit codes, messages, shared folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tmsprep.cli.run import main
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.methods import method_names, register, unregister
from tmsprep.methods.base import Method, Request
from tmsprep.outcome import Outcome
from tmsprep.phantoms import write_dataset
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol, protocol_names

Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope='module')
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('bids') / 'bids'
    return write_dataset(folder, [1], ['01'], voxel_size=(4.0, 4.0, 4.0))


@pytest.fixture(scope='module')
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of all runs, which are answered from its cache where they may be."""
    return tmp_path_factory.mktemp('work')


@pytest.fixture(scope='module')
def weights(make_weights: Callable[[str], Path], shipped_weights: Path) -> dict[str, Path]:
    """Weights of the network that takes any points, by protocol; untrained if none are shipped."""
    return {'tms': shipped_weights, 'afids': make_weights('afids')}


@pytest.fixture
def call(bids: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run the command in this process; returns exit code and stderr."""

    def run(out: Path, protocol: str, *options: object) -> tuple[int, str]:
        line = [bids, out, 'participant', '--protocol', protocol, *options]
        line += ['-w', work, '--nprocs', 1, '--bids-filter-file', 't1w']
        try:
            code = main([str(word) for word in line])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capfd.readouterr().err

    return run


#: Message that refuses a localizer of a protocol, given nothing else; those left out can run.
REFUSALS = {
    ('tms', 'coreunet'): '--localizers coreunet: protocol tms has cnn, syn',
    ('afids', 'cnn'): 'protocol afids has no default weights. Give --weights FILE',
    ('afids', 'syn'): 'protocol afids has no default atlas. Give a T1w with its anatomical',
    ('afids', 'coreunet'): '--localizers coreunet: protocol afids has cnn, syn',
    ('locus-coeruleus', 'cnn'): '--localizers cnn: protocol locus-coeruleus has coreunet',
    ('locus-coeruleus', 'syn'): '--localizers syn: protocol locus-coeruleus has coreunet',
}


def check(result: tuple[int, str], code: int, message: str) -> None:
    assert result[0] == code, result[1]
    assert message in result[1]


@pytest.mark.parametrize('localizer', method_names())
@pytest.mark.parametrize('protocol', protocol_names())
def test_alone(call: Call, tmp_path: Path, protocol: str, localizer: str) -> None:
    result = call(tmp_path / 'out', protocol, '--localizers', localizer, '--dry-run')
    refusal = REFUSALS.get((protocol, localizer))
    check(result, *((2, refusal) if refusal else (0, 'dry run: nothing was written')))
    assert not (tmp_path / 'out').exists()


def test_default_run(call: Call, tmp_path: Path) -> None:
    """A protocol without files of its own says all that must be given."""
    result = call(tmp_path / 'out', 'afids')
    check(result, 2, 'cnn: protocol afids has no default weights')
    check(result, 2, 'syn: protocol afids has no default atlas')
    assert not list((tmp_path / 'out').glob('sub-*'))


@pytest.mark.parametrize(
    ('protocol', 'localizer', 'owner', 'message'),
    [
        ('afids', 'cnn', 'tms', 'lacks 1, 2, 3'),
        ('tms', 'cnn', 'afids', 'lacks LOFC, ROFC'),
        ('locus-coeruleus', 'coreunet', 'tms', 'does not hold tmsprep-locus-coeruleus-1 or'),
    ],
)
def test_other_weights(
    call: Call,
    tmp_path: Path,
    weights: dict[str, Path],
    protocol: str,
    localizer: str,
    owner: str,
    message: str,
) -> None:
    options = ('--localizers', localizer, '--weights', weights[owner])
    check(call(tmp_path / 'out', protocol, *options), 2, message)
    assert not list((tmp_path / 'out').glob('sub-*'))


def test_other_atlas(call: Call, tmp_path: Path, bids: Path) -> None:
    points = tmp_path / 'points.tsv'
    points.write_text('label\tx\ty\tz\nLOFC\t1\t2\t3\n')
    options = ['--localizers', 'syn', '--atlas', bids / 'sub-01/anat/sub-01_T1w.nii.gz']
    check(call(tmp_path / 'out', 'afids', *options), 2, '--atlas: give --atlas-targets as well')
    options += ['--atlas-targets', points]
    check(call(tmp_path / 'out', 'afids', *options), 2, 'none of the targets of protocol afids')
    assert not list((tmp_path / 'out').glob('sub-*'))


class Blind(Method):
    """A method that raises nothing and finds nothing, except where it crashes."""

    name = 'blind'
    title = 'Blind'
    description = 'Nothing'
    any_points = True

    def locate(self, request: Request) -> Outcome:
        if request.protocol.voxel_mm == 2.0:
            raise ValueError('nothing to see')
        return Outcome(self.name, PointSet.from_mapping({}, request.protocol.labels))


@pytest.fixture
def blind() -> Iterator[None]:
    register('blind', f'{__name__}:Blind')
    yield
    unregister('blind')


TOML = """name = 'mine'
title = 't'
source = 's'
methods = ['blind']
voxel_mm = {}
[[targets]]
label = 'A'
hemisphere = 'L'
region = 'r'
type = 'x'
"""


@pytest.mark.usefixtures('blind')
@pytest.mark.parametrize(
    ('voxel_mm', 'message'),
    [
        (1.0, 'desc-blind_targets.tsv: no point may be used (1 failed)'),
        (2.0, 'blind: nothing to see'),
    ],
)
def test_failed_image(call: Call, tmp_path: Path, voxel_mm: float, message: str) -> None:
    protocol = tmp_path / 'mine.toml'
    protocol.write_text(TOML.format(voxel_mm))
    result = call(tmp_path / 'out', str(protocol))
    check(result, 1, message)
    check(result, 1, 'finished with errors: 1 of 1 participants failed')
    table = tmp_path / 'out/sub-01/anat/sub-01_protocol-mine_desc-blind_targets.tsv'
    assert table.read_text().splitlines()[1] == 'A\tL\tr\tn/a\tn/a\tn/a\tfailed'


@pytest.mark.parametrize('order', [('tms', 'afids'), ('afids', 'tms')])
def test_shared_folder(
    call: Call, tmp_path: Path, weights: dict[str, Path], order: tuple[str, str]
) -> None:
    before: dict[Path, bytes] = {}
    out = tmp_path / 'out'
    for protocol in order:
        options = ('--localizers', 'cnn', '--weights', weights[protocol])
        check(call(out, protocol, *options), 0, 'finished without errors: 1 participant')
        assert {path: path.read_bytes() for path in before} == before
        before = {path: path.read_bytes() for path in out.rglob('sub-01_*') if path.is_file()}
    names = {path.name for path in before}
    for protocol in order:
        stem = f'sub-01_protocol-{protocol}'
        assert {f'{stem}.html', f'{stem}_desc-cnn_targets.tsv'} <= names
        labels = load_protocol(protocol).labels
        table = out / f'sub-01/anat/{stem}_desc-cnn_targets.tsv'
        assert tuple(read_targets(table).labels) == labels
        figures = {name for name in names if name.startswith(stem) and name.endswith('.svg')}
        # With the overview and the thumbnail.
        assert len(figures) == len(labels) + 2


def test_changed_targets(call: Call, tmp_path: Path, weights: dict[str, Path]) -> None:
    """The same name with another list: its earlier tables go, and nothing crashes."""
    shipped = (files('tmsprep.protocols') / 'tms.toml').read_text(encoding='utf-8')
    parts = shipped.replace("name = 'tms'", "name = 'mine'").split('[[targets]]')
    protocol, options = tmp_path / 'mine.toml', ('--weights', weights['tms'])
    for n in (11, 10):
        own = '[[targets]]'.join(parts[: n + 1])
        protocol.write_text(own if n == 11 else own.replace("mirror = 'RULIMBMC'", ''))
        run = call(tmp_path / 'out', str(protocol), '--localizers', 'cnn', *options)
        check(run, 0, 'finished without errors')
    table = tmp_path / 'out/sub-01/anat/sub-01_protocol-mine_desc-cnn_targets.tsv'
    assert len(read_targets(table)) == 10
    names = {path.name for path in (tmp_path / 'out/sub-01/figures').iterdir()}
    assert not any('RULIMBMC' in name for name in names)


def test_derivatives_of_no_use(call: Call, tmp_path: Path) -> None:
    options = ('--dry-run', '--derivatives', f'mine={tmp_path}')
    code, log = call(tmp_path / 'out', 'tms', '--localizers', 'cnn', *options)
    assert code == 0
    assert '--derivatives: not used, as cnn needs nothing of it' in log
    assert 'not used' not in call(tmp_path / 'out', 'tms', *options)[1]
