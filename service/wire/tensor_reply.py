"""One sample as responses of the Open Inference Protocol: one for what is new, as often as there is, or one in all.

The last response tells how it ended, beside the last tokens where there are any: none is ever empty. Knows nothing
about calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bundle.tokenizer import Tokenizer
from protos.inference import inference_pb2 as pb
from protos.seqstream.v1.generation_pb2 import GenerateRequest
from service.chunk import Chunk, Timings
from service.wire.convert import Ending
from service.wire.sample_reply import SampleReply
from service.wire.tensors import Kind, add_numbers, add_texts

OUTPUTS = {
    "text_output": Kind(("BYTES",)),
    "output_ids": Kind(("INT32",), single=False),
    "output_log_probs": Kind(("FP32",), single=False),
    "finish_reason": Kind(("BYTES",)),
    "num_input_tokens": Kind(("INT32",)),
    "num_output_tokens": Kind(("INT32",)),
}
# What costs the engine something is to be asked for.
USUAL_OUTPUTS = frozenset(OUTPUTS) - {"output_log_probs"}
# As vLLM has them. Which of ours it was is told by the parameter finish_reason.
_STOP, _LENGTH = "stop", "length"
_REASONS = {"END_OF_SEQUENCE": _STOP, "STOP_STRING": _STOP, "STOP_TOKEN": _STOP, "DEADLINE": "deadline"}


@dataclass(frozen=True, slots=True)
class Heading:
    """What is the same in all responses to a request. wanted: names of outputs.    whole: whether one answers it.

    streamed: whether responses are those of a stream.    request_id, seed: told at the end.
    """

    id: str
    name: str
    version: str
    request_id: str
    seed: int
    wanted: frozenset[str]
    whole: bool
    streamed: bool


@dataclass(slots=True)
class _New:
    """Tokens that no response has told yet, and what is known of them."""

    texts: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)


class TensorReply(SampleReply):
    """The only sample of a request, as responses to it."""

    def __init__(
        self, heading: Heading, tokenizer: Tokenizer, request: GenerateRequest, *, timed: bool = False
    ) -> None:
        """`request` as the engine's has it.    The rest as for any sample."""
        super().__init__(tokenizer, request, timed=timed)
        self._heading = heading
        self._new = _New()

    def deltas(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield new tokens and their text, but for the last of the sample, which come with its end."""
        done = 0
        for _, token_ids, text in self._pieces(chunk.token_ids):
            if self._new.token_ids and not self._heading.whole:
                yield self._response(self._take())
            self._new.texts.append(text)
            self._new.token_ids += token_ids
            if chunk.logprobs is not None:
                self._new.log_probs += [score.logprob for score in chunk.logprobs[done : done + len(token_ids)]]
            done += len(token_ids)
        ended = chunk.finish is not None or self.matched is not None
        if self._new.token_ids and not (ended or self._heading.whole):
            yield self._response(self._take())

    def end(
        self, ending: Ending, spent: Timings, prompt_tokens: int, drafts: tuple[int, int] = (0, 0)
    ) -> Iterator[bytes]:
        """Yield the last response."""
        text, ending = self._finish(ending)
        self._new.texts.append(text)
        reason = ending["reason"].removeprefix("FINISH_REASON_")
        response, wanted = self._take(), self._heading.wanted
        if "finish_reason" in wanted:
            add_texts(response, "finish_reason", [_REASONS.get(reason, _LENGTH)])
        for name, count in (("num_input_tokens", prompt_tokens), ("num_output_tokens", self.fresh)):
            if name in wanted:
                add_numbers(response, name, "INT32", [count])
        response.parameters["request_id"].string_param = self._heading.request_id
        response.parameters["seed"].uint64_param = self._heading.seed
        response.parameters["finish_reason"].string_param = reason
        yield self._response(response, final=True)

    def _take(self) -> pb.ModelInferResponse:
        """Return a response with what is new."""
        new, self._new, heading = self._new, _New(), self._heading
        response = pb.ModelInferResponse(model_name=heading.name, model_version=heading.version, id=heading.id)
        if "text_output" in heading.wanted:
            add_texts(response, "text_output", ["".join(new.texts)])
        if "output_ids" in heading.wanted:
            add_numbers(response, "output_ids", "INT32", new.token_ids)
        if "output_log_probs" in heading.wanted:
            add_numbers(response, "output_log_probs", "FP32", new.log_probs)
        return response

    def _response(self, response: pb.ModelInferResponse, final: bool = False) -> bytes:
        """Return a response as it is sent."""
        if not self._heading.streamed:
            return response.SerializeToString()
        response.parameters["triton_final_response"].bool_param = final
        return pb.ModelStreamInferResponse(infer_response=response).SerializeToString()
