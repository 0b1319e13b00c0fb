"""What a request of the Open Inference Protocol asks for: as a GenerateRequest, and which tensors are to come back.

The tensors are those of Triton's vLLM backend, and token ids. Knows nothing about models or calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protos.inference import inference_pb2 as pb
from protos.seqstream.v1 import generation_pb2
from service.wire.checks import Checks
from service.wire.parameters import Told, parse, plain, read_parameters
from service.wire.tensor_reply import OUTPUTS, USUAL_OUTPUTS
from service.wire.tensors import Kind, Value, read_outputs, read_tensors

_TEXT, _IDS, _PARAMETERS = "text_input", "input_ids", "sampling_parameters"
_STREAM, _EXCLUDE = "stream", "exclude_input_in_output"
INPUTS = {
    _TEXT: Kind(("BYTES",)),
    _IDS: Kind(("INT32", "INT64"), single=False),
    _PARAMETERS: Kind(("BYTES",)),
    _STREAM: Kind(("BOOL",)),
    _EXCLUDE: Kind(("BOOL",)),
}
# What the fields of a GenerateRequest are called here, those that no parameter is for.
_NAMES = {
    "text": f"inputs[{_TEXT}]",
    "token_ids.ids": f"inputs[{_IDS}]",
    "stop.max_new_tokens": "parameters[max_tokens]",
}
_MOST_ID = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class InferRequest:
    """wire: the same for GenerationService.    checks: what is wrong with it until now.

    seconds: that it may take, or None.    wanted: names of outputs.    whole: whether one response answers it.
    """

    wire: generation_pb2.GenerateRequest
    checks: Checks
    seconds: float | None
    wanted: frozenset[str]
    whole: bool


def read_infer(request: pb.ModelInferRequest) -> InferRequest:
    """Return what `request` asks for.

    Raises:
        Refusal: INVALID_ARGUMENT, it has no usable prompt.
    """
    wire, told = generation_pb2.GenerateRequest(model=request.model_name), Told(names=dict(_NAMES))
    checks = Checks(told.named)
    inputs = read_tensors(request, INPUTS, checks)
    wanted = read_outputs(request, OUTPUTS, checks) or USUAL_OUTPUTS
    if _PARAMETERS in inputs:
        place = f"inputs[{_PARAMETERS}]"
        read_parameters(parse(_bytes(inputs[_PARAMETERS]), place, checks), place, wire, told, checks)
    read_parameters(plain(request.parameters), "parameters", wire, told, checks)
    excluded = bool(inputs.get(_EXCLUDE, [True])[0])
    checks.require(excluded, f"inputs[{_EXCLUDE}]", "false", "true; the output never holds the input")
    if not _set_prompt(request, inputs, wire, checks):
        checks.raise_if_any()
    wire.output.logprobs = "output_log_probs" in wanted
    wire.output.omit_text = "text_output" not in wanted and not wire.stop.stop_strings
    return InferRequest(wire, checks, told.seconds, wanted, not inputs.get(_STREAM, [True])[0])


def _set_prompt(
    request: pb.ModelInferRequest, inputs: dict[str, list[Value]], wire: generation_pb2.GenerateRequest, checks: Checks
) -> bool:
    """Set the prompt, text or token ids; return whether there is one that can be."""
    given = [tensor.name for tensor in request.inputs[: len(INPUTS)] if tensor.name in (_TEXT, _IDS)]
    allowed = f"one of {_TEXT} and {_IDS}"
    if not checks.require(len(given) == 1, "inputs", " and ".join(given) or "without a prompt", allowed):
        return False
    if _IDS in inputs:
        return _set_ids([int(token_id) for token_id in inputs[_IDS]], wire, checks)
    if _TEXT not in inputs:  # not sound, which is known
        return False
    try:
        wire.text = _bytes(inputs[_TEXT]).decode()
    except UnicodeDecodeError as error:
        return checks.require(False, f"inputs[{_TEXT}]", f"no UTF-8 at byte {error.start}", "text in UTF-8")
    return True


def _set_ids(token_ids: Sequence[int], wire: generation_pb2.GenerateRequest, checks: Checks) -> bool:
    wire.token_ids.SetInParent()
    if token_ids and not 0 <= min(token_ids) <= max(token_ids) <= _MOST_ID:
        place = next(n for n, token_id in enumerate(token_ids) if not 0 <= token_id <= _MOST_ID)
        return checks.require(False, f"inputs[{_IDS}][{place}]", token_ids[place], "ids of the vocabulary, from 0")
    wire.token_ids.ids.extend(token_ids)
    return True


def _bytes(values: Sequence[Value]) -> bytes:
    (value,) = values
    assert isinstance(value, bytes), "elements of BYTES are"
    return value
