"""How far a generation has come, over however many streams: what is new in an event, and what is left to ask for.

Knows nothing about calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protos.seqstream.v1 import generation_pb2 as pb
from service.answers import Delta, Finished, Started, TokenLogprob
from service.failures import Internal
from service.wire import answers


@dataclass(slots=True)
class SampleProgress:
    """What has come of one sample. flushed: the text behind its last token, too."""

    token_ids: list[int] = field(default_factory=list)
    flushed: bool = False
    finished: Finished | None = None


class Progress:
    """All samples of one request.

    Attributes:
        started: the first start; later streams of the same generation do not change it.
        prompt_logprobs: those that have come.
        samples: by index; none before the start, which tells that the request is sound.
    """

    def __init__(self, request: pb.GenerateRequest) -> None:
        self.started: Started | None = None
        self.prompt_logprobs: list[TokenLogprob] = []
        self.samples: dict[int, SampleProgress] = {}
        self._request = request

    @property
    def done(self) -> bool:
        """Whether every sample has finished."""
        return self.started is not None and all(sample.finished is not None for sample in self.samples.values())

    def take(self, response: pb.GenerateResponse) -> Delta | None:
        """Note an event. Returns the new tokens or text, if it brings any that have not come before."""
        event = response.WhichOneof("event")
        if event == "delta":
            return self._take_delta(answers.delta(response.delta))
        if event == "finished":
            finished = answers.finished(response.finished)
            self._sample(finished.sample).finished = finished
        elif event == "prompt_scores":
            self.prompt_logprobs += answers.token_logprobs(response.prompt_scores.logprobs)
        elif event == "started" and self.started is None:
            self.started = answers.started(response.started)
            first, count = self._request.first_sample, self._request.samples or 1
            self.samples = {index: SampleProgress() for index in range(first, first + count)}
        return None

    def remaining(self) -> list[pb.GenerateRequest]:
        """Return the requests for what has not come yet: none, the whole, or one for every sample that has begun."""
        if self.started is None:
            return [self._request]
        left = {index: sample for index, sample in self.samples.items() if sample.finished is None}
        if len(left) == len(self.samples) and not any(sample.token_ids for sample in left.values()):
            self.prompt_logprobs = []
            return [self._again(self.started)]
        requests = []
        for index, sample in left.items():
            request = self._again(self.started)
            # The scores came before the first token: they are complete.
            request.output.prompt_logprobs = False
            request.output.top_logprobs *= request.output.logprobs
            request.samples, request.first_sample = 1, index
            request.resume_token_ids.extend(sample.token_ids)
            requests.append(request)
        return requests

    def _again(self, started: Started) -> pb.GenerateRequest:
        request = pb.GenerateRequest()
        request.CopyFrom(self._request)
        request.model, request.seed = started.model, started.seed
        # Another server may have another default.
        request.drafts.SetInParent()
        if (drafts := started.drafts) is not None:
            request.drafts.prompt_lookup, request.drafts.model = drafts.prompt_lookup, drafts.model or ""
            request.drafts.max_tokens = drafts.max_tokens
        return request

    def _take_delta(self, delta: Delta) -> Delta | None:
        sample = self._sample(delta.sample)
        if not delta.token_ids:
            known, sample.flushed = sample.flushed, True
            return None if known else delta
        if delta.position != len(sample.token_ids):
            raise Internal(f"sample {delta.sample}: token {len(sample.token_ids)} expected, {delta.position} received")
        sample.token_ids += delta.token_ids
        return delta

    def _sample(self, index: int) -> SampleProgress:
        if index not in self.samples:
            raise Internal(f"sample {index} was not asked for")
        return self.samples[index]
