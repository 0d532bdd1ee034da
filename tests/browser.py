"""A page in headless Chromium, driven through the pipe of its DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')


class Page:
    """One page, opened from a file; close it by leaving the ``with`` block."""

    def __init__(self, url: str, folder: Path, *, width: int = 1200, height: int = 1400) -> None:
        assert CHROMIUM is not None
        # Chromium reads commands from descriptor 3 and writes answers to 4, NUL between them.
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        script = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            [
                'bash', '-c', script, CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu',
                '--remote-debugging-pipe', f'--user-data-dir={folder / "profile"}',
                f'--window-size={width},{height}',
            ],
            pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._rest, self._number, self._session = b'', 0, ''
        #: What the browser complained about, such as a script that the policy forbids.
        self.complaints: list[str] = []
        made = self.send('Target.createTarget', url='about:blank')
        attached = self.send('Target.attachToTarget', targetId=made['targetId'], flatten=True)
        self._session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Log'):
            self.send(f'{domain}.enable')
        # A page that scrolls smoothly moves on between the question where to click, and the click.
        still = {'name': 'prefers-reduced-motion', 'value': 'reduce'}
        self.send('Emulation.setEmulatedMedia', features=[still])
        where = {'behavior': 'allow', 'downloadPath': str(folder)}
        self.send('Page.setDownloadBehavior', **where)
        self.send('Page.navigate', url=url)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {'id': self._number, 'method': method, 'params': params}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('method') in ('Log.entryAdded', 'Runtime.exceptionThrown'):
                self.complaints.append(json.dumps(answer['params']))
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']

    def _read(self) -> dict[str, Any]:
        while b'\0' not in self._rest:
            part = os.read(self._in, 1 << 16)
            assert part, 'the browser ended'
            self._rest += part
        message, _, self._rest = self._rest.partition(b'\0')
        return json.loads(message)

    def run(self, script: str) -> Any:
        """Evaluate a script in the page and return its value."""
        return self.send('Runtime.evaluate', expression=script, returnByValue=True)['result'].get(
            'value'
        )

    def wait(self, script: str, seconds: float = 60) -> Any:
        """Evaluate a script until it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script)
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(script)

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Press the mouse in an element, at a part of its width and height."""
        self.run(f"document.querySelector('{selector}').scrollIntoView({{behavior: 'instant'}})")
        left, top, width, height = self.run(
            f'(({{left, top, width, height}}) => [left, top, width, height])(document'
            f".querySelector('{selector}').getBoundingClientRect())"
        )
        at = {'x': left + x * width, 'y': top + y * height, 'button': 'left', 'clickCount': 1}
        for kind in ('mousePressed', 'mouseReleased'):
            self.send('Input.dispatchMouseEvent', type=kind, **at)

    def key(self, name: str) -> None:
        """Press a key."""
        for kind in ('keyDown', 'keyUp'):
            self.send('Input.dispatchKeyEvent', type=kind, key=name)
