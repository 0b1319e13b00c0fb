"""One run from its order to its folder: data, model, fit, and what is left on disk and on the screen."""

from __future__ import annotations

import dataclasses
import time

import torch
from lightning_fabric import Fabric

from training.assemble import Assembly, assemble_language, assemble_pairs
from training.atomic import replacing
from training.batches import Share
from training.checkpoint import load_checkpoint
from training.curves import draw_curves
from training.device import build_fabric, count_processes, thread_candidates
from training.display import Display, describe, duration
from training.fit import FitOutput, GradientFit
from training.journal import Journal
from training.models.counting import CountingModel
from training.objective import Objective
from training.order import Order
from training.prepare import prepare_language, prepare_pairs
from training.run import CONFIG, CURVES, HELD_OUT_PAIRS, HELD_OUT_TEXT, open_folder, save_result, write_json
from training.settings import Counting, GradientMachine, LanguageData, Optimisation
from training.validation import loss_metrics, total_loss

INTERRUPTED = 130  # what a shell reports after Ctrl-C


def train(order: Order) -> int:
    """Carry out an order. Returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        ValueError: anything in it that cannot be done; one line.
    """
    _check_processes(order)
    fabric = build_fabric(order.machine) if isinstance(order.machine, GradientMachine) else None
    torch.set_num_threads(thread_candidates(order.machine)[0])
    first = fabric is None or fabric.is_global_zero
    if first and not order.resumed:
        open_folder(order.folder, overwrite=order.overwrite)
    display = Display(enabled=first)
    display.say("reading and tokenizing the data")
    if isinstance(order.data, LanguageData):
        assembly = assemble_language(order, *prepare_language(order.data, order.machine.seed, order.folder, fabric))
    else:
        assembly = assemble_pairs(order, *prepare_pairs(order.data, order.machine.seed, order.folder, fabric))
    if first:
        _describe(order, assembly, display)
    if fabric is None:
        return fit_by_counting(order, assembly, display)
    return fit_by_gradient(order, assembly, fabric, display)


def fit_by_gradient(order: Order, assembly: Assembly, fabric: Fabric, display: Display) -> int:
    """Train, measure the best weights on everything that is held out, draw the curves. Returns the exit code."""
    assert isinstance(order.train, Optimisation) and isinstance(order.machine, GradientMachine)
    checkpoint = load_checkpoint(order.folder) if order.resumed else None
    journal = Journal(order.folder, checkpoint.step if checkpoint else 0) if fabric.is_global_zero else None
    try:
        output = FitOutput(order.folder, journal, display)
        fit = GradientFit(fabric, assembly.model, assembly.data, order.train, order.machine, output)
        if checkpoint is not None:
            fit.restore(checkpoint)
            display.say(f"going on at step {fit.step:,}")
        reason = fit.run()
        if reason == "interrupt":
            again = f"python -m training {order.family} --resume {order.folder}"
            display.say(f"interrupted at step {fit.step:,}: the checkpoint is complete; go on with {again}")
            return INTERRUPTED
        metrics = fit.measure_best()
    finally:
        if journal is not None:
            journal.close()
    if fabric.is_global_zero:
        draw_curves(order.folder, order.folder / CURVES, f"{order.family}: {assembly.data.name}")
    ended = "no better validation for a while" if reason == "patience" else "done"
    display.say(f"{ended} after {fit.step:,} steps, {duration(fit.seconds)}; best weights: {describe(metrics)}")
    display.say(f"{order.folder} holds the run; export it with python -m export {order.folder}")
    return 0


def fit_by_counting(order: Order, assembly: Assembly, display: Display) -> int:
    """Count, measure, save. Returns 0."""
    model, dataset, data = assembly.model, assembly.dataset, assembly.data
    assert isinstance(model, CountingModel) and dataset is not None and isinstance(order.train, Counting)
    began = time.monotonic()
    model.count(dataset.documents())
    seconds = time.monotonic() - began
    total = total_loss(Objective(model), data.batches.validation(Share()), torch.device("cpu"))
    nats, tokens = total.tolist()
    metrics = loss_metrics(nats, tokens, data.validation.tokens_per_byte)
    with Journal(order.folder) as journal:
        journal.write(0, seconds, {**metrics, "tokens_per_second": round(len(dataset.training) / seconds, 1)})
    save_result(order.folder, model, data.name, data.sha256, metrics)
    display.say(f"counted in {duration(seconds)}: {describe(metrics)}")
    display.say(f"{order.folder} holds the run; export it with python -m export {order.folder}")
    return 0


def _check_processes(order: Order) -> None:
    here, machines = count_processes(order.machine)
    processes = here * machines
    if processes == 1:
        return
    if not isinstance(order.train, Optimisation):
        raise ValueError(f"{order.family} is counted, not trained by gradient: one process, and torchrun started more")
    if order.train.batch_size % processes:
        raise ValueError(f"--batch-size: {order.train.batch_size} is no multiple of the {processes} processes")


def _describe(order: Order, assembly: Assembly, display: Display) -> None:
    """Say what is about to happen, and write what the run folder needs before the first step."""
    for note in assembly.notes:
        display.say(note)
    display.say(f"model: {order.family}, {assembly.model.parameter_count:,} parameters")
    write_json(order.folder / CONFIG, dataclasses.replace(order, model=assembly.config).config)
    if assembly.held_out:
        with replacing(order.folder / HELD_OUT_PAIRS) as file:
            file.writelines(f"{source}\t{target}\n".encode() for source, target in assembly.held_out)
    if assembly.excerpt:
        with replacing(order.folder / HELD_OUT_TEXT) as file:
            file.write(assembly.excerpt.encode())
