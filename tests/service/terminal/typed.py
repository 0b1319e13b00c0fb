"""The command line, as a process."""

import asyncio
import sys

from tests.service.wire.running import ENVIRONMENT, PATIENCE, ROOT


async def run(*arguments: str, stdin: bytes = b"", python: tuple[str, ...] = ()) -> tuple[int | None, str, str]:
    """Return the exit code, the output and the errors. python: flags of the interpreter."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *python, "-m", "service.client", *arguments),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate(stdin)
    return process.returncode, output.decode(), errors.decode()
