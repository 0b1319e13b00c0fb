"""Several generations at once with the Python client, in the environment of `make install`:

    python examples/python/with_client.py localhost:50051 gru "class Queue:" "def server(" "import "

The client goes on by itself where a server died.
"""

import asyncio
import sys

from service.client import Client
from service.failures import ClientError, InvalidArgument


async def generate(client: Client, model: str, prompt: str) -> str:
    """Return what is generated from one prompt, or why nothing is."""
    try:
        text = prompt
        async for delta in client.generate(model, prompt, temperature=0.8, max_new_tokens=60, timeout=60):
            text += delta.text  # as it comes; `await client.generate(...).result()` gives all at once
        return text
    except InvalidArgument as error:
        return "; ".join(f"{bad.field} {bad.description}" for bad in error.violations)


async def main(address: str, model: str, *prompts: str) -> int:
    """Generate from all prompts side by side and print the answers in order. Returns the exit code."""
    async with Client(address) as client:
        try:
            known = await client.model(model)
            print(f"{known.name}@{known.version}: {known.family}, {known.parameters:,} weights", file=sys.stderr)
            answers = await asyncio.gather(*(generate(client, model, prompt) for prompt in prompts))
        except ClientError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
    print(*answers, sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
