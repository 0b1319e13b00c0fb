"""Every metric of a server: its name, kind, labels, and what it tells. What is exposed, drawn and documented is this.

Names are those of vLLM where both measure the same, with another prefix. Knows nothing about where values come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "seqstream_"
# Where nothing has a name: the model of a call that found none, the tenant of one that named none.
NOBODY = "-"
# Tenants beyond those that have a series of their own, together; no tenant can be called that.
OTHERS = "(others)"


def _one_two_five(smallest: int, largest: int) -> tuple[float, ...]:
    """Return 1, 2 and 5 times every power of ten from 10**smallest to 10**largest."""
    return tuple(float(f"{digit}e{power}") for power in range(smallest, largest + 1) for digit in (1, 2, 5))


# Seconds: one step of a Markov model takes a tenth of a millisecond, one of a large Transformer seconds.
_STEP_SECONDS = (5e-5, *_one_two_five(-4, 0))
_REQUEST_SECONDS = (5e-5, *_one_two_five(-4, 2))
_TOKENS = _one_two_five(0, 5)
_ROWS = tuple(float(1 << power) for power in range(13))


class Kind(StrEnum):
    """GAUGE: how it is now.    COUNTER: only grows.    HISTOGRAM: how often values were no larger than bounds."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    name: without prefix, and without the "_total" of a counter.
    bounds: of a histogram's buckets.    unit: of its values.
    vllm: whether vLLM has it by the same name.    otel: its name in OpenTelemetry's conventions for generative AI.
    """

    name: str
    kind: Kind
    documentation: str
    labels: tuple[str, ...] = ("model_name",)
    bounds: tuple[float, ...] = ()
    unit: str = ""
    vllm: bool = False
    otel: str = ""

    @property
    def full_name(self) -> str:
        """The name of its family."""
        return PREFIX + self.name

    @property
    def series(self) -> str:
        """The name by which it is asked for; of a histogram, that of its buckets."""
        return self.full_name + {Kind.GAUGE: "", Kind.COUNTER: "_total", Kind.HISTOGRAM: "_bucket"}[self.kind]


_MODEL = ("model_name",)


def _gauge(
    name: str, documentation: str, labels: tuple[str, ...] = _MODEL, unit: str = "", *, vllm: bool = False
) -> Metric:
    return Metric(name, Kind.GAUGE, documentation, labels, unit=unit, vllm=vllm)


def _counter(
    name: str, documentation: str, labels: tuple[str, ...] = _MODEL, otel: str = "", *, vllm: bool = False
) -> Metric:
    return Metric(name, Kind.COUNTER, documentation, labels, vllm=vllm, otel=otel)


def _seconds(name: str, documentation: str, otel: str = "") -> Metric:
    return Metric(name, Kind.HISTOGRAM, documentation, _MODEL, _REQUEST_SECONDS, "s", vllm=True, otel=otel)


REQUESTS_RUNNING = _gauge(
    "num_requests_running", "Requests whose prompt is being consumed or whose samples run.", vllm=True
)
REQUESTS_WAITING = _gauge("num_requests_waiting", "Requests that wait for rows.", vllm=True)
TOKENS_WAITING = _gauge("num_tokens_waiting", "Tokens of the prompts and sources of requests that wait for rows.")
QUEUE_LIMIT = _gauge("queue_limit", "Requests that may wait for rows.")
REQUESTS = _counter(
    "requests",
    "Calls that have ended, by status. CANCELLED: the client went, or its deadline passed before anything came of it.",
    ("model_name", "method", "code", "tenant"),
)
REFUSED = _counter("requests_refused", "Calls that ended with an error, by its reason.", ("reason",))
FINISHED = _counter(
    "request_success",
    "Samples that have ended, by why. deadline: with what they had by then.",
    ("model_name", "finished_reason"),
    vllm=True,
)
RESUMED = _counter("requests_resumed", "Requests that go on where another stream broke.")

FIRST_TOKEN = _seconds(
    "time_to_first_token_seconds",
    "From a call's arrival to the end of the step that gives its first token; of requests that are not resumed.",
    "gen_ai.server.time_to_first_token",
)
INTER_TOKEN = Metric(
    "inter_token_latency_seconds",
    Kind.HISTOGRAM,
    "Between two tokens of a sample, as the engine hands them out.",
    _MODEL,
    _STEP_SECONDS,
    "s",
    vllm=True,
    otel="gen_ai.server.time_per_output_token",
)
LATENCY = _seconds(
    "e2e_request_latency_seconds",
    "From a call's arrival to its end; of calls that an engine ran and that ended well.",
    "gen_ai.server.request.duration",
)
QUEUE_TIME = _seconds("request_queue_time_seconds", "From a request's arrival at the engine to its first step.")
PREFILL_TIME = _seconds("request_prefill_time_seconds", "From a request's first step to its first token.")
DECODE_TIME = _seconds("request_decode_time_seconds", "From the first token to the end; of the calls of e2e.")

PROMPT_TOKENS = _counter(
    "prompt_tokens",
    "Tokens of prompts and sources consumed.",
    otel="gen_ai.client.token.usage{gen_ai.token.type=input}",
    vllm=True,
)
GENERATION_TOKENS = _counter(
    "generation_tokens",
    "Tokens drawn; those that a client resumed with are not drawn again.",
    otel="gen_ai.client.token.usage{gen_ai.token.type=output}",
    vllm=True,
)
TOKENS_RESUMED = _counter("tokens_resumed", "Tokens that requests came with to be resumed behind, and are replayed.")
REQUEST_PROMPT = Metric(
    "request_prompt_tokens", Kind.HISTOGRAM, "Tokens of a prompt; of the calls of e2e.", _MODEL, _TOKENS, vllm=True
)
REQUEST_GENERATION = Metric(
    "request_generation_tokens",
    Kind.HISTOGRAM,
    "Tokens generated or scored, of all samples together; of the calls of e2e.",
    _MODEL,
    _TOKENS,
    vllm=True,
)
DRAFT_TOKENS = _counter("spec_decode_num_draft_tokens", "Tokens proposed by drafts.", vllm=True)
ACCEPTED_TOKENS = _counter("spec_decode_num_accepted_tokens", "Proposed tokens that the model drew, too.", vllm=True)

ROWS = _gauge("rows", "Samples that can run at once.")
ROWS_RUNNING = _gauge("rows_running", "Rows in use by running samples.")
ROWS_FREE = _gauge("rows_free", "Rows that nothing uses.")
STATE_BYTES = _gauge("state_bytes", "Memory allocated for the state of all rows.", unit="bytes")
STEP_ROWS = Metric("step_rows", Kind.HISTOGRAM, "Rows that got tokens together, by iteration.", _MODEL, _ROWS)
STEP_TIME = Metric(
    "step_duration_seconds",
    Kind.HISTOGRAM,
    "Steps and what is drawn from them. prefill: over prompts; decode: a token, or a draft, for every running row.",
    ("model_name", "phase"),
    _STEP_SECONDS,
    "s",
)

MODEL_INFO = _gauge("model_info", "1: what a version is.", ("model_name", "family", "precision", "device", "threads"))
LOAD_TIME = _gauge("model_load_seconds", "From a version's folder to its being ready.", unit="s")
VERSIONS = _gauge("model_versions", "Versions by state: ready, loading, unloading, failed.", ("state",))
LOADS = _counter("model_loads", "Versions that were loaded while serving, or could not be: ok, failed.", ("outcome",))
UNLOADS = _counter("model_unloads", "Versions that have gone while serving.", ())

BUILD_INFO = _gauge("build_info", "1: what runs.", ("version", "onnxruntime", "python"))
LOOP_LAG = Metric(
    "event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late the event loop comes to what is due, asked ten times a second.",
    (),
    _STEP_SECONDS,
    "s",
)

GROUPS: dict[str, tuple[Metric, ...]] = {
    "Requests": (
        REQUESTS_RUNNING,
        REQUESTS_WAITING,
        TOKENS_WAITING,
        QUEUE_LIMIT,
        REQUESTS,
        REFUSED,
        FINISHED,
        RESUMED,
    ),
    "Latency": (FIRST_TOKEN, INTER_TOKEN, LATENCY, QUEUE_TIME, PREFILL_TIME, DECODE_TIME),
    "Tokens": (
        PROMPT_TOKENS,
        GENERATION_TOKENS,
        TOKENS_RESUMED,
        REQUEST_PROMPT,
        REQUEST_GENERATION,
        DRAFT_TOKENS,
        ACCEPTED_TOKENS,
    ),
    "Steps and rows": (STEP_ROWS, STEP_TIME, ROWS, ROWS_RUNNING, ROWS_FREE, STATE_BYTES),
    "Models": (VERSIONS, LOADS, UNLOADS, LOAD_TIME, MODEL_INFO),
    "Process": (BUILD_INFO, LOOP_LAG),
}
ALL = tuple(metric for group in GROUPS.values() for metric in group)
