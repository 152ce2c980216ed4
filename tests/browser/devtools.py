"""A headless Chromium that a test steers: it opens a page, sets its width and theme, asks it things, takes pictures."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

START_S = 40.0


class Tab:
    """One page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        # Errors and messages of the page's console.
        self.console: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol; raises AssertionError with its error."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=START_S)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])
            if message.get("method") in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}:
                self.console.append(str(message["params"]))

    async def ask(self, script: str) -> Any:
        """The value of an expression, or of what it promises."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str, limit_s: float = START_S) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(limit_s):
            while not await self.ask(script):
                await asyncio.sleep(0.1)

    async def look(self, width: int, dark: bool, height: int = 900) -> None:
        """Set the width and the theme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[theme])

    async def picture(self) -> bytes:
        """The whole page as PNG."""
        taken = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])


@asynccontextmanager
async def tab(profile: Path) -> AsyncIterator[Tab]:
    """A tab of a browser of its own; skips the test where there is none, but in CI."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None and os.environ.get("CI") != "true":
        pytest.skip("needs chromium on PATH (Debian: apt-get install chromium)")
    assert binary, "browser tests need chromium on PATH (Debian: apt-get install chromium)"
    line = [binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    line += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
    line += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    browser = await asyncio.create_subprocess_exec(
        *line, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        port = await asyncio.wait_for(_port(browser), START_S)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                found = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await found.call(f"{domain}.enable")
                yield found
    finally:
        browser.kill()
        await browser.communicate()


async def _port(browser: asyncio.subprocess.Process) -> int:
    assert browser.stderr is not None
    while line := await browser.stderr.readline():
        if found := re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", line):
            return int(found[1])
    raise AssertionError("the browser did not start")
