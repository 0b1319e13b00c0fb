"""What is asked for: request by request, the same for the same seed however many processes send them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.answers import Model
from service.bench.lengths import Lengths
from service.wire.options import Options, Prompt


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a prompt, and options of the client by their names."""

    prompt: Prompt
    options: Options


@dataclass(frozen=True, slots=True)
class Drawn:
    """Prompts of random tokens, answered by exactly so many tokens.

    vocabulary: the ids that prompts are made of.
    most_prompt, most_together: what the model takes of a prompt, and of both; None: any length.
    """

    prompt: Lengths
    output: Lengths
    vocabulary: np.ndarray
    most_prompt: int | None
    most_together: int | None
    seed: int

    @classmethod
    def of(cls, model: Model, prompt: Lengths, output: Lengths, seed: int) -> Drawn:
        """Return what suits a model."""
        size = model.source_vocabulary_size or model.vocabulary_size
        vocabulary = np.setdiff1d(np.arange(size), model.special_token_ids)
        if model.source_limit is not None:  # the prompt has a limit of its own
            return cls(prompt, output, vocabulary, model.source_limit - 1, model.context_limit, seed)
        together = model.context_limit
        return cls(prompt, output, vocabulary, None if together is None else together // 2, together, seed)

    def request(self, index: int) -> Request:
        """Return one request."""
        random = np.random.default_rng((self.seed, index))
        length = self.prompt.draw(random, self.most_prompt)
        most = None if self.most_together is None else max(1, self.most_together - length - 1)
        tokens = random.choice(self.vocabulary, length).tolist()
        output = self.output.draw(random, most)
        return Request(tokens, Options(max_new_tokens=output, ignore_end_of_sequence=True, seed=index))


@dataclass(frozen=True, slots=True)
class Given:
    """Requests from a file, one after the other, and again from the first.

    output: how many tokens answer each, exactly; None: as each says itself.
    """

    requests: tuple[Request, ...]
    output: Lengths | None
    seed: int

    def request(self, index: int) -> Request:
        """Return one request."""
        request = self.requests[index % len(self.requests)]
        if self.output is None:
            return request
        length = self.output.draw(np.random.default_rng((self.seed, index)), None)
        exactly = Options(max_new_tokens=length, ignore_end_of_sequence=True)
        return Request(request.prompt, Options(**{**request.options, **exactly}))


Workload = Drawn | Given
