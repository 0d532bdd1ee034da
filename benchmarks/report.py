"""Size and time of participants' reports, with the viewer and without it, in one run.

``python benchmarks/report.py DATA OUT [--browser chromium]`` with OUT the outputs of a participant
run over the data set DATA. For each participant: size of the page; size and time of writing it as
ratios to the page without the viewer; time of the head for the viewer as a ratio to reading and
conforming the image; and how long the page takes in a browser from being asked for the viewer
until it can be used. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tmsprep.bids.names import Layout, labels_in
from tmsprep.imaging.conform import conform
from tmsprep.imaging.read import read_image
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.reports.collect import collect_subject
from tmsprep.reports.head_volume import head_volume, write_head
from tmsprep.reports.participant import write_participant_report
from tmsprep.reports.planes import Volume

HEAD = (
    '| participant | page, MB | size, ratio | writing, s | writing, ratio | head, s '
    '| head, ratio | ready in browser, s |\n|---|---|---|---|---|---|---|---|'
)


def seconds(call: Callable[[], object], repetitions: int = 3) -> float:
    """Median processor time after one call that does not count."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def measure_page(layout: Layout, protocol: Protocol, subject: str) -> tuple[Path, float]:
    """Write a report; return it and the time."""

    def write() -> Path:
        return write_participant_report(layout, protocol, subject)

    taken = seconds(write)
    return write(), taken


def measure_head(path: Path, folder: Path) -> tuple[float, float]:
    """Time of the head for the viewer, and of reading and conforming its image."""
    volume = Volume.from_image(conform(read_image(path)))
    nowhere = np.full((1, 3), np.nan)
    head = seconds(lambda: write_head(folder / 'head.bin.gz', head_volume(volume, nowhere)))
    return head, seconds(lambda: conform(read_image(path)))


def ready_in_browser(browser: str, page: Path, anchor: str, folder: Path) -> float:
    """Seconds from the beginning of decompression to the first picture, as the page says."""
    command = [
        browser, '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom',
        '--virtual-time-budget=10000',
        f'--user-data-dir={folder / "browser"}', f'{page.as_uri()}#{anchor}-viewer',
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r'data-ready="(\d+)"', shown)
    return int(found[1]) / 1000 if found else float('nan')


def rows(data: Path, out: Path, protocol: Protocol, browser: str) -> Iterator[str]:
    """Measure each participant, on a copy of the outputs."""
    for subject in labels_in(out, 'sub'):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            layout = Layout(folder, protocol.name)
            shutil.copytree(out / f'sub-{subject}', folder / f'sub-{subject}')
            image = collect_subject(layout, subject, protocol).images[0]
            page, taken = measure_page(layout, protocol, subject)
            size = page.stat().st_size
            ready = ready_in_browser(browser, page, image.name, folder) if browser else None
            for head in folder.rglob('*_desc-viewer_T1w.bin.gz'):
                head.unlink()
            plain, plainly = measure_page(layout, protocol, subject)
            head_s, conform_s = measure_head(data / image.image.relative_path, folder)
            cells = [
                f'sub-{subject}', f'{size / 1e6:.2f}', f'{size / plain.stat().st_size:.2f}',
                f'{taken:.2f}', f'{taken / plainly:.2f}', f'{head_s:.2f}',
                f'{head_s / conform_s:.2f}', 'n/a' if ready is None else f'{ready:.2f}',
            ]  # fmt: skip
            yield f'| {" | ".join(cells)} |'


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--protocol', default='tms')
    parser.add_argument('--browser', default=shutil.which('chromium') or '')
    given = parser.parse_args()
    print(HEAD)
    for row in rows(given.data, given.out, load_protocol(given.protocol), given.browser):
        print(row, flush=True)


if __name__ == '__main__':
    main()
