"""Train everything that ships with the package, from nothing, by one command.

``python benchmarks/weights.py DATA OUT`` with DATA a BIDS data set as for `default_data`: the
reference points, then all weights, in the order in which they need each other. OUT keeps caches,
checkpoints and logs: repeat the command to resume. About two and a half hours of one core, with
one thread, so that the same weights come out on the same machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def commands(data: Path, out: Path, destination: Path) -> list[list[Path | str]]:
    """List the commands, each a script of this folder with its arguments."""
    reference, gyri = out / 'reference', destination / 'gyri_tms.safetensors'
    localizer = destination / 'localizer_tms.safetensors'
    brain = destination / 'brain_extraction.safetensors'
    return [
        ['reference.py', data, reference],
        ['gyri_weights.py', data, out, '--reference', reference, '--destination', gyri],
        ['default_weights.py', data, reference, out, '--gyri', gyri, '--destination', localizer],
        ['brain_weights.py', data, out, '--reference', reference, '--destination', brain],
    ]


def main() -> None:
    """Parse the command line and run the commands; the first that fails ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--destination', type=Path, default=HERE.parent / 'tmsprep' / 'data')
    options = parser.parse_args()
    options.destination.mkdir(parents=True, exist_ok=True)
    for script, *arguments in commands(options.data, options.out, options.destination):
        subprocess.run([sys.executable, HERE / script, *arguments], check=True)


if __name__ == '__main__':
    main()
