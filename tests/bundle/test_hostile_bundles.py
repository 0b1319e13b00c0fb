"""Bundles whose maker means harm, with a manifest to fit: refused with one line, and nothing of them is served."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.damage import ACCIDENTS, sign
from benchmarks.reliability.documents import NAMES, TEXTS, TOKENIZERS, named
from bundle.folder import CHAT_TEMPLATE, MANIFEST, BundleError, open_bundle
from bundle.trial import bad_bundles, try_aside
from service.chat import Chat, ChatError
from service.engine import EngineSettings
from service.loading import Loader, load_models
from tests.exported import Bundles
from tests.service.wire.running import ENVIRONMENT, ROOT

SETTINGS = EngineSettings(rows=4)
ENTRY = {"sha256": "0" * 64, "bytes": 1}
GOOD = """
import sys
from pathlib import Path
from bundle.trial import bad_bundles
assert not bad_bundles(Path(sys.argv[1]))
"""
# A trial whose graph ends the process, and one that never comes back.
TRIED = """
import os, signal, sys, time
from pathlib import Path
from bundle import trial
class Runner:
    def __init__(self, *arguments, **more): pass
    def try_out(self): {what}
trial.Runner, trial._SECONDS = Runner, 1
(error,) = trial.bad_bundles(Path(sys.argv[1])).values()
print(error)
"""
# What a process finds before it opens anything: a Runner that ends it.
DEADLY = """
import os, signal
from bundle import runner
class Runner:
    def __init__(self, *arguments, **more): os.kill(os.getpid(), signal.SIGSEGV)
runner.Runner = Runner
"""


@pytest.fixture
def models(bundles: Bundles, tmp_path: Path) -> Path:
    shutil.copytree(bundles.path("gru"), tmp_path / "gru" / "1")
    return tmp_path


def refusal(models: Path) -> str:
    with pytest.raises(BundleError) as error:
        load_models(Loader(models, "cpu", SETTINGS, 1))
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.parametrize("change", ACCIDENTS, ids=lambda change: change.__name__)
def test_damage_is_found(models: Path, change) -> None:
    change(models / "gru" / "1", random.Random(1))
    assert str(models) in refusal(models)


@pytest.mark.parametrize("change", TEXTS)
def test_a_text_that_is_no_manifest_is_refused(models: Path, change) -> None:
    change(models / "gru" / "1", random.Random(1))
    assert refusal(models).startswith(str(models / "gru" / "1" / MANIFEST))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_out_of_the_folder_is_refused(models: Path, name: str) -> None:
    named(name)(models / "gru" / "1", random.Random(1))
    refusal(models)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("vocabulary_size", 1 << 40, "vocabulary_size: Input should be less than or equal to 16777216"),
        ("version", 1 << 31, "version: Input should be less than 2147483648"),
        ("context_limit", 1 << 60, "context_limit: Input should be less than 2147483648"),
        ("opset", -1, "opset: Input should be greater than or equal to 0"),
        ("family", "\ud800", "surrogates not allowed"),
        (
            "files",
            dict.fromkeys(map(str, range(65)), ENTRY),
            "files: Dictionary should have",
        ),
        ("states", [{"name": "h0", "kind": "recurrent", "dtype": "float32", "shape": [1] * 9}], "states.0.shape: "),
    ],
)
def test_numbers_that_no_model_has_are_refused(models: Path, field: str, value: object, reason: str) -> None:
    path = models / "gru" / "1" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert reason in refusal(models)


def test_states_that_do_not_fit_into_the_machine_are_refused(models: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 100}[name])
    assert "states: 1 rows take 128 bytes, this machine has 100" in refusal(models)


@pytest.mark.parametrize("change", TOKENIZERS)
def test_a_tokenizer_that_was_made_to_do_harm_is_refused(models: Path, change) -> None:
    change(models / "gru" / "1", random.Random(1))
    assert "tokenizer.json: " in refusal(models)


@pytest.mark.parametrize("template", ["{% for", "{{" * 3000, "{% if 1 %}" * 3000, "{{ (" + "(" * 3000, "a" * (2 << 20)])
def test_a_template_that_does_not_compile_is_refused(models: Path, template: str) -> None:
    (models / "gru" / "1" / CHAT_TEMPLATE).write_text(template)
    sign(models / "gru" / "1")
    assert f"{CHAT_TEMPLATE}: " in refusal(models)


@pytest.mark.parametrize("template", ["{{ 10 ** 10 ** 10 }}", "{{ 'a' * 10 ** 12 }}", "{{ 'a' * 1000000000000 }}"])
def test_a_template_computes_nothing_enormous(models: Path, template: str) -> None:
    (models / "gru" / "1" / CHAT_TEMPLATE).write_text(template)
    sign(models / "gru" / "1")
    (model,) = load_models(Loader(models, "cpu", SETTINGS, 1))
    assert isinstance(model.chat, Chat)
    with pytest.raises(ChatError, match="templates may not compute"):
        model.chat.encode([{"role": "user", "content": "a"}])


def test_templates_may_multiply_numbers(models: Path) -> None:
    (models / "gru" / "1" / CHAT_TEMPLATE).write_text("{{ 6 * 7 }}")
    sign(models / "gru" / "1")
    (model,) = load_models(Loader(models, "cpu", SETTINGS, 1))
    assert model.chat is not None
    assert model.tokenizer.decode(model.chat.encode([{"role": "user", "content": "a"}])) == "42"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was tried, and ended ONNX Runtime's process by SIGSEGV"),
        ("os._exit(7)", "was tried, and ended ONNX Runtime's process by code 7"),
        ("time.sleep(60)", "was tried, and not opened in 1 s"),
        ("raise trial.BundleError('it is bad')", "it is bad"),
    ],
)
def test_what_a_bundle_does_to_its_trial_is_told_and_does_no_harm(models: Path, what: str, told: str) -> None:
    command = [sys.executable, "-c", TRIED.format(what=what), str(models)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.rstrip("\n").endswith(told)
    assert done.stderr == ""


def test_good_bundles_pass_their_trial(models: Path) -> None:
    command = [sys.executable, "-c", GOOD, str(models)]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, timeout=60, check=True)
    try_aside(open_bundle(models / "gru" / "1"))
    with pytest.raises(BundleError, match="no such folder"):
        bad_bundles(models / "nowhere")


def test_what_a_bundle_does_to_its_trial_beside_others_is_told_and_does_no_harm(
    models: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("deadly")
    (place / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", f"{place}:{ROOT}")
    with pytest.raises(BundleError, match="was tried, and ended ONNX Runtime's process by SIGSEGV"):
        Loader(models, "cpu", SETTINGS, 1, trial=True).load_aside(models / "gru" / "1", None)


def test_a_version_that_fails_its_trial_is_passed_over_where_new_ones_are_looked_for(models: Path) -> None:
    shutil.copytree(models / "gru" / "1", models / "gru" / "2")
    bad = {models / "gru" / "2": BundleError("it is bad")}
    manifest = models / "gru" / "2" / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 2}))
    (model,) = load_models(Loader(models, "cpu", SETTINGS, 1, bad=bad), keep=1, pass_over=True)
    assert model.reference == "gru@1"
    with pytest.raises(BundleError, match="it is bad"):
        load_models(Loader(models, "cpu", SETTINGS, 1, bad=bad))
