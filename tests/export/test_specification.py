import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import open_bundle
from bundle.manifest import Manifest, StateSpec
from bundle.runner import Runner
from bundle.tokenizer import Tokenizer
from export.contract import CROWD, GREEDY_TOKENS, contract
from tests.exported import Bundles

PAGE = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")


def generated_by_the_runner(path: Path, prompt: str, count: int) -> str:
    bundle = open_bundle(path)
    special, runner = bundle.manifest.special_tokens, Runner(bundle, threads=1)
    tokenizer, rows = Tokenizer.load(path / "tokenizer.json"), runner.allocate(1)
    tokens = [special.bos]
    if bundle.manifest.has_start:
        source = Tokenizer.load(path / "source_tokenizer.json").encode(prompt)
        runner.start(rows, 0, np.array([*source, special.eos]))
    else:
        tokens += tokenizer.encode(prompt)
    generated: list[int] = []
    while len(generated) < count:
        tokens = [int(runner.step(rows, 0, np.array([tokens]), np.array([len(tokens)])).top_indices[0, 0])]
        if tokens == [special.eos]:
            break
        generated += tokens
    return tokenizer.decode(generated)


@pytest.mark.parametrize("label", ["ngram", "gru", "transformer-lm", "transformer", "gru-seq2seq"])
def test_the_runtime_of_the_page_generates_what_the_runner_generates(bundles: Bundles, label: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    prompt = "28 Kasım" if open_bundle(bundles.path(label)).manifest.has_start else "The quick"
    placed = code.replace("models/mine/1", str(bundles.path(label))).replace('"def "', repr(prompt))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(placed, "docs/bundle.md", "exec"), {})
    expected = generated_by_the_runner(bundles.path(label), prompt, 40)
    assert expected and printed.getvalue() == expected + "\n"


@pytest.mark.parametrize("model", [Manifest, StateSpec])
def test_every_field_is_on_the_page(model: type[Manifest] | type[StateSpec]) -> None:
    assert [field for field in model.model_fields if f"`{field}`" not in PAGE] == []


def test_every_check_is_on_the_page_with_its_tolerance() -> None:
    for check in contract():
        tolerance = re.sub("e-0", "e-", f"{check.tolerance:.0e}") if check.tolerance else "0"
        assert re.search(rf"\| `{check.name}` \|.*\| {tolerance} \|", PAGE), check.name
    assert f"{CROWD} rows that decode" in PAGE and f"{GREEDY_TOKENS} tokens chosen" in PAGE
