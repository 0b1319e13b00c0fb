"""Which systems are measured, at how many bits, and how the process of each is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.peers.place import Place
from benchmarks.peers.texts import held_out_file

_SYSTEMS = "benchmarks.peers.systems"


@dataclass(frozen=True, slots=True)
class System:
    """One system at one precision.

    Attributes:
        name: of files.
        label: for people.
        bits: of the weights: 32, 8 or 4. Systems of equal bits take turns.
        model: its folder or file in the place of models.
        command: of the peer's process; None where it is our server.
        flags: of our server.
    """

    name: str
    label: str
    bits: int
    model: str
    command: Callable[[Place, str], list[str]] | None = None
    flags: Sequence[str] = field(default=())

    @property
    def is_ours(self) -> bool:
        return self.command is None


def _module(name: str, *more: str) -> Callable[[Place, str], list[str]]:
    def command(place: Place, model: str) -> list[str]:
        flags = (str(place.model(model)), str(place.threads), *more)
        return [str(place.python), "-m", f"{_SYSTEMS}.{name}", *flags]

    return command


def _llama(place: Place, model: str) -> list[str]:
    return _module("llama_cpp", str(place.llama), str(held_out_file(place.folder)))(place, model)


def _translate(kind: str) -> Callable[[Place, str], list[str]]:
    def command(place: Place, model: str) -> list[str]:
        return [str(place.python), "-m", f"{_SYSTEMS}.translate", kind, str(place.model(model)), str(place.threads)]

    return command


_EXACT, _OWN = _module("openvino_genai", "f32"), _module("openvino_genai", "default")

LANGUAGE = (
    System("ours-fp32", "seqstream fp32", 32, "ours-fp32"),
    System("llama-f32", "llama.cpp F32", 32, "llama-f32.gguf", _llama),
    System("onnx-genai-fp32", "onnxruntime-genai fp32", 32, "onnx-genai-fp32", _module("onnx_genai")),
    System("openvino-fp32", "openvino-genai fp32", 32, "openvino-fp32", _EXACT),
    System("ctranslate2-fp32", "ctranslate2 fp32", 32, "ctranslate2-fp32", _module("ctranslate")),
    System("transformers-fp32", "transformers fp32", 32, "checkpoint", _module("eager")),
    System("ours-w8a8", "seqstream w8a8", 8, "ours-w8a8"),
    System("ours-w8a8-int8-cache", "seqstream w8a8, int8 cache", 8, "ours-w8a8-int8-cache"),
    System("ours-int8", "seqstream int8", 8, "ours-int8"),
    System("llama-q8_0", "llama.cpp Q8_0", 8, "llama-q8_0.gguf", _llama),
    System("onnx-genai-int8", "onnxruntime-genai int8", 8, "onnx-genai-int8", _module("onnx_genai")),
    System("openvino-int8", "openvino-genai int8", 8, "openvino-int8", _OWN),
    System("openvino-int8-f32", "openvino-genai int8, f32 math", 8, "openvino-int8", _EXACT),
    System("ctranslate2-int8", "ctranslate2 int8", 8, "ctranslate2-int8", _module("ctranslate")),
    System("ours-int4", "seqstream int4", 4, "ours-int4"),
    System("llama-q4_1", "llama.cpp Q4_1", 4, "llama-q4_1.gguf", _llama),
    System("llama-q4_0", "llama.cpp Q4_0", 4, "llama-q4_0.gguf", _llama),
    System("onnx-genai-int4", "onnxruntime-genai int4", 4, "onnx-genai-int4", _module("onnx_genai")),
    System("openvino-int4", "openvino-genai int4", 4, "openvino-int4", _OWN),
)

_CT2, _CT2_ALONE = _translate("ctranslate2"), _translate("ctranslate2-alone")

TRANSLATION = (
    System("ours-fp32", "seqstream fp32", 32, "ours-marian-fp32"),
    System("ctranslate2-fp32", "ctranslate2 float32, one batch", 32, "marian-ct2-float32", _CT2),
    System("ctranslate2-fp32-alone", "ctranslate2 float32, one by one", 32, "marian-ct2-float32", _CT2_ALONE),
    System("transformers-fp32", "transformers, one batch", 32, "marian", _translate("transformers")),
    System("ours-w8a8", "seqstream w8a8", 8, "ours-marian-w8a8"),
    System("ctranslate2-int8", "ctranslate2 int8, one batch", 8, "marian-ct2-int8", _CT2),
    System("ctranslate2-int8-alone", "ctranslate2 int8, one by one", 8, "marian-ct2-int8", _CT2_ALONE),
)
