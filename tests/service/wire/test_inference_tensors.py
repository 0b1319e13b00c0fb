"""The Open Inference Protocol by its own messages: typed and raw contents, and those that are broken."""

import grpc
import pytest

from protos.inference import inference_pb2 as pb
from tests.service.wire.asking import ask, text_of, tokens_of
from tests.service.wire.inferring import PROMPT, ids_of, infer, refused, stub
from tests.service.wire.running import Running


async def test_typed_contents_are_read_as_raw_ones_are(running: Running):
    events = await running.events(ask(PROMPT))
    response = await stub(running).ModelInfer(infer())
    assert ids_of(response) == tokens_of(events)
    text = response.raw_output_contents[[output.name for output in response.outputs].index("text_output")]
    assert (int.from_bytes(text[:4], "little"), text[4:].decode()) == (len(text) - 4, text_of(events))
    request = ask()
    request.token_ids.ids.extend([5, 6, 7])
    assert ids_of(await stub(running).ModelInfer(infer([5, 6, 7]))) == tokens_of(await running.events(request))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.raw_input_contents.append(b"x"), "inputs[text_input].contents is set; allowed: unset, with raw"),
        (lambda r: r.raw_input_contents.extend([b"", b""]), "raw_input_contents is 2 entries; allowed: none, or one "),
        (lambda r: r.inputs[0].contents.int_contents.append(1), "inputs[text_input].contents is in int_contents; "),
        (lambda r: r.inputs[0].contents.bytes_contents.append(b""), "inputs[text_input] is 2 elements; allowed: 1, "),
        (lambda r: r.inputs[0].ClearField("contents"), "inputs[text_input] is 0 elements; allowed: 1, by its shape"),
        (lambda r: r.inputs[0].ClearField("shape"), "inputs[text_input].shape is []; allowed: [1] or [1, 1]"),
        (lambda r: r.inputs[0].shape.extend([1 << 62] * 100_000), "inputs[text_input].shape is [1, 46116860184273"),
        (lambda r: r.inputs[0].contents.bytes_contents.__setitem__(0, b"a\xff"), "inputs[text_input] is no UTF-8 at "),
        (lambda r: r.inputs.extend([r.inputs[0]]), "inputs[text_input] is there more than once; allowed: once"),
        (lambda r: r.inputs.extend([pb.ModelInferRequest.InferInputTensor()] * 100_000), "inputs is 100001 entries; "),
        (lambda r: r.outputs.extend([pb.ModelInferRequest.InferRequestedOutputTensor()] * 9), "outputs is 9 entries; "),
        (lambda r: r.ClearField("inputs"), "inputs is without a prompt; allowed: one of text_input and input_ids"),
        (
            lambda r: r.inputs[0].parameters["shared_memory_region"].SetInParent(),
            "inputs[text_input].parameters is shared_memory_region; allowed: none; there is no shared memory here",
        ),
        (lambda r: r.parameters["top_p"].SetInParent(), "parameters[top_p] is null; allowed: a number"),
        (lambda r: [r.parameters[str(n)].SetInParent() for n in range(99)], "parameters is 102 entries; allowed: at "),
    ],
)
async def test_broken_tensors_are_told_what_is_wrong(running: Running, change, words: str):
    request = infer()
    change(request)
    code, message = await refused(stub(running).ModelInfer(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith(words)


@pytest.mark.parametrize(
    ("name", "datatype", "content", "words"),
    [
        ("text_input", "BYTES", b"\x09\0\0\0abc", "inputs[text_input] is 7 bytes; allowed: one element of BYTES"),
        ("text_input", "BYTES", b"", "inputs[text_input] is 0 bytes; allowed: one element of BYTES"),
        ("input_ids", "INT32", b"\x05\0\0\0\x06", "inputs[input_ids] is 5 bytes; allowed: a multiple of 4"),
        ("input_ids", "INT64", b"\x05\0\0\0\0\0\0\0" * 2, "inputs[input_ids] is 2 elements; allowed: 1, by its shape"),
    ],
)
async def test_broken_raw_contents_are_told_what_is_wrong(running: Running, name, datatype, content, words):
    request = pb.ModelInferRequest(model_name="gru", raw_input_contents=[content])
    request.inputs.add(name=name, datatype=datatype, shape=[1])
    code, message = await refused(stub(running).ModelInfer(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith(words)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 60_000, b'{"seed": 1' + b"0" * 5000 + b"}", b'{"stop": ["\\ud800"]}',
     b'{"temperature": NaN}', b'{"logit_bias": {"1e9": 3}}',
     b'{"logit_bias": {"99999999999": 1}}', b'{"stop_token_ids": [true]}', b" " * 70_000],
)  # fmt: skip
async def test_json_that_makes_no_sense_is_an_invalid_argument(running: Running, text: bytes):
    request = infer()
    tensor = request.inputs.add(name="sampling_parameters", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(text)
    code, message = await refused(stub(running).ModelInfer(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("inputs[sampling_parameters]")
