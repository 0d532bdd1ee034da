from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from coeruleus_data import rods, write_bids, write_image, write_mask

from tmsprep.cli.run import main
from tmsprep.methods.duennwald2021.networks import load_coeruleus


@pytest.fixture
def data(tmp_path: Path) -> Path:
    bids = write_bids(tmp_path / 'bids')
    for seed in range(1, 5):
        write_image(bids, f'{seed:02d}', seed)
        if seed < 4:
            write_mask(bids / 'derivatives' / 'rater', f'{seed:02d}', rods(seed))
    return tmp_path


def command(data: Path, level: str, *options: object) -> list[str]:
    masks = data / 'bids' / 'derivatives' / 'rater'
    line = [data / 'bids', data / 'out', level, '--annotations', masks]
    line += ['--protocol', 'locus-coeruleus', '-w', data / 'work', '--recipe', 'quick']
    line += ['--epochs', 2, '--nprocs', 1, '--device', 'cpu', *options]
    return [str(argument) for argument in line]


def test_written_files(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(data, 'train')) == 0
    log = capsys.readouterr().err
    assert 'masks for 3 images, points for 0' in log
    assert 'training on 2 images, 1 in the validation set' in log
    assert log.strip().endswith('INFO tmsprep finished without errors: 3 images')
    path = data / 'out' / 'localizer_locus-coeruleus.safetensors'
    model = load_coeruleus(path)
    assert (len(model.localizers), len(model.segmenters)) == (1, 1)
    assert (model.labels, model.voxel_mm) == (('LLC', 'RLC'), 0.75)
    assert model.card['data'] == 'rods (simulated); masks or points from rater'
    assert model.card['participants'] == (
        '2 participants, 2 images; validation set: 1 participants, 1 images'
    )
    assert float(model.card['validation_mm']) > 0
    assert '| Data | rods (simulated)' in path.with_suffix('.md').read_text()
    epochs = pd.read_csv(data / 'out' / 'train_protocol-locuscoeruleus_log.tsv', sep='\t')
    assert list(epochs['network']) == ['localizer'] * 2 + ['segmenter'] * 2
    assert (data / 'out' / 'figures' / 'train_protocol-locuscoeruleus_curve.svg').is_file()
    # With the finished checkpoint of the localizer, as after a kill: the same bytes.
    before = path.read_bytes()
    path.unlink()
    (segmenter,) = (data / 'work' / 'train').glob('segmenter_*.pt')
    segmenter.unlink()
    assert main(command(data, 'train')) == 0
    assert path.read_bytes() == before
    segmenter.write_bytes(b'half')
    assert main(command(data, 'train')) == 1
    assert f'{segmenter}: damaged; delete it' in capsys.readouterr().err


def test_points_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = data / 'bids' / 'derivatives' / 'rater'
    for path in masks.rglob('*_dseg.nii.gz'):
        name = path.name.replace('_dseg.nii.gz', '_targets.tsv')
        rows = ['label\themisphere\tx\ty\tz', 'LLC\tL\t-3\t0\t0', 'RLC\tR\t3\t0\t0.5']
        # Equal points of two participants would be a copy.
        rows[1] = rows[1].replace('\t0\t0', f'\t0\t0.{path.name[5]}')
        path.with_name(name).write_text('\n'.join(rows) + '\n')
        path.unlink()
    main(command(data, 'train', '--augmentation', 'without', '--epochs', 1))
    model = load_coeruleus(data / 'out' / 'localizer_locus-coeruleus.safetensors')
    assert (len(model.localizers), len(model.segmenters)) == (1, 0)
    assert model.card['augmentation'] == 'without'
    assert model.card['validation_dice_lpp'] == 'n/a'


def test_wrong_arguments(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / 'any.safetensors').touch()
    with pytest.raises(SystemExit):
        main(command(data, 'train', '--weights', data / 'any.safetensors'))
    assert '--weights is an option of participant' in capsys.readouterr().err
    assert main(command(data, 'train', '--participant-label', '01')) != 0
    assert 'training needs at least 2' in ' '.join(capsys.readouterr().err.split())
    assert main(command(data, 'crossval', '--held-out', 2)) != 0
    assert '--held-out 2 of 3 participants' in capsys.readouterr().err


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_dry_run(data: Path, capsys: pytest.CaptureFixture[str], level: str) -> None:
    assert main(command(data, level, '--dry-run')) == 0
    assert 'sub-02_acq-neuromelanin_T1w.nii.gz: ' in capsys.readouterr().err
    assert not (data / 'out').exists()
    assert not (data / 'work').exists()
