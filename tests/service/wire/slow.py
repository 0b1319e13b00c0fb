"""A server program whose streams do not end before somebody ends the server."""

import asyncio
from asyncio.subprocess import Process as Subprocess
from collections.abc import Awaitable, Callable

from tests.service.wire.asking import MOST_NEW_TOKENS
from tests.service.wire.running import PATIENCE

LONG = ("--max-new-tokens-limit", str(MOST_NEW_TOKENS))

# A server whose model becomes so slow after 60 steps that no stream is over before the server is.
SLOW = """
import sys, time
from bundle.runner import Runner
from service.__main__ import main
step, steps = Runner.step, []
def slower(*arguments):
    steps.append(None)
    time.sleep(0.3 * (len(steps) > 60))
    return step(*arguments)
Runner.step = slower
sys.exit(main())
"""


async def begun(begin: Callable[[], Awaitable[Subprocess]], size: int = 20) -> tuple[Subprocess, bytes]:
    """A client that has written `size` bytes, and these; where the model drew its end before, the next one."""
    async with asyncio.timeout(PATIENCE):
        while True:
            client = await begin()
            assert client.stdout is not None
            try:
                return client, await client.stdout.readexactly(size)
            except asyncio.IncompleteReadError:
                assert await client.wait() == 0, client.stderr and await client.stderr.read()
