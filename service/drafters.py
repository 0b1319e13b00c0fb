"""Which of the served models may propose tokens to which, and who does by default. Knows nothing about gRPC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bundle.folder import TOKENIZER
from service.models import Models, ServedModel
from service.request import Drafts

OFF, PROMPT = "off", "prompt"


def check_default(models: Models, default: str) -> None:
    """Raise UnknownModelError if `default` is neither OFF nor PROMPT, nor a model's name."""
    if default not in (OFF, PROMPT):
        models.find(default)


def with_drafts(models: Iterable[ServedModel], default: str = OFF) -> list[ServedModel]:
    """Return the models, every one that can verify proposals with those that may make them; their engines are told.

    A model may propose to another if both have the same tokenizer and it has no source.

    default: who proposes to requests that do not say: OFF, PROMPT (the lookup), or a model's name. Models that cannot
        verify, or have another tokenizer, then have none, and nor has any while there is no such model.
    """
    known = Models(models)
    by_name = {name: known.find(name).reference for name in known.names}
    wanted = None if default in (OFF, PROMPT) else by_name.get(default)
    made = []
    for model in known:
        drafters = [other for other in known if _may_draft(other, model)]
        model.engine.let_draft({drafter.reference: drafter.engine.runner for drafter in drafters})
        references = [drafter.reference for drafter in drafters]
        names = {name: reference for name, reference in by_name.items() if reference in references}
        made.append(replace(model, drafters=names, drafts=_default(model, default, wanted, references)))
    return made


def _default(model: ServedModel, default: str, wanted: str | None, drafters: list[str]) -> Drafts | None:
    if not model.manifest.rewinds:
        return None
    if default == PROMPT:
        return Drafts(prompt_lookup=True)
    return Drafts(model=wanted) if wanted in drafters else None


def _may_draft(drafter: ServedModel, model: ServedModel) -> bool:
    ours, theirs = model.manifest, drafter.manifest
    return (
        drafter.reference != model.reference
        and ours.rewinds
        and not theirs.has_start
        and theirs.vocabulary_size == ours.vocabulary_size
        and theirs.files[TOKENIZER].sha256 == ours.files[TOKENIZER].sha256
    )
