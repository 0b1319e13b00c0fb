"""How busy an engine is, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is: rows there are, rows in use, requests that wait, requests that may."""

    rows: int
    running: int
    waiting: int
    queue_limit: int
    state_bytes_per_row: int


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine does, has before it and behind it.

    running: requests in rows.    waiting_tokens: of the prompts and sources of requests that wait.
    prompt_tokens, generated_tokens: consumed (sources counted), and drawn, since the engine began; never fewer.
    drafted_tokens, accepted_tokens: proposed since then, and those of them that were drawn.
    steps: over prompts, over running rows and over what was proposed.
    """

    running: int
    waiting_tokens: int
    prompt_tokens: int
    generated_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    steps: int
