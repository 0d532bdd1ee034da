"""The viewer of a report: its data in the page, its arithmetic in Node, its look in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import time
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM
from browser import Page as Browser
from report_data import HOSTILE, FakeOutput, make_row

from tmsprep.bids.names import ImageRef
from tmsprep.formats.slicer import read_markups
from tmsprep.reports.head_volume import HeadVolume, write_head
from tmsprep.review import COLUMNS, match_reviews, take_reviews

SHA256 = 'ab' * 32
SCRIPT = str(files('tmsprep.data') / 'viewer.js')
NODE = shutil.which('node')
FIRST = np.array([-60.0, -70, -50])


def ball(shape: tuple[int, int, int] = (61, 71, 51), radius: float = 40.0) -> HeadVolume:
    """A bright ball around (0, 0, 0) mm in voxels of 2 mm."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    away = np.linalg.norm(FIRST + 2 * index, axis=-1)
    return HeadVolume(np.where(away <= radius, 40, 0).astype(np.uint8), FIRST, 2.0)


def write(output: FakeOutput, image: str = 'sub-01', sha256: str = SHA256, **entries: Any) -> None:
    """Two targets by two methods, an expert's point, and a head."""
    affine = [[2, 0, 0, -60], [0, 2, 0, -70], [0, 0, 2, -50], [0, 0, 0, 1]]
    reference = {
        'Path': f'{image}_T1w.nii.gz', 'SHA256': SHA256, 'Shape': [61, 71, 51], 'Affine': affine,
    }  # fmt: skip
    entry = {'entry_x': -40.5, 'entry_y': 31.5, 'entry_z': 22.5, 'mni_x': -41, 'mni_y': 38,
             'mni_z': 30, 'gyrus': 'left middle frontal gyrus', 'gyrus_probability': 0.97,
             'crown_depth_mm': 2.1}  # fmt: skip
    missing = dict.fromkeys(entry, 'n/a')
    rows = [
        make_row('LDLPFC', (-30.5, 20.25, 12.125), error90_mm=4.2, **entry),
        make_row('RDLPFC', status='failed', error90_mm='n/a', **missing),
    ]
    output.table(image, 'cnn', rows, ReferenceImage=reference)
    output.table(
        image, 'syn', [make_row('LDLPFC', (-28.5, 20.25, 12.125))], ReferenceImage=reference
    )
    path = output.path(image, 'viewer', 'T1w.bin.gz', 'figures')
    write_head(path, ball(), sha256=sha256, **{'defaced': False, **entries})


def data_of(source: str) -> dict[str, Any]:
    found = re.search('class="viewer-data">(.*?)</script>', source, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def node(code: str, *arguments: str) -> Any:
    """Run code in Node, with the functions of the script as v; it prints JSON."""
    if NODE is None:
        pytest.skip('needs Node')
    program = f'const v = require({json.dumps(SCRIPT)}); {code}'
    run = subprocess.run(
        [NODE, '-e', program, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


def test_data(output: FakeOutput) -> None:
    write(output)
    page = output.write()
    page.assert_alone()
    data = data_of(page.source)
    assert (data['image'], data['sha256']) == ('sub-01', SHA256)
    assert data['file'] == 'sub-01_protocol-tms_desc-reviewed_targets'
    targets = {target['label']: target for target in data['targets']}
    left = targets['LDLPFC']
    assert (left['name'], left['method']) == ('left DLPFC', 'cnn')
    assert left['points'][0] == {
        'method': 'cnn', 'point': ['-30.5', '20.25', '12.125'], 'status': 'found', 'radius': 4.2,
        'gyrus': 'left middle frontal gyrus, 2.1 mm below the crown (expected gyrus: 97 %)',
        'mni': [-41, 38, 30], 'entry': [-40.5, 31.5, 22.5], 'normal': None, 'handle': None,
    }  # fmt: skip
    assert [point['method'] for point in left['points']] == ['cnn', 'syn']
    assert targets['RDLPFC']['method'] == ''
    assert targets['RDLPFC']['points'][0]['point'] is None
    head = re.search('class="viewer-head">(.*?)</script>', page.source)
    figure = output.path('sub-01', 'viewer', 'T1w.bin.gz', 'figures')
    assert head is not None
    assert base64.b64decode(head[1]) == figure.read_bytes()
    assert 'with the face' in page.text


def test_own_points(output: FakeOutput) -> None:
    """They are shown, but no decision is made on them: no method located them."""
    write(output)
    output.table('sub-01', 'points', [make_row('SMA', (1.5, 2, 60), region='SMA')])
    data = data_of(output.write().source)
    *targets, own = data['targets']
    assert (own['label'], own['points'][0]['point']) == ('SMA', ['1.5', '2', '60'])
    assert [target['decidable'] for target in targets] == [True, True]
    assert own['decidable'] is False
    assert own['method'] in data['methods']


def test_only_this_script_runs(output: FakeOutput) -> None:
    write(output)
    source = output.write().source
    (program,) = re.findall('<script>(.*?)</script>', source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', source)
    assert policy is not None
    rules = unescape(policy[1]).split('; ')
    assert rules[0] == "default-src 'none'"
    assert rules[-1] == f"script-src 'sha256-{digest}'"
    assert '</' not in program.replace('</script', '')
    assert not re.search('on(click|load|error)=', source)


def test_hostile_cells(output: FakeOutput) -> None:
    write(output)
    row = make_row('LDLPFC', (-3.0, 2.0, 1.0), status=HOSTILE)
    output.table('sub-01', 'syn', [row, make_row('</script><b>', (1.0, 2, 3))])
    source = output.write().source
    assert HOSTILE not in source
    assert '</script><b>' not in source
    labels = [target['label'] for target in data_of(source)['targets']]
    assert '</script><b>' in labels


def test_defaced(output: FakeOutput) -> None:
    write(output, defaced=True)
    text = output.write().text
    assert 'The face was removed' in text
    assert 'with the face' not in text


def test_head_of_another_image(output: FakeOutput) -> None:
    write(output, sha256='cd' * 32)
    page = output.write()
    assert 'script' not in page.tags
    assert 'is of another image of the same name' in page.text


def test_damaged_head(output: FakeOutput) -> None:
    write(output)
    output.path('sub-01', 'viewer', 'T1w.bin.gz', 'figures').write_bytes(b'x')
    page = output.write()
    assert 'script' not in page.tags
    assert 'T1w.bin.gz could not be read' in page.text


def test_without_head(output: FakeOutput) -> None:
    output.table('sub-01', 'cnn', [make_row('LDLPFC', (1, 2, 3))])
    page = output.write()
    assert 'script' not in page.tags
    assert 'script-src' not in page.source


def test_several_images(output: FakeOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    for session in 'ABC':
        write(output, f'sub-01_ses-{session}')
    size = output.path('sub-01_ses-A', 'viewer', 'T1w.bin.gz', 'figures').stat().st_size
    monkeypatch.setattr('tmsprep.reports.viewer.MOST_ON_PAGE', 2 * size + 4)
    page = output.write()
    assert page.source.count('class="viewer-head"') == 2
    assert page.source.count('<script>') == 1
    assert 'sub-01_ses-C: no viewer' in page.text


def test_unpack(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 48, (5, 7, 6), np.uint8)
    path = write_head(
        tmp_path / 'h.gz', HeadVolume(levels, np.array([1.5, 2, 3]), 0.5), sha256='a'
    )
    code = (
        'const h = v.unpack(new Uint8Array(require("zlib").gunzipSync('
        'require("fs").readFileSync(process.argv[1]))));'
        'console.log(JSON.stringify({first: h.first, spacing: h.spacing, levels: [...h.levels],'
        'slices: v.PLANES.map((plane) => [...v.slice(h, plane, 4.25).grey]),'
        'between: v.sample(h, 1.5, 2, 3), outside: v.sample(h, 5, 0, 0)}))'
    )
    found = node(code, str(path))
    assert (found['first'], found['spacing']) == ([1.5, 2, 3], 0.5)
    assert found['levels'] == levels.ravel('F').tolist()
    # 4.25 mm: voxels 5.5, 4.5 and 2.5 along x, y and z; x ends at 4.
    axial, coronal, sagittal = found['slices']
    mean = (levels.astype(float)[:, :, 2] + levels[:, :, 3]) / 2
    assert axial == mean.T[::-1].ravel().tolist()
    mean = (levels.astype(float)[:, 4] + levels[:, 5]) / 2
    assert coronal == mean.T[::-1].ravel().tolist()
    assert set(sagittal) == {0}
    assert found['between'] == (float(levels[1, 2, 3]) + float(levels[2, 2, 3])) / 2
    assert found['outside'] == 0


def test_places() -> None:
    code = """
    const head = {first: [-60, -70, -50], spacing: 2, shape: [61, 71, 51]};
    const view = {centre: [10, 20, 30], scale: 4, width: 400, height: 300};
    const mm = [15, 22, 27];
    console.log(JSON.stringify({
      voxel: v.toVoxel(head, [-56, -70, -49]), mm: v.toMm(head, [2, 0, 0.5]),
      canvas: v.PLANES.map((plane) => v.toCanvas(view, plane, mm)),
      back: v.PLANES.map((plane) => v.fromCanvas(view, plane, ...v.toCanvas(view, plane, mm), mm)),
      inside: v.inside(head, [-99, 3.14159, 99]), cut: [v.cut(5, 3), v.cut(5, -6)],
    }))
    """
    found = node(code)
    assert found['voxel'] == [2, 0, 0.5]
    assert found['mm'] == [-56, -70, -49]
    # Right of the centre by 5 mm is 20 pixels to the right; down is down.
    assert found['canvas'] == [[220, 142], [220, 162], [208, 162]]
    assert found['back'] == [[15, 22, 27]] * 3
    assert found['inside'] == [-60, 3.1, 50]
    assert found['cut'] == [4, 0]


def test_surface_of_a_ball() -> None:
    code = """
    const shape = [61, 61, 61], levels = new Uint8Array(61 ** 3);
    for (let i = 0, z = -30; z <= 30; z++) for (let y = -30; y <= 30; y++)
      for (let x = -30; x <= 30; x++, i++) levels[i] = Math.hypot(x, y, z) <= 20 ? 48 : 0;
    const head = {shape, levels, first: [-60, -60, -60], spacing: 2, greys: 51};
    const found = [[0, 0], [90, 0], [0, 89.99]].map(([a, e]) => {
      const cam = v.camera(a, e), picture = v.surface(head, cam, 61, 61);
      return {middle: picture.depth[30 * 61 + 30], corner: picture.depth[0] === Infinity,
        left: v.project(head, cam, picture, [-40, 0, 0]),
        front: v.project(head, cam, picture, [0, 40, 0])};
    });
    console.log(JSON.stringify(found))
    """
    front, right, top = node(code)
    for seen in (front, right, top):
        assert seen['corner']
        # From 48 to 0 in one voxel, the skin (0.19 of 50) lies 0.8 voxels outside.
        assert seen['middle'] == pytest.approx(-20.8, abs=0.1)
    # Facing the participant their left is on the right; 40 mm are 20 voxels, one pixel each.
    np.testing.assert_allclose(front['left'], [50.5, 30.5, 0], atol=0.01)
    np.testing.assert_allclose(front['front'], [30.5, 30.5, -20], atol=0.01)
    # From their right, the face is on the right; from above and in front, at the bottom.
    np.testing.assert_allclose(right['front'], [50.5, 30.5, 0], atol=0.01)
    np.testing.assert_allclose(top['front'], [30.5, 50.5, 0], atol=0.02)


def test_saved_files() -> None:
    code = """
    const targets = ['LA', 'RA', 'LB'].map((label) => ({label, name: label, hemisphere: label[0],
      region: 'gyrus'}));
    const data = {targets, sha256: 'abc', version: '1.0'};
    const made = {reviewer: 'Anna', date: '2030-01-31'};
    const decisions = new Map([
      ['LB', {...made, decision: 'moved', method: '', point: ['1.5000', '-2.0000', '0.1000'],
        comment: '=1+1\\tno "tabs"', software_version: '0.9'}],
      ['LA', {...made, decision: 'rejected', method: '', point: null, comment: ''}],
    ]);
    console.log(JSON.stringify([v.table(data, decisions), JSON.parse(v.markups(data, decisions)),
      v.today(new Date(2030, 0, 5))]))
    """
    table, markups, date = node(code)
    head, first, second, end = table.split('\n')
    assert head.split('\t') == [
        *('label', 'hemisphere', 'region', 'x', 'y', 'z', *COLUMNS),
    ]
    missing = ['n/a'] * 3
    assert first.split('\t') == [
        *('LA', 'L', 'gyrus', *missing, 'rejected', 'rejected', 'n/a', 'Anna', '2030-01-31'),
        *('n/a', 'abc', '1.0'),
    ]
    assert second.split('\t') == [
        *('LB', 'L', 'gyrus', '1.5000', '-2.0000', '0.1000', 'moved', 'moved', 'n/a', 'Anna'),
        *('2030-01-31', '"\'=1+1 no ""tabs"""', 'abc', '0.9'),
    ]
    assert end == ''
    (points,) = (markup['controlPoints'] for markup in markups['markups'])
    assert [(p['label'], p['position']) for p in points] == [('LB', [-1.5, 2, 0.1])]
    assert markups['markups'][0]['coordinateSystem'] == 'LPS'
    assert date == '2030-01-05'


@pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')
def test_in_chromium(output: FakeOutput, tmp_path: Path) -> None:
    """From the disk, under the policy: look by mouse and keys, decide, save, take up again."""
    write(output)
    url = f'{output.write().path.as_uri()}#sub-01-viewer/LDLPFC'
    with Browser(url, tmp_path) as page:

        def place() -> str:
            return page.run("document.querySelector('[data-part=place]').textContent")

        page.wait("document.querySelector('#sub-01-viewer').dataset.ready")
        assert place() == 'RAS -30.5 20.3 12.1 mm (x, y, z). LPS 30.5 -20.3 12.1 mm.'
        # The middle of the grid, and of each plane, is x = y = z = 0; the first plane is axial.
        page.click('.viewer canvas')
        assert place().startswith('RAS 0.0 0.0 12.1 mm')
        for key in ('ArrowLeft', 'ArrowUp', 'ArrowUp', 'PageDown'):
            page.key(key)
        # Voxels of 2 mm.
        assert place().startswith('RAS -2.0 4.0 10.1 mm')
        page.click('[data-part=move]')
        assert page.run("document.querySelector('[data-part=message]').textContent") == (
            'Enter your name first.'
        )
        page.run("document.querySelector('[data-part=reviewer]').value = 'Anna'")
        page.click('[data-part=move]')
        page.click('[data-part=next]')
        page.click('[data-part=reject]')
        for part, name in (('save', 'tsv'), ('save-slicer', 'mrk.json')):
            page.click(f'[data-part={part}]')
            saved = tmp_path / f'sub-01_protocol-tms_desc-reviewed_targets.{name}'
            end = time.monotonic() + 30
            while not saved.is_file() and time.monotonic() < end:
                time.sleep(0.05)
        assert page.complaints == []
    image = ImageRef.from_path(Path('/d'), Path('/d/sub-01/anat/sub-01_T1w.nii.gz'))
    table = saved.with_name('sub-01_protocol-tms_desc-reviewed_targets.tsv')
    given = match_reviews([table], output.layout, {'01': [image]})
    assert take_reviews(output.layout, output.protocol, [image], given) == []
    points = read_markups(saved)
    assert points['LDLPFC'].tolist() == [-2, 4, 10.1]
    checked = read_markups(output.layout.table(image, 'reviewed').with_suffix('.mrk.json'))
    assert checked['LDLPFC (check: far_from_methods)'].tolist() == [-2, 4, 10.1]
    assert len(checked) == len(points)
    assert 'Moved by Anna' in output.write().text


@pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')
def test_foreign_script_is_blocked(output: FakeOutput, tmp_path: Path) -> None:
    """The policy stops a script that got into the page, in spite of all escaping."""
    write(output)
    path = output.write().path
    path.write_text(path.read_text().replace('</main>', '<script>window.evil = 1</script></main>'))
    with Browser(f'{path.as_uri()}#sub-01-viewer', tmp_path) as page:
        page.wait("document.querySelector('#sub-01-viewer').dataset.ready")
        assert page.run('window.evil') is None
        assert any('Content Security Policy' in text for text in page.complaints)
