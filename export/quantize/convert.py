"""From the float32 graphs of a draft bundle to those of a precision, in place, within the loss that is allowed.

Calls the stages in order: read the text, find the products, choose their forms, rewrite, round the caches, measure.
Knows nothing about how products are rounded or how a bundle is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from bundle.folder import DATA, START_GRAPH, STEP_GRAPH, Bundle
from bundle.manifest import Loss, Manifest, PrecisionName, StateSpec
from export.quantize import blocks, rowwise
from export.quantize.activations import watch
from export.quantize.caches import round_caches
from export.quantize.compensate import compensate, on_levels
from export.quantize.half import to_half
from export.quantize.loss import perplexity
from export.quantize.precision import HALF, Precision
from export.quantize.products import find_groups, is_head
from export.quantize.prompts import join
from export.quantize.replay import Place
from export.quantize.rewrite import rewrite
from export.quantize.sensitivity import Sensitivity
from export.quantize.smooth import Rounding, smooth
from export.quantize.text import Texts, apart, read_texts
from export.refusal import Refusal
from export.weights import write_graph

Graphs = dict[str, onnx.ModelProto]

# Share of the limit that forms are chosen for on the calibration text, so that other text stays within it.
MARGIN = 0.7


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a precision is made: its forms, coarse to fine, and the rounding of the first, which smoothing looks at."""

    ladder: tuple[str, ...]
    rounding: Rounding


RECIPES: dict[PrecisionName, Recipe] = {
    "w8a8": Recipe(("rowwise", "blocks8"), rowwise.round_both),
    "int8": Recipe(("blocks8",), blocks.round_both_eight),
    "int4": Recipe(("blocks4", "levels4", "blocks8"), blocks.round_both_four),
}


def convert(bundle: Bundle, precision: Precision, threads: int = 0) -> Manifest:
    """Give the graphs of `bundle` this precision; return its manifest with what it says of them as they are now.

    Raises:
        Refusal: there is no product or no cache to round, or the loss is over the limit.
        ValueError: there is no text, or it cannot be used.
        DeviceError: the precision is for GPUs, and there is none to measure on.
    """
    if precision.text is None:
        raise ValueError(f"{precision}: needs text to measure its loss on")
    graphs = load(bundle)
    if precision.name != "fp32" and not any(find_groups(model.graph) for model in graphs.values()):
        raise Refusal(f"--precision {precision.name}: the graphs multiply by no constant matrix, it changes nothing")
    counter = _counter(precision, bundle.manifest)
    texts = read_texts(precision.text, bundle)
    before = perplexity(bundle, texts.held_out, threads)
    manifest = bundle.manifest.model_copy(update={"precision": precision.name})
    prompts: Graphs = {}
    if precision.name == HALF:
        graphs = {name: to_half(model) for name, model in graphs.items()}
        manifest = manifest.model_copy(update={"states": tuple(map(_halved, manifest.states))})
    elif precision.name in RECIPES:
        graphs, prompts = _rounded(graphs, precision, texts, manifest, threads)
    if precision.cache == "int8":  # last: how large keys and values are depends on what came before
        manifest = round_caches(graphs, manifest, texts.calibration, threads, list(prompts.values()))
    save(bundle, graphs)
    after = perplexity(Bundle(bundle.path, manifest), texts.held_out, threads)
    if prompts:
        single = load(bundle)
        save(bundle, prompts)
        after = max(after, perplexity(Bundle(bundle.path, manifest), texts.held_out, threads))
        save(bundle, {STEP_GRAPH: join(single[STEP_GRAPH], load(bundle)[STEP_GRAPH], counter)})
    return manifest.model_copy(update={"loss": _within(precision, _loss(texts, before, after))})


def _counter(precision: Precision, manifest: Manifest) -> str:
    """Return the state that tells prompts from decode steps, if prompts have products of their own. Raises Refusal."""
    counters = [spec.name for spec in manifest.states if spec.counter]
    if precision.prompts != "same" and (manifest.has_start or not counters):
        raise Refusal(f"--prompts {precision.prompts}: only for models without a source that count their tokens")
    return next(iter(counters), "")


def _rounded(
    graphs: Graphs, precision: Precision, texts: Texts, manifest: Manifest, threads: int
) -> tuple[Graphs, Graphs]:
    """Return the graphs with products in the forms that keep the loss, and the one for prompts alone, if there is one.

    The graphs given are smoothed. Raises Refusal.
    """
    recipe = RECIPES[precision.name]
    compensated = "blocks4" in recipe.ladder
    # What is fitted to some rows looks better on these than it is.
    fitted, judged = apart(texts.calibration)
    seen = watch(graphs, manifest, fitted, threads, moments=compensated)
    smooth(graphs, seen, recipe.rounding, on_levels(graphs) if compensated else ())
    if compensated:
        compensate(graphs, seen)
    sensitivity = Sensitivity(graphs, recipe.ladder, judged, manifest, threads)
    rounded = _rewritten(graphs, sensitivity, precision, {})
    if precision.prompts == "same":
        return rounded[0], {}
    # Keys and values that both write and read must stay what they are, and so must the head, which exists once: it
    # multiplies one row for each prompt.
    inner = RECIPES[precision.prompts]
    heads = {
        (name, group.name) for name, model in graphs.items() for group in find_groups(model.graph) if is_head(group)
    }
    smooth(graphs, seen, inner.rounding, heads, in_caches=False)
    sensitivity = Sensitivity(graphs, inner.ladder, judged, manifest, threads)
    kept = {place: rounded[1][place] for place in heads}
    return rounded[0], _rewritten(graphs, sensitivity, precision, kept)[0]


def _rewritten(
    graphs: Graphs, sensitivity: Sensitivity, precision: Precision, kept: Mapping[Place, str]
) -> tuple[Graphs, dict[Place, str]]:
    """Return the graphs in the coarsest forms that keep the loss, and these forms. kept: those that are given.

    Raises Refusal.
    """
    chosen = sensitivity.choose(MARGIN * precision.max_loss)
    if chosen is None:
        raise Refusal(f"--precision {precision.name}: no product can be rounded within --max-loss {precision.max_loss}")
    for (name, group), form in kept.items():
        chosen[name][group] = form
    forms = {(name, group): form for name, of in chosen.items() for group, form in of.items()}
    return {name: rewrite(model, chosen.get(name, {})) for name, model in graphs.items()}, forms


def _halved(spec: StateSpec) -> StateSpec:
    return spec.model_copy(update={"dtype": "float16"}) if spec.dtype == "float32" else spec


def load(bundle: Bundle) -> Graphs:
    names = [STEP_GRAPH, START_GRAPH] if bundle.manifest.has_start else [STEP_GRAPH]
    return {name: onnx.load(bundle.path / name) for name in names}


def save(bundle: Bundle, graphs: Mapping[str, onnx.ModelProto]) -> None:
    for name, model in graphs.items():
        data = bundle.path / f"{name}{DATA}"
        data.unlink(missing_ok=True)
        write_graph(model, bundle.path / name, data)


def _loss(texts: Texts, fp32: float, this: float) -> Loss:
    tokens = sum(len(row.predicted) for row in texts.held_out)
    return Loss(text=texts.name, tokens=tokens, fp32=fp32, this=this, loss=this / fp32 - 1)


def _within(precision: Precision, loss: Loss) -> Loss:
    if not loss.loss <= precision.max_loss:
        raise Refusal(
            f"{precision}: perplexity grows by {loss.loss:.2%} on held-out text "
            f"(from {loss.fp32:.3f} to {loss.this:.3f}), --max-loss allows {precision.max_loss:.2%}"
        )
    return loss
