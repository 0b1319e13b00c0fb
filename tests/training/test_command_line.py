"""The command lines: bad input is one line on standard error and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from training.__main__ import main
from training.models.config import NO_FLAG
from training.models.families import FAMILIES
from training.order import read_order
from training.settings import LanguageOptimisation


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["resnet"], "no family or command 'resnet'; there are naive, ar, "),
        (["gru", "--widht", "3"], "unrecognized arguments: --widht 3; see python -m training gru --help"),
        (["gru", "--width"], "argument --width: expected one argument"),
        (["gru", "--width", "wide"], "--width: Input should be a valid integer"),
        (["gru", "--width", "0"], "--width: Input should be greater than or equal to 1 ('0' given)"),
        (["gru", "--dropout", "1.0"], "--dropout: "),
        (["gru", "--tokenizer", "words"], "--tokenizer: Input should be 'bpe' or 'characters' ('words' given)"),
        (["gru", "--minutes", "-1"], "--minutes: Input should be greater than 0 ('-1' given)"),
        (["gru", "--minutes", "nan"], "--minutes: "),
        (["gru", "--data", "/no/such/place"], "--data: /no/such/place is neither"),
        (["gru", "--pairs", "dates"], "unrecognized arguments: --pairs dates"),
        (["markov", "--steps", "3"], "unrecognized arguments: --steps 3"),
        (["transformer", "--pairs", "/no/such/place"], "--pairs: /no/such/place is neither"),
        (["transformer-lm", "--width", "100", "--heads", "7"], "heads"),
        (
            ["transformer-lm", "--context-limit", "32"],
            "--sequence-length: 64 is more than the model's --context-limit 32",
        ),
        (["gru", "--vocabulary-size", "100"], "--vocabulary-size: bpe needs more than 259, 100 given"),
        (["gru", "--resume", "/no/such/run"], "/no/such/run: no such run folder"),
        (["gru", "--resume", "/no/such/run", "--width", "3"], "--width: cannot be given with --resume"),
        (["gru", "--config", "/no/such/file"], "--config: /no/such/file: No such file or directory"),
        (["gru", "--precision", "16-mixed", "--accelerator", "cpu"], "--precision: 16-mixed needs a CUDA device"),
        (["gru", "--accelerator", "mps"], "--accelerator mps --devices 1: "),
        (["compare", "--minutes-per-model", "0"], "--minutes-per-model: "),
        (["compare", "--data", "/no/such/place"], "--data: /no/such/place is neither"),
        (["gradients", "--lag", "x"], "--lag: Input should be a valid integer"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    needs_data = arguments[0] in FAMILIES and "--data" not in arguments and FAMILIES[arguments[0]].task == "language"
    if needs_data and "--resume" not in arguments:
        arguments = [*arguments, "--data", str(corpus)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m training: ")
    assert reason in error
    assert error.count("\n") == 1


def started(here: int, everywhere: int, machines: int) -> dict[str, str]:
    """What torchrun tells a process: how many there are on its machine and on all, and on how many machines."""
    sizes = {"LOCAL_WORLD_SIZE": here, "WORLD_SIZE": everywhere, "GROUP_WORLD_SIZE": machines}
    return {"TORCHELASTIC_RUN_ID": "1"} | {name: str(size) for name, size in sizes.items()}


@pytest.mark.parametrize(
    ("flags", "environment", "reason"),
    [
        (["gru", "--strategy", "zero"], {}, "--strategy: Input should be 'auto', 'ddp' or 'fsdp' ('zero' given)"),
        (["gru", "--strategy", "fsdp"], {}, "--strategy: fsdp cuts a model over several processes, and there is 1"),
        (["gru", "--batch-size", "5", "--devices", "2"], {}, "--batch-size: 5 is no multiple of the 2 processes"),
        (["gru", "--batch-size", "6"], started(2, 4, 2), "--batch-size: 6 is no multiple of the 4 processes"),
        (["gru", "--devices", "3"], started(2, 2, 1), "--devices: 3 given, but torchrun has started 2 here"),
        (
            ["gru"],
            started(2, 3, 2),
            "torchrun: --nproc-per-node must be the same on every machine; here it is 2, but 2",
        ),
        (["markov"], started(2, 2, 1), "markov is counted, not trained by gradient: one process"),
    ],
)
def test_processes_that_do_not_fit_are_refused_before_anything_is_written(
    flags: list[str],
    environment: dict[str, str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    accelerator = [] if flags[0] == "markov" else ["--accelerator", "cpu"]
    out = tmp_path / "run"
    assert main([*flags, "--data", str(corpus), "--out", str(out), *accelerator]) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m training: " + reason)
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("name", [*FAMILIES, "compare", "gradients"])
def test_help_tells_every_flag(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--vocabulary-size N most token ids" in text
    assert "--source-vocabulary-size" not in text
    if name in FAMILIES:
        for field, info in FAMILIES[name].config.model_fields.items():
            flag = f"--{field.replace('_', '-')}".replace("--source-vocabulary-size", "--vocabulary-size")
            assert (flag in text) is (info.json_schema_extra != NO_FLAG["json_schema_extra"])


def test_without_arguments_the_usage_goes_to_standard_error(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(name in captured.err for name in [*FAMILIES, "compare", "gradients"])


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "settings.toml").write_text('width = 10\nlayers = 2\n"batch-size" = 5\ntied = false\n')
    monkeypatch.setenv("SEQSTREAM_WIDTH", "20")
    monkeypatch.setenv("SEQSTREAM_LAYERS", "3")
    order = read_order("gru", ["--config", str(tmp_path / "settings.toml"), "--width", "30"])
    assert order.model.model_dump() == {
        "vocabulary_size": 1024,
        "width": 30,
        "layers": 3,
        "dropout": 0.0,
        "tied": False,
    }
    assert isinstance(order.train, LanguageOptimisation)
    assert order.train.batch_size == 5
    assert order.folder == Path("runs/gru")


@pytest.mark.parametrize(("content", "reason"), [("widht = 3", "widht is not a setting"), ("width = ", "not TOML")])
def test_a_file_with_a_mistake_is_refused(
    content: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "settings.toml").write_text(content)
    assert main(["gru", "--config", str(tmp_path / "settings.toml")]) == 2
    assert reason in capsys.readouterr().err


def test_an_existing_run_is_kept_unless_told_otherwise(
    train: Callable[..., Path], corpus: Path, capsys: pytest.CaptureFixture[str]
):
    run = train("gru", "--steps", "1")
    before = (run / "weights.pt").read_bytes()
    assert main(["gru", "--data", str(corpus), "--out", str(run), "--steps", "2"]) == 2
    assert f"holds a run; continue it with --resume {run} or replace it with --overwrite" in capsys.readouterr().err
    assert (run / "weights.pt").read_bytes() == before
    train("gru", "--steps", "2", "--overwrite")
    assert (run / "weights.pt").read_bytes() != before


def test_a_run_is_resumed_as_its_own_family(train: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    run = train("gru", "--steps", "1")
    assert main(["lstm", "--resume", str(run)]) == 2
    assert f"--resume: {run} is a run of gru, not of lstm" in capsys.readouterr().err
