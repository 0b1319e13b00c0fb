from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bundle.folder import open_bundle
from bundle.manifest import Training
from export import write
from export.__main__ import main
from tests.export import wrong
from tests.exported import Bundles
from tests.tiny import tiny_config
from training.run import RunConfig, save_result, write_json

Export = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, bundles: Bundles) -> Path:
    """A run folder as training leaves it."""
    folder = tmp_path / "chain"
    folder.mkdir()
    model = bundles.subject("markov").model
    config = {"vocabulary_size": model.vocabulary_size}
    content = RunConfig(family="markov", model=config, data={}, train={"sequence_length": 20})
    write_json(folder / "config.json", content)
    save_result(folder, model, "a little text", "0" * 64, {"loss": 2.5})
    (folder / "tokenizer.json").write_bytes(bundles.tokenizer("text").read_bytes())
    return folder


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("export: ")


def test_a_run_becomes_a_bundle_that_says_where_it_came_from(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    assert main([str(run), "--models", str(models), "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "greedy" in shown and shown.splitlines()[-1] == str(models / "chain" / "1")
    manifest = open_bundle(models / "chain" / "1").manifest
    expected = Training(parameters=331**2, data="a little text", data_sha256="0" * 64, metrics={"loss": 2.5})
    assert manifest.training == expected
    assert (manifest.family, manifest.calls.chunk, manifest.context_limit) == ("markov", "batch", None)
    assert not [path for path in models.rglob("*") if path.name.startswith(".")]


def test_a_precision_takes_the_text_of_the_run_and_says_what_it_costs(
    bundles: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = tmp_path / "window", bundles.subject("ar").model
    folder.mkdir()
    config = tiny_config("ar", model.vocabulary_size)
    write_json(folder / "config.json", RunConfig(family="ar", model=config, data={}, train={}))
    save_result(folder, model, "a little text", "0" * 64, {"loss": 2.5})
    (folder / "tokenizer.json").write_bytes(bundles.tokenizer("text").read_bytes())
    (folder / "held_out.txt").write_bytes(bundles.text("ar").read_bytes())
    place = ["--models", str(tmp_path / "models"), "--threads", "1"]
    assert main([str(folder), *place, "--precision", "w8a8", "--max-loss", "0.2"]) == 0
    shown = capsys.readouterr().out
    loss = open_bundle(tmp_path / "models" / "window" / "1").manifest.loss
    assert loss is not None and loss.text == "held_out.txt"
    assert f"w8a8: perplexity {loss.this:.3f} on {loss.tokens:,} tokens of held_out.txt" in shown
    assert "torch (fp32)" in shown and "padding (w8a8)" in shown


def test_half_precision_is_verified_on_a_gpu_or_not_written(
    bundles: Bundles, export_own: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_own("Sum", "--precision", "fp16", "--calibration", str(bundles.text("ar"))) == 2
    assert failure(capsys).startswith("--precision fp16 is verified on a GPU: device cuda: this environment has")
    assert not (tmp_path / "models").exists()


def test_versions_increase_and_are_never_replaced(
    export_own: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    assert write.next_version(models, "own") == 1
    assert export_own("Sum", "--version", "7") == 0
    assert write.next_version(models, "own") == 8
    before = (models / "own" / "7" / "bundle.json").read_bytes()
    capsys.readouterr()
    assert export_own("Sum", "--version", "7") == 2
    assert failure(capsys) == f"{models}/own/7: is there already; a version is never replaced"
    assert (models / "own" / "7" / "bundle.json").read_bytes() == before


def test_a_version_that_appears_meanwhile_is_not_replaced_either(tmp_path: Path) -> None:
    finished, place = tmp_path / "finished", tmp_path / "own" / "1"
    for folder in (finished, place):
        folder.mkdir(parents=True)
        (folder / "bundle.json").write_text(folder.name)
    with pytest.raises(FileExistsError, match="is there already"):
        write._publish(finished, place)
    assert (place / "bundle.json").read_text() == "1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such/run"], "no/such/run: no such run folder"),
        (["{tmp}"], "{tmp}/config.json: no such file"),
        ([], "the following arguments are required: RUN|MODULE:FUNCTION; see python -m export --help"),
        (["{run}", "--version", "0"], "argument --version: '0' given, a whole number from 1 is allowed; see "),
        (["{run}", "--name", "a/b"], "name: String should match pattern"),
        (["{run}", "--checkpoint", "w.pt"], "--checkpoint: a run folder has its own; only with MODULE:FUNCTION"),
        (["some.module:build"], "--checkpoint: is needed with some.module:build"),
        (["{run}", "--precision", "int3"], "argument --precision: invalid choice: 'int3'"),
        (["{run}", "--max-loss", "-1"], "argument --max-loss: '-1' given, a share from 0 is allowed, such as 0.01"),
        (["{run}", "--max-loss", "nan"], "argument --max-loss: 'nan' given, a share from 0 is allowed, such as 0.01"),
        (["{run}", "--calibration", "text"], "--calibration: fp32 needs none; only with another --precision"),
        (
            ["{run}", "--precision", "w8a8"],
            "--precision w8a8: needs text to measure its loss on; give a file with --cal",
        ),
        (["{run}", "--cache", "int4"], "argument --cache: invalid choice: 'int4' (choose from "),
        (["{run}", "--cache", "int8"], "--cache int8: needs text to measure its loss on; give a file with --cal"),
        (
            ["{run}", "--precision", "fp16", "--cache", "int8"],
            "--precision fp16 --cache int8: attention in half precision has no such cache",
        ),
        (["{run}", "--prompts", "w8a8"], "--prompts w8a8: only with --precision int8 or int4"),
        (["{run}", "--precision", "w8a8", "--calibration", "{tmp}/no"], "--calibration: {tmp}/no: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    place = {"run": str(run), "tmp": str(tmp_path)}
    assert main([argument.format(**place) for argument in arguments]) == 2
    assert failure(capsys).startswith(message.format(**place))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("tests.export.wrong:not_a_model", "tests.export.wrong:not_a_model: returned int, not a StepModel"),
        ("tests.export.wrong:missing", "tests.export.wrong:missing: AttributeError: module"),
        ("no.such.module:build", "no.such.module:build: ModuleNotFoundError: No module named 'no'"),
        ("tests.export.wrong:FreezesTime", "{checkpoint}: not the weights of this model: "),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str], function: str, message: str
) -> None:
    checkpoint = tmp_path / "w.pt"
    torch.save({"head": torch.zeros(1)}, checkpoint)
    files = ["--checkpoint", str(checkpoint), "--tokenizer", str(tokenizer)]
    assert main([function, *files, "--name", "own", "--models", str(tmp_path / "models")]) == 2
    assert failure(capsys).startswith(message.format(checkpoint=checkpoint))
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--eos", "</s>"], "{tokenizer}: has no token '</s>'; name the one that is eos with --eos"),
        (["--source-tokenizer", "x.json"], "--source-tokenizer: tests.export.wrong:Sum takes no source"),
        (["--tokenizer", "x.json"], "x.json: no such file"),
        (["--tokenizer", "{text}"], "{text}: has ids up to 330, the model's vocabulary is 11"),
    ],
)
def test_files_that_do_not_fit_the_model_are_refused(
    export_own: Export, capsys: pytest.CaptureFixture[str], tokenizer: Path, bundles: Bundles, more, message
) -> None:
    place = {"tokenizer": str(tokenizer), "text": str(bundles.tokenizer("text"))}
    assert export_own("Sum", *(argument.format(**place) for argument in more)) == 2
    assert failure(capsys) == message.format(**place)


def test_tokens_of_other_names_can_be_named(export_own: Export, tmp_path: Path) -> None:
    assert export_own("Sum", "--pad", "h", "--eos", "a") == 0
    assert open_bundle(tmp_path / "models" / "own" / "1").manifest.special_tokens.model_dump() == {
        "pad": 10, "bos": 1, "eos": 3,
    }  # fmt: skip


def test_a_models_folder_that_was_there_stays_when_nothing_is_written(export_own: Export, tmp_path: Path) -> None:
    (tmp_path / "models" / "other").mkdir(parents=True)
    assert export_own("FreezesTime") == 1
    assert [path.name for path in (tmp_path / "models").rglob("*")] == ["other"]
    assert wrong.VOCABULARY_SIZE == 11
