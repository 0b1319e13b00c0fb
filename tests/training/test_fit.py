"""The loop: resuming to the bit, early stopping, what is written, and what stops it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.interrupted import interrupted_fit
from training.__main__ import main
from training.interrupt import Interrupt
from training.journal import read_journal
from training.run import load_run

Train = Callable[..., Path]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make every training that starts afterwards receive SIGINT in the given step."""

    return lambda step: monkeypatch.setattr("training.train.fit_by_gradient", interrupted_fit(step))


def same_bits(first: Path, second: Path) -> bool:
    ours, theirs = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (first, second))
    same_model = all(torch.equal(ours["model"][name], theirs["model"][name]) for name in ours["model"])
    moments = zip(ours["optimizer"]["state"].values(), theirs["optimizer"]["state"].values(), strict=True)
    return same_model and all(torch.equal(a["exp_avg_sq"], b["exp_avg_sq"]) for a, b in moments)


@pytest.mark.parametrize("family", ["gru", "transformer-lm", "transformer"])
def test_two_steps_and_two_more_are_four_to_the_bit(
    family: str, train: Train, interrupted: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flags = ["--steps", "4", "--dropout", "0.2", "--validate-every", "3"]
    if family.startswith("transformer"):
        flags += ["--heads", "1"]
    whole = train(family, *flags, name="whole")
    with monkeypatch.context() as patched:
        interrupted(1)
        with pytest.raises(AssertionError, match="130"):
            train(family, *flags, name="halves")
        patched.undo()
    halves = tmp_path / "halves"
    assert torch.load(halves / "checkpoint.pt", weights_only=True)["step"] == 2
    assert not same_bits(whole, halves)
    monkeypatch.undo()
    assert main([family, "--resume", str(halves)]) == 0
    assert same_bits(whole, halves)
    assert (whole / "weights.pt").read_bytes() == (halves / "weights.pt").read_bytes()
    assert [record["step"] for record in read_journal(halves)] == [2, 3, 3, 4, 4]


def test_dropout_and_data_follow_the_seed(train: Train):
    first = train("gru", "--steps", "3", "--dropout", "0.2", name="first")
    again = train("gru", "--steps", "3", "--dropout", "0.2", name="again")
    other = train("gru", "--steps", "3", "--dropout", "0.2", "--seed", "1", name="other")
    assert same_bits(first, again)
    assert not same_bits(first, other)


def test_an_interrupted_run_says_so_in_one_line_and_can_be_used(
    train: Train, interrupted: Callable[[int], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    interrupted(4)
    with pytest.raises(AssertionError, match="130"):
        train("gru", "--steps", "1000")
    last = capsys.readouterr().out.splitlines()[-1]
    folder = tmp_path / "run"
    assert last == (
        f"interrupted at step 5: the checkpoint is complete; go on with python -m training gru --resume {folder}"
    )
    assert load_run(folder).summary.parameters > 0


def test_training_stops_when_validation_no_longer_improves(train: Train, capsys: pytest.CaptureFixture[str]):
    run = train("gru", "--steps", "10000", "--patience", "3", "--validate-every", "5", "--learning-rate", "0.5")
    losses = [record["validation_loss"] for record in read_journal(run) if "validation_loss" in record]
    assert len(losses) < 200
    assert min(losses[-3:]) >= min(losses[:-3])
    assert load_run(run).summary.metrics["validation_loss"] == pytest.approx(min(losses))
    assert "no better validation for a while" in capsys.readouterr().out


def test_a_budget_in_minutes_ends_the_run(train: Train):
    run = train("gru", "--minutes", "0.02", "--validate-every", "1000000")
    last = read_journal(run)[-1]
    assert last["seconds"] >= 1.2
    assert last["learning_rate" if "learning_rate" in last else "step"] > 0


def test_a_loss_that_is_no_number_stops_the_run(
    train: Train, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = ["--data", str(corpus), "--steps", "50", "--warmup-steps", "0", "--learning-rate", "1e38"]
    assert main(["gru", *flags, "--threads", "1", "--width", "8", "--out", str(tmp_path / "run")]) == 2
    assert "try a --learning-rate below 1e+38" in capsys.readouterr().err


def test_the_loss_goes_down_and_everything_is_recorded(train: Train):
    run = train("gru", "--steps", "60", "--validate-every", "20", "--learning-rate", "0.02")
    records = read_journal(run)
    validations = [record for record in records if "validation_loss" in record]
    assert [record["step"] for record in validations] == [20, 40, 60]
    assert validations[-1]["validation_loss"] < validations[0]["validation_loss"] - 0.2
    for record in validations:
        assert record["perplexity"] == pytest.approx(2.718281828 ** record["validation_loss"])
    trained = [record for record in records if "training_loss" in record]
    assert all(record["tokens_per_second"] > 0 and record["learning_rate"] > 0 for record in trained)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["metrics"]["validation_loss"] == pytest.approx(min(r["validation_loss"] for r in validations))
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(run)).Reload()
    assert [event.step for event in events.Scalars("validation_loss")] == [20, 40, 60]


def test_characters_give_bits_per_byte(train: Train):
    metrics = load_run(train("gru", "--steps", "2")).summary.metrics
    ratio = metrics["bits_per_byte"] / metrics["validation_loss"]
    assert ratio < 1 / 0.6931  # Hangul and emoji are characters of several bytes, so a byte costs less than a token


def test_bfloat16_trains_and_leaves_float32_weights(train: Train):
    run = train("lstm", "--steps", "4", "--precision", "bf16-mixed")
    assert all(tensor.dtype == torch.float32 for tensor in load_run(run).model.state_dict().values())


def test_resuming_on_other_data_is_refused(train: Train, corpus: Path, capsys: pytest.CaptureFixture[str]):
    run = train("gru", "--steps", "2")
    (corpus / "00.txt").write_text("something else")
    assert main(["gru", "--resume", str(run), "--steps", "4"]) == 2
    assert "the data is no longer what" in capsys.readouterr().err


def test_a_finished_run_goes_on_with_a_larger_budget(train: Train, tmp_path: Path):
    run = train("gru", "--steps", "2")
    shutil.copytree(run, tmp_path / "copy")
    assert main(["gru", "--resume", str(run), "--steps", "5"]) == 0
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] == 5
    assert load_run(run).summary.data == load_run(tmp_path / "copy").summary.data


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as in a terminal: shells let what they start in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_wish_told_twice_is_one_wish_and_a_later_one_is_obeyed(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.requested
        monkeypatch.setattr("training.interrupt._SAME_WISH_SECONDS", 0.0)
        signal.raise_signal(signal.SIGINT)


def test_signals_act_as_before_behind_an_interrupt():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
