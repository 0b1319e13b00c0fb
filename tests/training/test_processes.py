"""Trainings in processes of their own: Ctrl-C at any time, and two processes that train one model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from tests.training.conftest import write_corpus, write_pairs
from tests.training.interrupted import interrupted_fit
from training.__main__ import main
from training.journal import read_journal
from training.run import load_run

SMALL = ["--width", "16", "--tokenizer", "characters", "--threads", "1", "--accelerator", "cpu"]
WINDOWS = ["--batch-size", "4", "--sequence-length", "16"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--local-addr", "127.0.0.1"]

# Nats per token. One process adds up the gradients of all rows at once, two add up half of them each and then the
# halves: float32 rounds differently. Seen: 4e-7.
ROUNDING = 2e-6
# Of the largest in a tensor of Adam's moments. Seen: 1e-6.
ROUNDING_OF_MOMENTS = 1e-5


def test_ctrl_c_leaves_a_run_that_goes_on(corpus: Path, tmp_path: Path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "training", "gru", "--data", str(corpus), *SMALL, *WINDOWS, "--dropout", "0.1",
               "--steps", "1000000", "--validate-every", "1000000", "--out", str(run)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    metrics = run / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == ""
    assert output.splitlines()[-1].endswith(f"go on with python -m training gru --resume {run}")
    assert load_run(run).summary.parameters > 0
    done = torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    steps = ["--steps", str(done + 3)]
    assert main(["gru", "--resume", str(run), *steps]) == 0
    resumed = torch.load(run / "checkpoint.pt", weights_only=True)
    assert resumed["step"] == done + 3
    assert load_run(run).summary.metrics["validation_loss"] > 0


@dataclass(frozen=True)
class Runs:
    """Runs of the same models by one process and by two, with and without a break."""

    folder: Path

    def curve(self, name: str) -> list[tuple[int, str, float]]:
        """Return every loss of a run: (step, its name, nats per token)."""
        losses = ("training_loss", "validation_loss")
        return [(r["step"], loss, r[loss]) for r in read_journal(self.folder / name) for loss in losses if loss in r]

    def checkpoint(self, name: str) -> dict[str, Any]:
        return torch.load(self.folder / name / "checkpoint.pt", weights_only=True)

    def held(self, name: str) -> list[dict[str, list[torch.Tensor]]]:
        """Return what each of the two processes held after the last step."""
        return [torch.load(self.folder / f"{name}.rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All of them under one start of torchrun, since that takes longer than they do."""
    folder = tmp_path_factory.mktemp("processes")
    corpus, pairs = write_corpus(folder / "corpus"), write_pairs(folder / "pairs.tsv", longest=12)
    steps = ["--steps", "6", "--validate-every", "1", "--warmup-steps", "2", "--learning-rate", "0.01"]
    sizes = {
        "transformer-lm": ["--data", str(corpus), *WINDOWS, "--heads", "1", "--gradient-clip", "0.1"],
        "gru": ["--data", str(corpus), *WINDOWS],
        "transformer": ["--pairs", str(pairs), "--batch-size", "8", "--heads", "1", "--dropout", "0"],
        "gru-seq2seq": ["--pairs", str(pairs), "--batch-size", "8"],
    }
    trainings: list[dict[str, Any]] = []

    def fresh(family: str, out: str, *flags: str) -> list[str]:
        return [family, *sizes[family], *SMALL, *steps, *flags, "--out", str(folder / out)]

    def together(arguments: list[str], interrupt_at: int | None = None) -> None:
        trainings.append({"arguments": arguments, "out": arguments[-1], "interrupt_at": interrupt_at})

    torch.set_num_threads(1)
    for family in sizes:
        assert main(fresh(family, f"{family}-one")) == 0
        for strategy in ("ddp", "fsdp"):
            together(fresh(family, f"{family}-{strategy}", "--strategy", strategy))
    family = "transformer-lm"
    with mock.patch("training.train.fit_by_gradient", interrupted_fit(2)):
        assert main(fresh(family, "from-one-ddp")) == 130
    shutil.copytree(folder / "from-one-ddp", folder / "from-one-fsdp")
    for strategy in ("ddp", "fsdp"):
        together(fresh(family, f"from-{strategy}", "--strategy", strategy), interrupt_at=2)
        together(fresh(family, f"same-{strategy}", "--strategy", strategy), interrupt_at=2)
        for name in (f"same-{strategy}", f"from-one-{strategy}"):
            together([family, "--strategy", strategy, "--resume", str(folder / name)])
    (folder / "trainings.json").write_text(json.dumps(trainings), encoding="utf-8")
    command = [*TORCHRUN, "--standalone", "--nproc-per-node", "2", "-m", "tests.training.one_of_many"]
    done = subprocess.run([*command, str(folder / "trainings.json")], capture_output=True, text=True, env=ENVIRONMENT,
                          timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for strategy in ("ddp", "fsdp"):
        assert main([family, "--resume", str(folder / f"from-{strategy}"), "--strategy", "auto"]) == 0
    return Runs(folder)


FAMILIES = ["transformer-lm", "gru", "transformer", "gru-seq2seq"]
STRATEGIES = ["ddp", "fsdp"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_have_the_loss_curve_of_one(runs: Runs, family: str, strategy: str):
    assert_same_curve(runs.curve(f"{family}-{strategy}"), runs.curve(f"{family}-one"))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_averaged_and_clipped_as_in_one_process(runs: Runs, family: str, strategy: str):
    # Adam's steps hardly show a wrong scale of the gradient; its moments do.
    ours, theirs = runs.checkpoint(f"{family}-{strategy}"), runs.checkpoint(f"{family}-one")
    assert ours["optimizer"]["state"].keys() == theirs["optimizer"]["state"].keys()
    for index, state in theirs["optimizer"]["state"].items():
        for name, value in state.items():
            largest = float(value.abs().max())
            torch.testing.assert_close(
                ours["optimizer"]["state"][index][name], value, rtol=0, atol=ROUNDING_OF_MOMENTS * largest
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_copies_are_the_same_to_the_bit_in_all_processes(runs: Runs, family: str):
    first, second = runs.held(f"{family}-ddp")
    weights = runs.checkpoint(f"{family}-ddp")["model"].values()
    assert len(first["parameters"]) == len(weights)
    for ours, theirs in zip(first["parameters"], second["parameters"], strict=True):
        assert torch.equal(ours, theirs)
        assert any(torch.equal(ours, tensor) for tensor in weights)


@pytest.mark.parametrize("family", FAMILIES)
def test_shards_put_together_are_what_the_checkpoint_holds(runs: Runs, family: str):
    held, checkpoint = runs.held(f"{family}-fsdp"), runs.checkpoint(f"{family}-fsdp")
    joined = {kind: [torch.cat(pair) for pair in zip(*(h[kind] for h in held), strict=True)] for kind in held[0]}
    assert len(joined["parameters"]) == len(checkpoint["model"])
    for parameter in joined["parameters"]:
        assert any(torch.equal(parameter, tensor) for tensor in checkpoint["model"].values())
    for index, moment in enumerate(joined["moments"]):
        assert torch.equal(moment, checkpoint["optimizer"]["state"][index]["exp_avg"])
    for kind, whole in joined.items():
        size = sum(tensor.numel() for tensor in whole)
        for one in held:  # rows do not always come in pairs, so not half to the row
            assert 0.45 * size < sum(tensor.numel() for tensor in one[kind]) < 0.55 * size, kind


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_files_do_not_tell_how_many_processes_wrote_them(runs: Runs, strategy: str):
    ours, theirs = runs.checkpoint(f"transformer-lm-{strategy}"), runs.checkpoint("transformer-lm-one")
    assert described(ours) == described(theirs)
    names = {file.name for file in (runs.folder / "transformer-lm-one").iterdir() if "tfevents" not in file.name}
    assert names <= {file.name for file in (runs.folder / f"transformer-lm-{strategy}").iterdir()}
    assert load_run(runs.folder / f"transformer-lm-{strategy}").summary.parameters == 17_989


@pytest.mark.parametrize("name", ["from-ddp", "from-fsdp", "from-one-ddp", "from-one-fsdp"])
def test_a_run_goes_on_with_another_number_of_processes(runs: Runs, name: str):
    """Two steps with one number, four with the other: the curve of a run that never stopped."""
    assert_same_curve(runs.curve(name), runs.curve("transformer-lm-one"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_goes_on_to_the_bit_with_the_same_processes(runs: Runs, strategy: str):
    ours, theirs = runs.checkpoint(f"same-{strategy}"), runs.checkpoint(f"transformer-lm-{strategy}")
    assert all(torch.equal(tensor, theirs["model"][name]) for name, tensor in ours["model"].items())
    assert runs.curve(f"same-{strategy}")[-1] == runs.curve(f"transformer-lm-{strategy}")[-1]


def test_two_machines_train_one_model(train: Callable[..., Path], corpus: Path, tmp_path: Path):
    """Two agents of torchrun that meet at an address, as on two machines; one process each, one shared folder."""
    flags = ["--steps", "4", "--validate-every", "2"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["gru", "--data", str(corpus), *SMALL, *WINDOWS, "--warmup-steps", "2", *flags,
                 "--strategy", "fsdp", "--out", str(tmp_path / "machines")]  # fmt: skip
    agents = []
    for node in range(2):
        command = [*TORCHRUN, "--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1", "--master-addr",
                   "127.0.0.1", "--master-port", str(port), "-m", "training", *arguments]  # fmt: skip
        agents.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        )
    try:
        ended = [agent.communicate(timeout=180) for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    assert [agent.returncode for agent in agents] == [0, 0], ended
    assert "step 4," in ended[0][0]
    assert "step 4," not in ended[1][0]  # one of them speaks
    alone = train("gru", *flags)
    runs = Runs(tmp_path)
    assert_same_curve(runs.curve("machines"), runs.curve(alone.name))


def assert_same_curve(ours: list[tuple[int, str, float]], theirs: list[tuple[int, str, float]]) -> None:
    assert [point[:2] for point in ours] == [point[:2] for point in theirs]
    assert [point[2] for point in ours] == pytest.approx([point[2] for point in theirs], abs=ROUNDING, rel=0)


def described(value: object) -> object:
    """Return what a checkpoint is made of: names in their order, types, shapes; not its numbers."""
    if isinstance(value, dict):
        return [(name, described(part)) for name, part in value.items()]
    if isinstance(value, list):
        return [described(part) for part in value]
    return (type(value), value.dtype, value.shape) if isinstance(value, torch.Tensor) else type(value)
