"""Pictures of the families that attend: to a source, to the past, or to both."""

from __future__ import annotations

from docs.drawing.canvas import Canvas, Shape

_POSITION, _FORWARD = ("embedding + position", "quiet"), ("feed-forward, ReLU", "layer")
_ENCODER = (_POSITION, ("self-attention\nall of the source", "layer"), _FORWARD)
_DECODER = (_POSITION, ("masked self-attention\nover the past", "layer"), ("cross-attention", "layer"), _FORWARD)


def gru_seq2seq() -> Canvas:
    """Draw an encoder of GRUs, a decoder that starts where it ended, and attention between them."""
    sheet = Canvas(76, 36)
    before: Shape | None = None
    sources = []
    for number, x in enumerate((7, 17, 27), start=1):
        token = sheet.box((x, 4), (7, 3.6), f"$s_{number}$", "token")
        cell = sheet.box((x, 12), (7, 4), "GRU", "layer")
        memory = sheet.box((x, 20), (7, 3.6), f"$m_{number}$", "state")
        sheet.arrow(token.at("top"), cell.at("bottom"))
        sheet.arrow(cell.at("top"), memory.at("bottom"))
        if before is not None:
            sheet.arrow(before.at("right"), cell.at("left"))
        before = cell
        sources.append(memory)
    assert before is not None
    for x, shown, named in ((44, "bos", "y_1"), (61, "$y_1$", "y_2")):
        token = sheet.box((x, 4), (7, 3.6), shown, "token")
        cell = sheet.box((x, 12), (7, 4), "GRU", "layer")
        mixed = sheet.box((x, 22), (13, 4), "$\\tanh(W_c[c;h])$", "layer")
        out = sheet.box((x, 31), (12, 3.8), f"$p({named}\\,|\\,\\ldots)$", "output")
        sheet.arrow(before.at("right"), cell.at("left"))
        sheet.arrow(token.at("top"), cell.at("bottom"))
        sheet.arrow(cell.at("top"), mixed.at("bottom"))
        sheet.arrow(mixed.at("top"), out.at("bottom"))
        before = cell
    sheet.note((35.5, 13.6), "last state", "center")
    for memory, weight in zip(sources, (0.6, 3.0, 1.2), strict=True):
        sheet.line(memory.at("top"), (memory.x, 26.5), (32.5, 26.5), colour="#6a4fb3", width=weight)
    sheet.arrow((32.5, 26.5), (35, 26.5), (35, 23), (37.4, 23), colour="#6a4fb3")
    sheet.note((6, 29), "weights: softmax of  $h^\\top W m_j$;  $c$ is their mean")
    sheet.note((6, 32.8), "left: the start graph, once\nright: the step, for each token")
    return sheet


def transformer() -> Canvas:
    """Draw the encoder, which runs once, and the decoder, which reads its keys and values at every step."""
    sheet = Canvas(76, 62)
    source = sheet.box((17, 5), (20, 4), "source tokens  $s_1 … s_S$", "token")
    target = sheet.box((55, 5), (20, 4), "target so far  $y_{<t}$", "token")
    left = _stack(sheet, 17, source, _ENCODER)
    memory = sheet.box((17, 45), (20, 5), "keys and values\nof the source, per layer", "state")
    sheet.arrow(left.at("top"), memory.at("bottom"))
    right = _stack(sheet, 55, target, _DECODER)
    cache = sheet.box((71, 23.4), (7.5, 5), "cache:\nk, v", "state")
    sheet.arrow(cache.at("left"), (65.5, 23.4))
    sheet.arrow(memory.at("right"), (38, 45), (38, 32.6), (44.4, 32.6), colour="#6a4fb3")
    softmax = sheet.box((55, 49.5), (21, 4), "output table, softmax", "layer")
    out = sheet.box((55, 57), (21, 4), "$p(y_t\\,|\\,y_{<t}, s)$ over all words", "output")
    sheet.arrow(right.at("top"), softmax.at("bottom"))
    sheet.arrow(softmax.at("top"), out.at("bottom"))
    sheet.note((4, 59), "start graph: once for a source")
    sheet.note((4, 56), "each layer:  $x ← \\mathrm{norm}(x + \\mathrm{layer}(x))$")
    sheet.frame((5.5, 19.6), (23, 17.4), "")
    sheet.frame((43.5, 19.6), (23, 26.6), "")
    sheet.note((29.3, 20.8), "× layers")
    sheet.note((42.7, 20.8), "× layers", "right")
    return sheet


def transformer_lm() -> Canvas:
    """Draw a pre-norm block: the stream goes straight up, two layers read and write it."""
    sheet = Canvas(76, 52)
    token = sheet.box((12, 4), (14, 4), "$\\sqrt{d}\\,e(x_t)$", "token")
    norm_1 = sheet.box((30, 12), (11, 3.6), "RMSNorm", "quiet")
    project = sheet.box((47, 12), (12, 3.6), "q, k, v", "layer")
    turn = sheet.box((64, 12), (14, 3.6), "RoPE turns q, k", "layer")
    cache = sheet.box((64, 20), (14, 4.6), "cache of keys\nand values", "state")
    mix = sheet.box((40, 20), (20, 4.6), "softmax of $q·k$ over\nall places $≤ t$, per head", "layer")
    plus_1 = sheet.operation((12, 20), "+")
    norm_2 = sheet.box((30, 30), (11, 3.6), "RMSNorm", "quiet")
    forward = sheet.box((53, 30), (24, 3.6), "SwiGLU:  $W_3(\\mathrm{silu}(W_1x)⊙W_2x)$", "layer")
    plus_2 = sheet.operation((12, 36), "+")
    last = sheet.box((12, 43), (11, 3.6), "RMSNorm", "quiet")
    out = sheet.box((40, 43), (26, 4), "$p(x_{t+1}\\,|\\,x_{≤t})$ = softmax$(E x + b)$", "output")
    sheet.arrow(token.at("top"), plus_1.at("bottom"))
    sheet.arrow(plus_1.at("top"), plus_2.at("bottom"))
    sheet.arrow(plus_2.at("top"), last.at("bottom"))
    sheet.arrow(last.at("right"), out.at("left"))
    sheet.arrow((12, 12), norm_1.at("left"))
    sheet.arrow(norm_1.at("right"), project.at("left"))
    sheet.arrow(project.at("right"), turn.at("left"))
    sheet.arrow(turn.at("top"), cache.at("bottom"))
    sheet.arrow(cache.at("left"), mix.at("right"))
    sheet.arrow(mix.at("left"), plus_1.at("right"))
    sheet.arrow((12, 30), norm_2.at("left"))
    sheet.arrow(norm_2.at("right"), forward.at("left"))
    sheet.arrow(forward.at("top"), (53, 36), plus_2.at("right"))
    sheet.note((14, 26), "residual stream, width d")
    sheet.frame((8, 8.6), (65.5, 30.4), "")
    sheet.note((72.8, 37.6), "× layers", "right")
    return sheet


def _stack(sheet: Canvas, x: float, below: Shape, parts: tuple[tuple[str, str], ...]) -> Shape:
    """Draw boxes one above the other, joined by arrows, and return the last."""
    for number, (words, role) in enumerate(parts):
        box = sheet.box((x, 14.2 + 9.2 * number), (21, 5), words, role)
        sheet.arrow(below.at("top"), box.at("bottom"))
        below = box
    return below
