"""Pictures of recurrent cells, one step each: the state comes in on the left and leaves on the right."""

from __future__ import annotations

from docs.drawing.canvas import Canvas


def latent() -> Canvas:
    """Draw the leaky cell: a share of the old summary, the rest new."""
    sheet = Canvas(76, 26)
    old = sheet.box((7, 18), (9, 4), "$h_{t-1}$", "state")
    new = sheet.box((69, 18), (9, 4), "$h_t$", "state")
    token = sheet.box((24, 4), (9, 4), "$e(x_t)$", "token")
    keep, plus, share = (sheet.operation((x, y), s) for x, y, s in ((38, 18, "×"), (55, 18, "+"), (55, 10, "×")))
    tanh = sheet.box((38, 10), (18, 4), "$\\tanh(We+Uh+b)$", "layer")
    sheet.arrow(old.at("right"), keep.at("left"))
    sheet.arrow(keep.at("right"), plus.at("left"))
    sheet.arrow(plus.at("right"), new.at("left"))
    sheet.arrow((20, 18), (20, 10), tanh.at("left"))
    sheet.arrow(token.at("top"), (24, 8.6), (29, 8.6))
    sheet.arrow(tanh.at("right"), share.at("left"))
    sheet.arrow(share.at("top"), plus.at("bottom"))
    sheet.arrow((38, 23), keep.at("top"))
    sheet.note((39, 22.6), "$a$: of each unit, learned")
    sheet.arrow((55, 5), share.at("bottom"))
    sheet.note((56, 4.6), "$1-a$")
    return sheet


def rnn() -> Canvas:
    """Draw the plain recurrence, over three steps."""
    sheet = Canvas(76, 24)
    start = sheet.box((6, 12), (8, 4), "$h_0 = 0$", "state")
    before = start
    for number, x in enumerate((22, 42, 62), start=1):
        token = sheet.box((x, 3.6), (8, 4), f"$e(x_{number})$", "token")
        cell = sheet.box((x, 12), (13, 5), "$f(We+Uh+b)$", "layer")
        out = sheet.box((x, 20.4), (11, 4), f"$p(x_{number + 1}\\,|\\,h_{number})$", "output")
        sheet.arrow(before.at("right"), cell.at("left"))
        sheet.arrow(token.at("top"), cell.at("bottom"))
        sheet.arrow(cell.at("top"), out.at("bottom"))
        sheet.note(((before.at("right")[0] + cell.at("left")[0]) / 2, 13.6), f"$h_{number - 1}$", "center")
        before = cell
    sheet.arrow(before.at("right"), (74.5, 12))
    return sheet


def lstm() -> Canvas:
    """Draw the LSTM: the cell c above, which gates write, and what is shown of it, h, below."""
    sheet = Canvas(76, 36)
    old_c = sheet.box((6, 29), (8, 4), "$c_{t-1}$", "state")
    old_h = sheet.box((6, 6), (8, 4), "$h_{t-1}$", "state")
    new_c = sheet.box((70, 29), (8, 4), "$c_t$", "state")
    new_h = sheet.box((70, 6), (8, 4), "$h_t$", "state")
    token = sheet.box((14, 14.5), (8, 4), "$e(x_t)$", "token")
    keep, write, show = (sheet.operation(place, "×") for place in ((24, 29), (41, 22), (62, 15)))
    add = sheet.operation((41, 29), "+")
    gates = [
        sheet.box((x, 11.5), (8, 4), words, role)
        for x, words, role in (
            (24, "$f = \\sigma$", "gate"),
            (34, "$i = \\sigma$", "gate"),
            (44, "$g = \\tanh$", "layer"),
            (54, "$o = \\sigma$", "gate"),
        )
    ]
    sheet.arrow(old_c.at("right"), keep.at("left"))
    sheet.arrow(keep.at("right"), add.at("left"))
    sheet.arrow(add.at("right"), new_c.at("left"))
    sheet.line(old_h.at("right"), (54, 6))
    sheet.line(token.at("bottom"), (14, 6))
    for gate in gates:
        sheet.arrow((gate.x, 6), gate.at("bottom"))
    sheet.arrow(gates[0].at("top"), keep.at("bottom"))
    sheet.arrow(gates[1].at("top"), (34, 22), write.at("left"))
    sheet.arrow(gates[2].at("top"), (44, 22), write.at("right"))
    sheet.arrow(write.at("top"), add.at("bottom"))
    sheet.arrow(gates[3].at("top"), (54, 15), show.at("left"))
    squash = sheet.box((62, 22), (8, 3.6), "$\\tanh$", "layer")
    sheet.arrow((62, 29), squash.at("top"))
    sheet.arrow(squash.at("bottom"), show.at("top"))
    sheet.arrow(show.at("bottom"), (62, 6), new_h.at("left"))
    sheet.note((24, 33), "forget", "center")
    sheet.note((41, 33), "write", "center")
    sheet.note((64, 15), "show")
    sheet.note((30, 3.2), "each gate reads  $e(x_t)$ and $h_{t-1}$", "center")
    return sheet


def gru() -> Canvas:
    """Draw the GRU with its reset gate behind the product with U, as the code has it."""
    sheet = Canvas(76, 32)
    old = sheet.box((6, 25), (8, 4), "$h_{t-1}$", "state")
    new = sheet.box((70, 25), (8, 4), "$h_t$", "state")
    token = sheet.box((6, 5), (8, 4), "$e(x_t)$", "token")
    keep, share, reset = (sheet.operation(place, "×") for place in ((44, 25), (60, 15), (29, 15)))
    add = sheet.operation((60, 25), "+")
    product = sheet.box((18, 15), (10, 4), "$U_n h + b'_n$", "layer")
    r = sheet.box((29, 8), (8, 4), "$r = \\sigma$", "gate")
    candidate = sheet.box((44, 15), (12, 4), "$n = \\tanh(\\cdot)$", "layer")
    z = sheet.box((52, 8), (8, 4), "$z = \\sigma$", "gate")
    sheet.arrow(old.at("right"), keep.at("left"))
    sheet.arrow(keep.at("right"), add.at("left"))
    sheet.arrow(add.at("right"), new.at("left"))
    sheet.arrow((18, 25), product.at("top"))
    sheet.arrow(product.at("right"), reset.at("left"))
    sheet.arrow(r.at("top"), reset.at("bottom"))
    sheet.arrow(reset.at("right"), candidate.at("left"))
    sheet.arrow(candidate.at("right"), share.at("left"))
    sheet.arrow(share.at("top"), add.at("bottom"))
    sheet.line(token.at("right"), (52, 5))
    sheet.line((29, 5), r.at("bottom"))
    sheet.line((52, 5), z.at("bottom"))
    sheet.arrow((40, 5), (40, 13))
    sheet.arrow(z.at("right"), (60, 8), share.at("bottom"))
    sheet.note((61, 10.5), "$1-z$")
    sheet.arrow((44, 29), keep.at("top"))
    sheet.note((45, 28.6), "$z$: how much of the old state stays")
    sheet.note((40, 2.6), "r and z read  $e(x_t)$ and $h_{t-1}$;  n reads $e(x_t)$ and what r lets through", "center")
    return sheet
