"""The Open Inference Protocol as Triton's own client speaks it, unmodified, in a process of its own."""

import json

import numpy as np
import pytest

from tests.service.wire.asking import B, ask, text_of, tokens_of
from tests.service.wire.running import Running, until
from tests.service.wire.tensors import PROMPT, SAME, Asked, Triton, joined

ENDLESS = {"seed": 7, "max_tokens": 100_000, "ignore_eos": True}


async def test_the_whole_is_what_our_own_protocol_generates(running: Running, triton: Triton):
    events = await running.events(ask(PROMPT))
    answer = await triton("infer", running.address, Asked(PROMPT, id="42", parameters=SAME))
    assert (answer.text, answer.ids) == (text_of(events), tokens_of(events))
    assert (answer.id, answer.version) == ("42", "2")
    assert answer.values["finish_reason"] == ["length"]
    assert answer.values["num_input_tokens"] == [events[0].started.prompt_tokens]
    assert answer.values["num_output_tokens"] == [40]
    assert answer.parameters["finish_reason"] == "MAX_TOKENS"
    assert answer.parameters["seed"] == 7
    assert len(answer.parameters["request_id"]) == 16


async def test_token_ids_are_taken_as_they_are(running: Running, triton: Triton):
    request = ask()
    request.token_ids.ids.extend([5, 6, 7])
    expected = tokens_of(await running.events(request))
    for prompt in ([5, 6, 7], np.array([[5, 6, 7]], np.int32)):
        answer = await triton("infer", running.address, Asked(prompt, parameters=SAME, outputs=("output_ids",)))
        assert answer.values == {"output_ids": expected}


async def test_a_model_with_a_source_transforms_it(running: Running, triton: Triton):
    events = await running.events(ask("2026년 11월", "transformer"))
    answer = await triton("infer", running.address, Asked("2026년 11월", "transformer", parameters=SAME))
    assert answer.text == text_of(events)


async def test_a_version_can_be_named(running: Running, triton: Triton):
    answer = await triton("infer", running.address, Asked(PROMPT, version="1", parameters=SAME))
    assert answer.version == "1"
    missing = await triton("infer", running.address, Asked(PROMPT, version="3", parameters=SAME))
    assert missing.status == "StatusCode.NOT_FOUND"
    assert missing.error.startswith("no model 'gru@3'; there are: gru@1, gru@2")


@pytest.mark.parametrize("function", ["stream", "streams"])
async def test_a_stream_brings_the_same_piece_by_piece(running: Running, triton: Triton, function: str):
    events = await running.events(ask(PROMPT))
    seen = await triton(function, running.address, [Asked(PROMPT, id="a", parameters=SAME)])
    seen = seen[0] if function == "streams" else seen
    assert joined(seen) == (text_of(events), tokens_of(events))
    assert [one.final for one in seen] == [False] * (len(seen) - 1) + [True]
    assert {one.id for one in seen} == {"a"}
    assert ["finish_reason" in one.values for one in seen] == [one.final for one in seen]
    assert len(seen) > 1


async def test_the_last_response_comes_whether_or_not_an_empty_one_is_asked_for(running: Running, triton: Triton):
    asked = Asked(PROMPT, parameters=SAME, outputs=("text_output",))
    with_flag = Asked(PROMPT, parameters=SAME, outputs=("text_output",), options={"enable_empty_final_response": True})
    for one in (asked, with_flag):
        seen = await triton("stream", running.address, [one])
        assert [response.final for response in seen].count(True) == 1
        assert seen[-1].final
        assert set(seen[-1].values) == {"text_output"}


async def test_requests_share_a_stream_side_by_side(running: Running, triton: Triton):
    asked = [Asked(PROMPT, id=str(seed), parameters={**SAME, "seed": seed}) for seed in range(8)]
    seen = await triton("stream", running.address, asked)
    order = [one.id for one in seen]
    assert order != sorted(order, key=int)  # four rows: not one after the other
    for one in asked:
        own = [response for response in seen if response.id == one.id]
        assert joined(own)[1] == tokens_of(await running.events(ask(PROMPT, seed=one.parameters["seed"])))
        assert [response.final for response in own] == [False] * (len(own) - 1) + [True]


async def test_streams_run_side_by_side(running: Running, triton: Triton):
    asked = [Asked(PROMPT, parameters={**SAME, "seed": seed}) for seed in range(8)]
    found = await triton("streams", running.address, asked)
    for one, seen in zip(asked, found, strict=True):
        assert joined(seen)[1] == tokens_of(await running.events(ask(PROMPT, seed=one.parameters["seed"])))


async def test_the_error_of_one_request_leaves_the_stream_alive(running: Running, triton: Triton):
    bad = Asked(PROMPT, id="bad", parameters={**SAME, "top_p": 2.0})
    unknown = Asked(PROMPT, model="nope", parameters=SAME)
    good = Asked(PROMPT, id="good", parameters=SAME)
    seen = await triton("stream_in_turn", running.address, [bad, unknown, good])
    assert seen[0].error == "INVALID_ARGUMENT: parameters[top_p] is 2; allowed: over 0 to 1"
    assert seen[1].error.startswith("NOT_FOUND: no model 'nope'; there are: gru@1, gru@2")
    assert seen[0].status is seen[1].status is None
    assert joined(seen[2:])[1] == tokens_of(await running.events(ask(PROMPT)))


async def test_a_stream_that_asks_for_it_ends_with_the_status_of_the_first_error(running: Running, triton: Triton):
    bad = Asked(PROMPT, parameters={**SAME, "top_p": 2.0})
    (seen,) = await triton("stream", running.address, [bad], headers={"triton_grpc_error": "true"})
    assert seen.status == "StatusCode.INVALID_ARGUMENT"
    assert seen.error == "parameters[top_p] is 2; allowed: over 0 to 1"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked("x", parameters={"temperature": -1.0}), "parameters[temperature] is -1; allowed: 0 to 100"),
        (Asked("x", parameters={"temperature": "hot"}), 'parameters[temperature] is "hot"; allowed: a number'),
        (Asked("x", parameters={"top_k": True}), "parameters[top_k] is true; allowed: an integer, 0 or more"),
        (Asked("x", parameters={"top_k": -2}), "parameters[top_k] is -2; allowed: an integer, 0 or more"),
        (Asked("x", parameters={"max_tokens": 0}), "parameters[max_tokens] is 0; allowed: 1 to 100000"),
        (Asked("x", parameters={"seed": -1}), "parameters[seed] is -1; allowed: an integer"),
        (Asked("x", parameters={"max_token": 3}), "parameters[max_token] is not known; allowed: temperature, top_k, "),
        (Asked("x", parameters={"stop": ""}), "parameters[stop][0] is 0 bytes long; allowed: 1 to 256"),
        (Asked("x", options={"priority": 22}), "parameters[priority] is 22; allowed: 1, the most urgent, to 21"),
        (Asked("x", options={"timeout": -1}), "parameters[timeout] is -1; allowed: microseconds, 0 to"),
        (Asked("x", options={"sequence_id": 5}), "parameters[sequence_"),
        (Asked([5, 400]), "inputs[input_ids][1] is 400; allowed: 0 to 330, the vocabulary"),
        (Asked([5, -1]), "inputs[input_ids][1] is -1; allowed: ids of the vocabulary"),
        (Asked([]), "inputs[input_ids] is empty; allowed: at least one token"),
        (Asked(np.array([[5, 6], [7, 8]])), "inputs[input_ids].shape is [2, 2]; allowed: [n] or [1, n]"),
        (Asked(np.array([0.5])), "inputs[input_ids].datatype is 'FP64'; allowed: INT32, INT64"),
        (Asked("x", inputs={"input_ids": np.array([1])}), "inputs is text_input and input_ids; allowed: one of"),
        (Asked("x", inputs={"image": np.array([1])}), "inputs[1].name is 'image'; allowed: text_input, input_ids, "),
        (Asked("x", inputs={"exclude_input_in_output": np.array([False])}), "inputs[exclude_input_in_output] is false"),
        (Asked("x", inputs={"sampling_parameters": np.array([b"[1]"], object)}), "inputs[sampling_parameters] is no "),
        (Asked("x", outputs=("logits",)), "outputs[0].name is 'logits'; allowed: text_output, output_ids, "),
        (Asked("한" * 70, model="transformer-lm"), "inputs[text_input] is "),
    ],
)  # fmt: skip
async def test_bad_requests_are_told_what_is_wrong(running: Running, triton: Triton, asked: Asked, words: str):
    answer = await triton("infer", running.address, asked)
    assert answer.status == "StatusCode.INVALID_ARGUMENT"
    assert answer.error.startswith(words)


async def test_several_faults_are_told_together(running: Running, triton: Triton):
    answer = await triton("infer", running.address, Asked("x", parameters={"top_p": 2.0, "min_p": -1.0, "what": 1}))
    assert answer.error.endswith("(and 2 more)")


async def test_sampling_parameters_may_come_as_json(running: Running, triton: Triton):
    given = {
        **SAME,
        "stop": ["zzzz", "B"],
        "top_k": -1,
        "logit_bias": {str(B): 100},
        "include_stop_str_in_output": True,
    }
    inputs = {"sampling_parameters": np.array([json.dumps(given)], object), "stream": np.array([False])}
    inputs["exclude_input_in_output"] = np.array([True])
    whole = await triton("infer", running.address, Asked(PROMPT, inputs=inputs))
    assert (whole.text, whole.ids) == ("B", [B])
    assert (whole.values["finish_reason"], whole.parameters["finish_reason"]) == (["stop"], "STOP_STRING")
    (streamed,) = await triton("stream", running.address, [Asked(PROMPT, inputs=inputs)])
    assert (streamed.text, streamed.final) == ("B", True)
    over = await triton("infer", running.address, Asked(PROMPT, inputs=inputs, parameters={"stop": "never"}))
    assert over.ids == [B] * 40


async def test_log_probabilities_are_told_if_asked_for(running: Running, triton: Triton):
    request = ask(PROMPT)
    request.output.logprobs = True
    events = await running.events(request)
    expected = [score.logprob for event in events for score in event.delta.logprobs]
    outputs = ("output_log_probs", "output_ids")
    seen = await triton("stream", running.address, [Asked(PROMPT, parameters=SAME, outputs=outputs)])
    assert [value for one in seen for value in one.values["output_log_probs"]] == expected
    assert all(len(one.values["output_log_probs"]) == len(one.ids) for one in seen)


async def test_cancelling_a_stream_frees_its_rows(running: Running, triton: Triton):
    seen = await triton("cancel_after", running.address, Asked(PROMPT, parameters=ENDLESS), 3)
    assert len(seen) >= 3
    assert seen[-1].status in (None, "StatusCode.CANCELLED")
    await until(running.idle)


async def test_cancelling_a_call_for_the_whole_frees_its_row(running: Running, triton: Triton, told):
    status = await triton("cancel_infer", running.address, Asked(PROMPT, parameters=ENDLESS), 0.3)
    assert status == "StatusCode.CANCELLED"
    await until(running.idle)
    line = await told()
    assert (line["method"], line["status"]) == ("ModelInfer", "CANCELLED")


async def test_a_deadline_brings_what_there_is_until_then(running: Running, triton: Triton):
    deadline = Asked(PROMPT, parameters=ENDLESS, options={"client_timeout": 1.0})
    answer = await triton("infer", running.address, deadline)
    assert answer.values["finish_reason"] == ["deadline"]
    assert len(answer.ids) == answer.values["num_output_tokens"][0] > 0
    seen = await triton("stream_until_deadline", running.address, Asked(PROMPT, parameters=ENDLESS), 1.0)
    assert seen[-1].final
    assert seen[-1].values["finish_reason"] == ["deadline"]
    await until(running.idle)


async def test_a_timeout_in_microseconds_ends_one_request(running: Running, triton: Triton):
    asked = Asked(PROMPT, parameters=ENDLESS, options={"timeout": 300_000})
    seen = await triton("stream", running.address, [asked])
    assert seen[-1].values["finish_reason"] == ["deadline"]
    assert seen[-1].parameters["finish_reason"] == "DEADLINE"
