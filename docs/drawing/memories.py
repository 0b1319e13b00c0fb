"""Pictures of the families that remember tokens or their sum, and of what every family keeps of the past."""

from __future__ import annotations

from docs.drawing.canvas import Canvas, Shape

_TOKENS = ("x₁", "x₂", "x₃", "x₄", "x₅", "x₆")


def past() -> Canvas:
    """Draw what each family still knows of six past tokens when it predicts the seventh."""
    sheet = Canvas(76, 46)
    rows = (
        ("naive", (0.4,) * 6, "all, but not in which order"),
        ("ar, τ = 3", (0, 0, 0, 0.8, 0.8, 0.8), "the last τ, each in its place"),
        ("markov", (0, 0, 0, 0, 0, 1.0), "the last one"),
        ("ngram, n = 4", (0, 0, 0, 0.7, 0.8, 0.9), "the last n − 1, where these were seen before"),
        ("latent, rnn", (0.1, 0.15, 0.22, 0.35, 0.6, 0.9), "a summary that fades"),
        ("lstm, gru", (0.35, 0.42, 0.5, 0.6, 0.75, 0.9), "a summary that gates keep or drop"),
        ("transformers", (0.9,) * 6, "every token itself, by attention"),
    )
    for place, token in enumerate(_TOKENS):
        sheet.write((19.5 + 4 * place, 42.5), token)
    sheet.note((45.5, 42.5), "what is left for p(x₇ | …), drawn, not measured")
    for number, (family, known, words) in enumerate(rows):
        height = 38.0 - 5.6 * number
        sheet.write((15.5, height), family, align="right")
        for place, share in enumerate(known):
            sheet.shade((17.6 + 4 * place, height - 1.9), (3.8, 3.8), [[share]], "Purples")
        sheet.note((45.5, height), words)
    return sheet


def naive() -> Canvas:
    """Draw the mean of all embeddings on its way to the next token."""
    sheet = Canvas(76, 22)
    tokens = _tokens(sheet, 17.5, weak=0)
    total = sheet.box((41, 10), (12, 6), "total  Σ e\ncount  t", "state")
    for token in tokens:
        sheet.line(token.at("bottom"), (token.x, 10))
    sheet.arrow((tokens[0].x, 10), total.at("left"))
    _head(sheet, total, "mean → norm\n→ perceptron")
    sheet.note((4, 5), "each embedding is added to the sum: the order is lost", "left")
    return sheet


def ar() -> Canvas:
    """Draw the window of the last τ tokens side by side."""
    sheet = Canvas(76, 22)
    tokens = _tokens(sheet, 17.5, weak=3)
    window = sheet.box((41, 10), (12, 6), "context\nx₄  x₅  x₆", "state")
    for token in tokens[3:]:
        sheet.line(token.at("bottom"), (token.x, 10))
    sheet.arrow((tokens[3].x, 10), window.at("left"))
    _head(sheet, window, "embed, join\n→ perceptron")
    sheet.note((4, 5), "what has left the window has no influence at all", "left")
    return sheet


def markov() -> Canvas:
    """Draw the row of the table that the last token chooses."""
    sheet = Canvas(76, 22)
    tokens = _tokens(sheet, 17.5, weak=5)
    state = sheet.box((33.5, 10), (9, 6), "context\nx₆", "state")
    sheet.line(tokens[5].at("bottom"), (tokens[5].x, 10))
    sheet.arrow((tokens[5].x, 10), state.at("left"))
    grid = [[0.10, 0.30, 0.12, 0.05], [0.15, 0.05, 0.05, 0.30], [0.70, 0.10, 0.45, 0.20], [0.05, 0.20, 0.25, 0.10]]
    sheet.shade((44.2, 4.5), (11, 11), grid, "Blues")
    sheet.arrow(state.at("right"), (44, 8.7))
    out = sheet.box((66.5, 8.7), (13, 5.5), "p(x₇ | x₆)", "output")
    sheet.arrow((55.4, 8.7), out.at("left"))
    sheet.note((49.7, 17.6), "V × V table of counts, smoothed", "center")
    return sheet


def ngram() -> Canvas:
    """Draw the orders of an n-gram model, each with what it leaves to the one below."""
    sheet = Canvas(76, 30)
    tokens = _tokens(sheet, 25.5, weak=3)
    state = sheet.box((15, 14), (13, 6), "context\nx₄  x₅  x₆", "state")
    sheet.line(tokens[4].at("bottom"), (tokens[4].x, 19.5), (15, 19.5))
    sheet.arrow((15, 19.5), state.at("top"))
    names = ("x₄ x₅ x₆", "x₅ x₆", "x₆", "no context")
    words = ("4-gram table", "trigram table", "bigrams, dense", "unigrams, uniform")
    for number, (name, word) in enumerate(zip(names, words, strict=True)):
        height = 24.5 - 6.2 * number
        box = sheet.box((47, height), (16, 4), word, "layer")
        sheet.note((38, height), name, "right")
        if number:
            sheet.arrow((47, height + 4.2), box.at("top"))
            sheet.note((48, height + 3.1), "the rest")
        sheet.line(box.at("right"), (58, height))
    out = sheet.box((68.5, 14), (12, 6), "p(x₇ | …)", "output")
    sheet.line((58, 24.5), (58, 5.9))
    sheet.arrow((58, 14), out.at("left"))
    return sheet


def _tokens(sheet: Canvas, height: float, weak: int) -> list[Shape]:
    """Draw six tokens in a row; the first `weak` of them do not count any more."""
    return [
        sheet.box((4.6 + 4.4 * place, height), (3.6, 3.6), token, "token", weak=place < weak)
        for place, token in enumerate(_TOKENS)
    ]


def _head(sheet: Canvas, before: Shape, words: str) -> None:
    layer = sheet.box((56, 10), (12, 6), words, "layer")
    out = sheet.box((69, 10), (9, 6), "p(x₇ | …)", "output")
    sheet.arrow(before.at("right"), layer.at("left"))
    sheet.arrow(layer.at("right"), out.at("left"))
