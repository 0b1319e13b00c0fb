"""The command line, as a process."""

import asyncio
import sys

from tests.service.wire.running import ENVIRONMENT, PATIENCE, ROOT


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """Return the command line, running."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.client", *arguments),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
    """Return the exit code, the output and the errors."""
    process = await start(*arguments)
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate(stdin)
    return process.returncode, output.decode(), errors.decode()
