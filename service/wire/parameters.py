"""How a generation is asked for by parameters, in the words of vLLM's SamplingParams, which Triton's clients use.

They come with a request of the Open Inference Protocol, or as a JSON object in one of its tensors, and become fields of
a GenerateRequest, whose limits are checked there. Knows nothing about tensors or models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from protos.inference import inference_pb2
from protos.seqstream.v1 import generation_pb2 as pb
from service.wire.checks import Checks

MOST_JSON_BYTES = 64 << 10
# Triton's levels of priority begin with the most urgent. This one is as urgent as a request without any.
_USUAL_PRIORITY, _MOST_PRIORITY = 11, 21
_MOST_TIMEOUT_US = 86_400_000_000
_LONGEST_SHOWN = 60

Values = Mapping[str, object]


@dataclass(slots=True)
class Told:
    """What parameters tell beside the fields of the request. seconds: that the request may take, or None.

    names: what fields of the request are called, by their paths in it.
    """

    seconds: float | None = None
    names: dict[str, str] = field(default_factory=dict)

    def named(self, path: str) -> str:
        """Return what the client calls a field of the request."""
        own, bracket, place = path.partition("[")
        return self.names.get(own, own) + bracket + place


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value may be, and what becomes of it."""

    allowed: str
    read: Callable[[object], object | None]


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():  # some languages have no other number
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _several(value: object, kind: type) -> list[object] | None:
    values = value if isinstance(value, list) else [value]
    return values if all(type(one) is kind for one in values) else None


def _biases(value: object) -> dict[int, float] | None:
    if not isinstance(value, dict) or not all(isinstance(key, str) and key.isdecimal() for key in value):
        return None
    biases = {int(key): _number(bias) for key, bias in value.items()}
    return {key: bias for key, bias in biases.items() if bias is not None} if None not in biases.values() else None


_NUMBER = _Kind("a number", _number)
_INTEGER = _Kind("an integer", _integer)
# As vLLM says that all are kept.
_TOP_K = _Kind("an integer, 0 or more", lambda value: 0 if value == -1 else _integer(value))
_FLAG = _Kind("true or false", _flag)
_TEXTS = _Kind("a text, or in JSON a list of them", lambda value: _several(value, str))
_IDS = _Kind("a token id, or in JSON a list of them", lambda value: _several(value, int))
_BIASES = _Kind("in JSON, an object of numbers by token ids", _biases)

_FIELDS: dict[str, tuple[str, _Kind]] = {
    "temperature": ("sampling.temperature", _NUMBER),
    "top_k": ("sampling.top_k", _TOP_K),
    "top_p": ("sampling.top_p", _NUMBER),
    "min_p": ("sampling.min_p", _NUMBER),
    "typical_p": ("sampling.typical_p", _NUMBER),
    "repetition_penalty": ("sampling.repetition_penalty", _NUMBER),
    "presence_penalty": ("sampling.presence_penalty", _NUMBER),
    "frequency_penalty": ("sampling.frequency_penalty", _NUMBER),
    "logit_bias": ("sampling.logit_bias", _BIASES),
    "banned_token_ids": ("sampling.banned_token_ids", _IDS),
    "max_tokens": ("stop.max_new_tokens", _INTEGER),
    "min_tokens": ("stop.min_new_tokens", _INTEGER),
    "stop": ("stop.stop_strings", _TEXTS),
    "stop_token_ids": ("stop.stop_token_ids", _IDS),
    "ignore_eos": ("stop.ignore_end_of_sequence", _FLAG),
    "include_stop_str_in_output": ("stop.include_stop_string", _FLAG),
    "seed": ("seed", _INTEGER),
}
# Of any request of Triton's. The last asks for a last response even if it is empty: it comes anyway, and never is.
_TIMEOUT, _PRIORITY, _EMPTY_FINAL = "timeout", "priority", "triton_enable_empty_final_response"
_NAMES = (*_FIELDS, _TIMEOUT, _PRIORITY, _EMPTY_FINAL)


def plain(parameters: Mapping[str, inference_pb2.InferParameter]) -> Values:
    """Return the values of a request's parameters; None for those that have none."""
    chosen = {name: one.WhichOneof("parameter_choice") for name, one in parameters.items()}
    return {name: getattr(parameters[name], choice) if choice else None for name, choice in chosen.items()}


def parse(text: bytes, place: str, checks: Checks) -> Values:
    """Return the values in a JSON object; none where there is something else, which `checks` then knows."""
    if not checks.require(len(text) <= MOST_JSON_BYTES, place, f"{len(text)} bytes", f"at most {MOST_JSON_BYTES}"):
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    sound = checks.require(isinstance(values, dict), place, "no JSON object", 'such as {"temperature": 0.8}')
    return values if sound else {}


def read_parameters(values: Values, place: str, request: pb.GenerateRequest, told: Told, checks: Checks) -> None:
    """Put values into the fields of `request` and into `told`.    place: where they are in what the client sent."""
    if not checks.count(place, list(values), len(_NAMES)):
        return
    for name, value in values.items():
        own = f"{place}[{_readable(name)}]"
        if name in _FIELDS:
            path, kind = _FIELDS[name]
            told.names[path] = own
            checks.require(_put(request, path, kind.read(value)), own, _shown(value), kind.allowed)
        elif name == _TIMEOUT:
            told.seconds = _microseconds(_integer(value), own, _shown(value), checks)
        elif name == _PRIORITY:
            level = _integer(value)
            sound = level is not None and 0 <= level <= _MOST_PRIORITY
            checks.require(
                sound, own, _shown(value), f"1, the most urgent, to {_MOST_PRIORITY}; 0 is as {_USUAL_PRIORITY}"
            )
            request.priority = _USUAL_PRIORITY - level if sound and level else 0
        else:
            checks.require(name == _EMPTY_FINAL, own, "not known", ", ".join(_NAMES))


def _put(request: pb.GenerateRequest, path: str, value: object | None) -> bool:
    """Set a field, and tell whether the value fits into it."""
    if value is None:
        return False
    part, _, name = path.rpartition(".")
    target: Message = getattr(request, part) if part else request
    target.ClearField(name)
    try:
        target.MergeFrom(type(target)(**{name: value}))
    except (TypeError, ValueError):
        return False
    return True


def _microseconds(given: int | None, place: str, shown: str, checks: Checks) -> float | None:
    """Return so many microseconds in seconds; 0 is as none."""
    sound = given is not None and 0 <= given <= _MOST_TIMEOUT_US
    checks.require(sound, place, shown, f"microseconds, 0 to {_MOST_TIMEOUT_US}; 0: any time")
    return given / 1e6 if sound and given else None


def _shown(value: object) -> str:
    """Return a value as JSON has it, or how long it is."""
    text = json.dumps(value, ensure_ascii=False)
    return _readable(text) if len(text) <= _LONGEST_SHOWN else f"{len(text)} characters long"


def _readable(text: str) -> str:
    """Return what can be told of a text: JSON can write halves of characters, which UTF-8 cannot."""
    return text.encode(errors="replace").decode()
