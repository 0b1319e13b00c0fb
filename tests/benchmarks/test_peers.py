"""The run that measures peers beside ours: turns, what figures mean, texts, tables. Peers here are this file's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import bare
from benchmarks.peers import summary, texts, untrained
from benchmarks.peers.catalogue import LANGUAGE, TRANSLATION, System
from benchmarks.peers.contestant import Answer, Failure, running
from benchmarks.peers.place import Place
from benchmarks.peers.results import FAILED, Results
from benchmarks.peers.turns import Case, figures, line_up, take_turns
from bundle.folder import open_bundle
from bundle.runner import Runner

# A peer in the words of systems/answers.py: token n of stream s comes after s + n / 10 seconds; asked for 13 it dies.
PEER = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "windows" in asked:
        answer = {"loss": float(sum(len(w) - 1 - asked["first"] for w in asked["windows"]))}
    elif asked["new_tokens"] == 13:
        sys.exit(1)
    elif asked["new_tokens"] == 14:
        answer = {"error": "ValueError: no"}
    else:
        streams = range(len(asked["prompts"]))
        answer = {"arrivals": [[s + n / 10 for n in range(1, asked["new_tokens"] + 1)] for s in streams],
                  "tokens": [[7] * asked["new_tokens"] for _ in streams], "resident_bytes": 5}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "peer.py").write_text(PEER)
    nowhere = Path("nowhere")
    return Place(tmp_path, Path(sys.executable), nowhere, nowhere, nowhere)


def peer(place, name="peer"):
    return System(name, name, 32, "", lambda *_: [sys.executable, str(place.folder / "peer.py")])


def case(new_tokens=4, rounds=3):
    return Case("case", lambda number: [[1, 2], [3]], new_tokens, rounds, seconds=60.0)


def test_a_peer_is_asked_by_lines(place):
    with running(peer(place), place, place.folder / "log") as contestant:
        answer = contestant.generate([[1], [2, 3]], 2, timeout=20)
        assert answer == Answer([[0.1, 0.2], [1.1, 1.2]], [[7, 7], [7, 7]], 5)
        assert contestant.loss([[1, 2, 3, 4]], 1, timeout=20) == 2.0
        with pytest.raises(Failure, match="ValueError: no"):
            contestant.generate([[1]], 14, timeout=20)
        with pytest.raises(Failure, match=r"ended with(out an answer| code)"):
            contestant.generate([[1]], 13, timeout=20)


def test_one_that_fails_is_told_and_the_others_are_measured(place):
    results = Results(place.results)
    absent = System("absent", "absent", 32, "not-there", lambda *_: ["false"])
    told: list[str] = []
    with line_up([absent, peer(place)], place, told.append) as up:
        take_turns(case(), up, place, results)
    assert "not-there was not prepared" in told[0]
    found = results.all()["case"]
    assert "not-there" in found["absent"][FAILED]
    assert found["peer"]["rounds"] == 3


def test_a_run_goes_on_where_it_was_and_tries_again_what_failed(place):
    results = Results(place.results)
    results.put("case", "peer", {"rounds": 1})
    results.put("case", "again", {FAILED: "once"})
    with line_up([peer(place), peer(place, "again")], place, print) as up:
        take_turns(case(), up, place, results)
    assert results.all()["case"]["peer"] == {"rounds": 1}
    assert results.all()["case"]["again"]["rounds"] == 3


def test_too_few_tokens_are_a_failure(place):
    class Short:
        def generate(self, prompts, new_tokens, timeout):
            return Answer([[0.1] * (new_tokens - 1) for _ in prompts], [], 0)

    results = Results(place.results)
    take_turns(case(), {"short": Short()}, place, results)
    assert results.all()["case"]["short"][FAILED] == "3 of 4 tokens came"


def test_rates_are_from_the_first_request_to_the_last_token():
    answers = [Answer([[1.0, 1.5, 2.0], [2.0, 3.0, 4.0]], [], 9)]
    found = figures(answers)
    assert found["tokens_per_second"] == 6 / 4
    assert found["decode_tokens_per_second"] == 2 / 1.0 + 2 / 2.0
    assert found["first_token_seconds"] == 1.5
    assert found["gap_seconds_50"] == 0.75
    assert found["resident_bytes"] == 9


def test_held_out_text_is_in_no_text_for_calibration(tmp_path):
    texts.write(tmp_path)
    held_out = texts.held_out_file(tmp_path).read_text()
    calibration = texts.calibration_file(tmp_path).read_text()
    lines = {line.strip() for line in calibration.splitlines() if len(line.strip()) > 40}
    shared = [line for line in held_out.splitlines() if line.strip() in lines]
    assert not shared
    assert len(texts.pairs_file(tmp_path).read_text().splitlines()) == 400


def test_prompts_are_of_16_to_200_tokens_and_new_in_every_round(tmp_path):
    class Words:
        def encode(self, text, add_special_tokens):
            return type("Encoding", (), {"ids": list(range(len(text.split())))})

    assert texts.spread(8)[0] == 16
    assert texts.spread(8)[-1] == 200
    first, again, other = (texts.prompts(Words(), texts.spread(8), seed) for seed in (1, 1, 2))
    assert [len(prompt) for prompt in first] == texts.spread(8)
    assert first == again != other


def test_tables_are_there_before_anything_is_measured_and_name_what_did_not_run():
    empty = summary.tables({"peers": {}, "ours": {}, "features": [], "date": "", "processor": "", "cores": 2,
                            "memory_bytes": 0, "python": "", "threads": 2}, {})  # fmt: skip
    assert empty["not run"] == "Everything ran."
    failed = {"language-1": {"llama-f32": {FAILED: "no such program"}}}
    assert "| llama.cpp F32 | language-1 | no such program |" in summary._not_run(failed)


def test_the_page_has_a_place_for_every_table():
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    growth = {name: {FAILED: ""} for name in ("context", "streams", "vocabulary", "prompt")}
    machine = {"peers": {}, "ours": {}, "features": [], "date": "", "processor": "", "cores": 2, "memory_bytes": 0,
               "python": "", "threads": 2}  # fmt: skip
    names = [*summary.tables(machine, {"growth": growth}), *(f"growth {name}" for name in growth)]
    for name in names:
        assert f"<!-- {name} -->\n" in page
        assert f"<!-- /{name} -->" in page


def test_names_of_systems_are_their_own():
    for systems in (LANGUAGE, TRANSLATION):
        assert len({one.name for one in systems}) == len(systems)


def test_results_are_one_file_a_system(tmp_path):
    results = Results(tmp_path)
    results.put("a", "b", {"x": 1})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"x": 1}
    assert results.has("a", "b")
    assert not results.has("a", "c")


def test_a_bundle_of_an_untrained_model_runs(tmp_path):
    config = {"width": 32, "layers": 2, "heads": 2, "vocabulary_size": 70, "context_limit": 64}
    models = untrained.prepare(tmp_path, "transformer-lm", config)
    rate = bare.tokens_per_second(Runner(open_bundle(models / untrained.NAME / "1"), threads=1), 2, 3)
    assert rate > 0
    assert untrained.prepare(tmp_path, "transformer-lm", config) == models
