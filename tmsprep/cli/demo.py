"""The main job on a phantom head that the package makes itself: ``tmsprep-demo FOLDER``."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tmsprep.bids.names import ImageRef, Layout, derivative_path
from tmsprep.cli.parser import build_parser, read_arguments
from tmsprep.cli.run import main as run
from tmsprep.config import RunConfig
from tmsprep.formats import read_points
from tmsprep.methods import method_names
from tmsprep.running.surroundings import open_streams

#: Label of the one participant.
SUBJECT = '01'

#: Seed of the phantom head.
SEED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Make a phantom head, localise its targets, and compare them with the known truth.

    Parameters
    ----------
    argv : sequence of str, optional
        A folder, then any options of the main job; those of the process if not given.

    Returns
    -------
    int
        The main job's exit code: 0 if everything was done, 1 if something failed.

    Raises
    ------
    SystemExit
        With code 2 and one line on stderr if an argument is wrong, or if the folder holds
        something else than a demo.
    """
    parser = argparse.ArgumentParser(
        prog='tmsprep-demo',
        description='Make a phantom head whose targets are known exactly, run tmsprep on it, and '
        'print how far each target is from the truth. Called again, it resumes.',
    )
    parser.add_argument(
        'folder', type=Path, help='for the data set, the outputs and the working folder'
    )
    parser.add_argument('options', nargs=argparse.REMAINDER, help='of tmsprep, such as --sloppy')
    if argv is None:
        open_streams()
    arguments = parser.parse_args(argv)
    folder = arguments.folder.absolute()
    bids_dir, out_dir = folder / 'bids', folder / 'out'
    command = [str(bids_dir), str(out_dir), 'participant', '-w', str(folder / 'work')]
    # A misspelt option is refused before the data set is made.
    checked = build_parser()
    try:
        read_arguments(checked, [*command, *arguments.options])
    except ValueError as error:
        checked.error(str(error))
    try:
        image = phantom_image(bids_dir)
    except OSError as error:
        parser.error(str(error))
    code = run([*command, *arguments.options])
    layout = Layout(out_dir, RunConfig.protocol)
    report = layout.report(SUBJECT)
    if report.is_file():
        measured = distances(bids_dir, layout, image)
        sys.stdout.write(f'\n{describe(measured)}\nreport: {report}\n')
    return code


def phantom_image(bids_dir: Path) -> ImageRef:
    """Make the data set of one phantom head, or take the one that is there.

    It is made in a temporary folder and then renamed, so `bids_dir` is complete if it exists.

    Raises
    ------
    FileExistsError
        If `bids_dir` holds something else.
    """
    from tmsprep.phantoms import write_dataset

    path = bids_dir / f'sub-{SUBJECT}' / 'anat' / f'sub-{SUBJECT}_T1w.nii.gz'
    image = ImageRef.from_path(bids_dir, path)
    if not bids_dir.exists():
        sys.stdout.write(f'making a phantom head in {bids_dir}\n')
        sys.stdout.flush()
        bids_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=bids_dir.parent, prefix='.bids-') as temporary:
            write_dataset(Path(temporary) / 'bids', [SEED], [SUBJECT]).rename(bids_dir)
    elif not (path.is_file() and truth_path(bids_dir, image).is_file()):
        raise FileExistsError(f'{bids_dir} is not the data set of a demo: give another folder')
    return image


def truth_path(bids_dir: Path, image: ImageRef) -> Path:
    """Where the exact positions of a phantom's targets are."""
    truth = bids_dir / 'derivatives' / 'truth'
    return derivative_path(truth, image, desc='truth', suffix='targets', extension='.tsv')


def distances(bids_dir: Path, layout: Layout, image: ImageRef) -> dict[str, dict[str, float]]:
    """Measure the distance of each target from the truth.

    Returns
    -------
    dict
        Method to target to mm, for the methods that left a table; NaN for a target not found.
    """
    truth = read_points(truth_path(bids_dir, image))
    measured = {}
    for method in method_names():
        path = layout.table(image, method)
        if path.is_file():
            errors = truth.distance(read_points(path)).tolist()
            measured[method] = dict(zip(truth.labels, errors, strict=True))
    return measured


def describe(measured: Mapping[str, Mapping[str, float]]) -> str:
    """Lay the distances out as a table, with mean and maximum of the targets that were found."""
    columns = {method: dict(errors) for method, errors in measured.items()}
    for errors in columns.values():
        found = [error for error in errors.values() if not math.isnan(error)]
        errors['mean'] = sum(found) / len(found) if found else math.nan
        errors['maximum'] = max(found, default=math.nan)
    rows = [_row('target', columns)]
    for name in next(iter(columns.values()), {}):
        rows.append(_row(name, (_number(errors[name]) for errors in columns.values())))
    return 'distance from the known truth, mm\n' + ''.join(rows)


def _row(name: str, cells: Iterable[str]) -> str:
    return f'{name:10}' + ''.join(f'{cell:>8}' for cell in cells) + '\n'


def _number(value: float) -> str:
    return 'n/a' if math.isnan(value) else f'{value:.2f}'


if __name__ == '__main__':
    sys.exit(main())
