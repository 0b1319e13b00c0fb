"""Bundles of every tiny model, exported once and kept on disk until the code that makes them changes.

Fitted for a moment to a little text, so that what they say varies; the text has characters that are split over tokens:
Hangul, emoji and accents in bytes.
"""

import gc
import hashlib
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from bundle.manifest import CacheName, PrecisionName, Training
from export.quantize.precision import Precision, Prompts
from export.subject import Subject
from export.write import Target, write_bundle
from tests.tiny import TINY, tiny_model
from training.models.counting import CountingModel
from training.models.families import FAMILIES
from training.models.step_model import SourceStepModel, StepModel
from training.tokenization import SPECIAL_TOKENS, encode, load_tokenizer, train_tokenizer

ROOT = Path(__file__).parent.parent
SOURCES = ("bundle", "export", "training/models", "training/tokenization.py", "tests/tiny.py", "tests/exported.py")
KEPT = 8

TEXTS = (
    "The quick brown fox jumps over the lazy dog; the dog sleeps on, and the fox is gone.",
    "def __init__(self, queue):\n    self.queue = queue\n    return None\n",
    "안녕하세요, 세계! 오늘은 2026년 11월 22일 일요일입니다. 여우가 개를 뛰어넘습니다.",
    "Emoji: 🎉🚀 👩‍👩‍👧 🇰🇷 ❤️ and naïve café, Ærøskøbing, Łódź, 東京.",
)
PAIRS = (
    ("2026년 11월 22일 일요일", "2026-11-22, 일요일 🎉"),
    ("28 Kasım 1973 Çarşamba", "1973-11-28, 수요일 🚀"),
    ("Samstag, 30. Januar 1982", "1982-01-30, 토요일 ❤️"),
    ("3 août 2005, mercredi", "2005-08-03, 수요일 👋"),
)
FITTING_STEPS = 60
# Tiny models, fitted for a moment, are not sure of anything: rounding moves them more than it moves grown ones.
MAX_LOSS = 0.2
# Where two roundings meet, each of them must be near the model.
LEAST_LOSS = 0.02


class Bundles:
    """Bundles by label, each exported (and verified) when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self._tokenizers = folder / "tokenizers"
        self._folder = folder
        self.models.mkdir(parents=True, exist_ok=True)

    def path(self, label: str) -> Path:
        """Return the folder of version 1 of the tiny model `label`."""
        path = self.models / label / "1"
        if not path.exists():
            try:
                subject = self.subject(label)
                # With views wherever there are any: every server of the tests can be asked for them.
                write_bundle(subject, Target(self.models, label, 1), threads=1, views=bool(subject.model.views))
            except FileExistsError:  # another run of the tests was faster
                assert path.exists()
            _keep_from_collector()
        return path

    def precise(
        self, label: str, precision: PrecisionName, cache: CacheName = "float", prompts: Prompts = "same"
    ) -> Path:
        """Return the folder of version 1 of `label` in another precision than float32, or with other caches."""
        flags = [
            precision,
            *([cache] if cache != "float" else []),
            *([f"prompts-{prompts}"] if prompts != "same" else []),
        ]
        models = self._folder / "-".join(flags)
        path = models / label / "1"
        if not path.exists():
            most = MAX_LOSS if prompts == "same" else LEAST_LOSS
            asked = Precision(precision, most, self.text(label), cache, prompts)
            try:
                write_bundle(self.subject(label), Target(models, label, 1), 1, asked)
            except FileExistsError:
                assert path.exists()
            _keep_from_collector()
        return path

    def text(self, label: str) -> Path:
        """Return a file of text, or of pairs, to calibrate `label` with."""
        pairs = FAMILIES[TINY[label]["family"]].task == "pairs"
        path = self._folder / ("pairs.tsv" if pairs else "text.txt")
        lines = ["\t".join(pair) for pair in PAIRS] if pairs else list(TEXTS)
        temporary = path.with_suffix(f".{os.getpid()}")  # whole or not at all: other processes of the tests read it
        temporary.write_text("\n".join(lines * 8) + "\n", encoding="utf-8")
        temporary.rename(path)
        return path

    def subject(self, label: str) -> Subject:
        """Return what is exported as `label`: always the same weights."""
        family = TINY[label]["family"]
        pairs = FAMILIES[family].task == "pairs"
        tokenizer = self.tokenizer("target" if pairs else "text")
        source_tokenizer = self.tokenizer("source") if pairs else None
        return Subject(
            model=self._model(label, tokenizer, source_tokenizer),
            family=family,
            tokenizer=tokenizer,
            source_tokenizer=source_tokenizer,
            special_tokens=SPECIAL_TOKENS,
            training=Training(parameters=1, data="none", metrics={"loss": 1.5}),
        )

    def tokenizer(self, kind: str) -> Path:
        """Return a tokenizer file: "text" (bytes and a few merges), or the characters of "source" or "target"."""
        path = self._tokenizers / f"{kind}.json"
        if not path.exists():
            if kind == "text":
                tokenizer = train_tokenizer("bpe", TEXTS, 331)
            else:
                tokenizer = train_tokenizer("characters", [pair[kind == "target"] for pair in PAIRS], 61)
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            tokenizer.save(str(temporary))
            temporary.rename(path)
        return path

    def _model(self, label: str, tokenizer: Path, source_tokenizer: Path | None) -> StepModel:
        target = load_tokenizer(tokenizer)
        texts = TEXTS if source_tokenizer is None else [text for _, text in PAIRS]
        sequences = [[SPECIAL_TOKENS.bos, *ids.tolist(), SPECIAL_TOKENS.eos] for ids in encode(target, texts)]
        torch.manual_seed(1)
        if source_tokenizer is None:
            model = tiny_model(label, target.get_vocab_size())
            _fit(model, sequences)
        else:
            source = load_tokenizer(source_tokenizer)
            model = tiny_model(label, target.get_vocab_size(), source.get_vocab_size())
            sources = [[*ids.tolist(), SPECIAL_TOKENS.eos] for ids in encode(source, [text for text, _ in PAIRS])]
            _fit(model, sequences, sources)
        return model.eval()


def _keep_from_collector() -> None:
    """Take what PyTorch and its exporter leave behind from the garbage collector.

    A look through it takes 0.3 s, for which servers and clients in the same process stand still.
    """
    gc.collect()
    gc.freeze()


def _fit(model: StepModel, sequences: list[list[int]], sources: list[list[int]] | None = None) -> None:
    if isinstance(model, CountingModel):
        return model.count(sequences)
    limit = model.context_limit or 1024
    tokens, lengths = _padded([sequence[: limit + 1] for sequence in sequences])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(FITTING_STEPS):
        state = model.initial_state(len(sequences))
        if sources is not None:
            assert isinstance(model, SourceStepModel)
            state |= model.start(*_padded(sources))
        logits, _ = model(tokens[:, :-1], lengths - 1, state)
        loss = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], ignore_index=SPECIAL_TOKENS.pad)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return None


def _padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    grid = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=SPECIAL_TOKENS.pad)
    return grid, torch.tensor([len(row) for row in rows])


def open_bundles(cache: Path) -> Bundles:
    """Return the bundles of the code as it is now; forget those of older code, but for a few."""
    digest = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    folder = cache / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for old in sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return Bundles(folder)
