"""What came of a prompt, as JSON and as words."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from service.answers import Finished, Result, Sample, Started, TokenLogprob


def as_object(result: Result, *, logprobs: bool) -> dict[str, Any]:
    """Return a result for JSON."""
    return {
        "model": result.started.model,
        "seed": result.started.seed,
        "prompt_tokens": result.started.prompt_tokens,
        "samples": [_sample(sample, logprobs=logprobs) for sample in result.samples],
    }


def _sample(sample: Sample, *, logprobs: bool) -> dict[str, Any]:
    finished = sample.finished
    found = {
        "text": sample.text,
        "reason": finished.reason,
        "match": finished.match,
        "token_ids": list(sample.token_ids),
        "queue_seconds": finished.queue_seconds,
        "prefill_seconds": finished.prefill_seconds,
        "decode_seconds": finished.decode_seconds,
    }
    return {**found, "logprobs": [asdict(one) for one in sample.logprobs]} if logprobs else found


def told(finished: Finished, started: Started | None, first_seconds: float | None) -> str:
    """Return in one line how a sample ended. first_seconds: until its first token came."""
    tokens, seconds = finished.generated_tokens, finished.decode_seconds
    parts = [f"{tokens} tokens"]
    if tokens > 1 and seconds > 0.0:
        parts.append(f"{(tokens - 1) / seconds:.0f} tokens/s")
    if first_seconds is not None:
        parts.append(f"first after {1e3 * first_seconds:.0f} ms")
    parts.append(finished.reason.lower().replace("_", " "))
    if started is not None:
        parts.append(f"seed {started.seed}")
    if finished.drafted_tokens:
        parts.append(f"{finished.accepted_tokens} of {finished.drafted_tokens} drafted tokens taken")
    return ", ".join(parts)


def alternatives(token: TokenLogprob) -> str:
    """Return the likeliest tokens at the place of `token`, to stand behind it; empty if none were asked for."""
    shown = (f"{json.dumps(one.text, ensure_ascii=False)} {one.logprob:.3f}" for one in token.alternatives)
    return f"  ({', '.join(shown)})" if token.alternatives else ""
