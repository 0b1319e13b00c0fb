"""The distributions of sampling, written down from their definitions: one row, one token at a time, in float64."""

import numpy as np


def softmax(logits):
    weights = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return weights / weights.sum()


def likeliest_first(probabilities):
    return sorted(np.flatnonzero(probabilities).tolist(), key=lambda token: (-probabilities[token], token))


def keep(probabilities, tokens):
    kept = np.zeros_like(probabilities)
    kept[tokens] = probabilities[tokens]
    return kept / kept.sum()


def smallest_set(probabilities, order, wanted):
    """The first tokens of `order` whose probabilities reach `wanted`."""
    chosen, reached = [], 0.0
    for token in order:
        chosen.append(token)
        reached += probabilities[token]
        if reached >= wanted:
            break
    return chosen


def top_k(probabilities, k):
    return keep(probabilities, likeliest_first(probabilities)[:k])


def top_p(probabilities, p):
    return keep(probabilities, smallest_set(probabilities, likeliest_first(probabilities), p))


def min_p(probabilities, fraction):
    return keep(probabilities, np.flatnonzero(probabilities >= fraction * probabilities.max()))


def typical_p(probabilities, p):
    information = {token: -np.log(probabilities[token]) for token in likeliest_first(probabilities)}
    entropy = sum(probabilities[token] * value for token, value in information.items())
    order = sorted(information, key=lambda token: abs(information[token] - entropy))
    return keep(probabilities, smallest_set(probabilities, order, p))


def penalised(logits, request, generated, stops):
    """Logits after bias, penalties and prohibitions, for the sample `generated` of `request`."""
    sampling = request.sampling
    logits = np.asarray(logits, np.float64).copy()
    for token, bias in sampling.logit_bias:
        logits[token] += bias
    for token in range(len(logits)):
        if token in request.prompt or token in generated:
            factor = sampling.repetition_penalty
            logits[token] = logits[token] / factor if logits[token] > 0 else logits[token] * factor
        if token in generated:
            logits[token] -= sampling.presence_penalty + sampling.frequency_penalty * generated.count(token)
    logits[list(sampling.banned)] = -np.inf
    if len(generated) < request.stop.min_new_tokens:
        logits[list(stops)] = -np.inf
    return logits


def distribution(logits, request, generated=(), stops=()):
    """What the next token of the sample is drawn from."""
    sampling = request.sampling
    logits = penalised(logits, request, list(generated), stops)
    if sampling.temperature == 0:
        return keep(softmax(logits), [int(np.argmax(logits))])
    probabilities = softmax(logits / sampling.temperature)
    if sampling.top_k:
        probabilities = top_k(probabilities, sampling.top_k)
    if sampling.top_p < 1:
        probabilities = top_p(probabilities, sampling.top_p)
    if sampling.min_p > 0:
        probabilities = min_p(probabilities, sampling.min_p)
    if sampling.typical_p < 1:
        probabilities = typical_p(probabilities, sampling.typical_p)
    return probabilities
