"""Trainings in processes of their own: Ctrl-C at any time, and two processes that train one model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from training.__main__ import main
from training.run import load_run

FLAGS = ["--width", "16", "--tokenizer", "characters", "--batch-size", "4", "--sequence-length", "16", "--threads", "1",
         "--accelerator", "cpu", "--dropout", "0.1"]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def test_ctrl_c_leaves_a_run_that_goes_on(corpus: Path, tmp_path: Path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "training", "gru", "--data", str(corpus), *FLAGS, "--steps", "1000000",
               "--validate-every", "1000000", "--out", str(run)]  # fmt: skip
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


def test_two_processes_train_one_model(corpus: Path, tmp_path: Path):
    run, alone = tmp_path / "run", tmp_path / "alone"
    arguments = ["gru", "--data", str(corpus), *FLAGS, "--dropout", "0", "--steps", "6", "--validate-every", "3"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
               "--nproc-per-node", "2", "-m", "training", *arguments, "--out", str(run)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 3,") == 1  # one of them speaks
    assert main([*arguments, "--out", str(alone)]) == 0
    together, single = load_run(run), load_run(alone)
    for name, tensor in single.model.state_dict().items():
        torch.testing.assert_close(together.model.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)
    assert abs(together.summary.metrics["validation_loss"] - single.summary.metrics["validation_loss"]) < 1e-4
