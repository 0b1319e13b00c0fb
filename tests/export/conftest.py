"""What the tests of export have in common: files that belong to a model of a user's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models

from export.__main__ import main
from tests.export import wrong


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of eleven ids."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    names = ["<pad>", "<bos>", "<eos>", *"abcdefgh"]
    Tokenizer(models.WordLevel({name: token for token, name in enumerate(names)}, unk_token="a")).save(str(path))
    return path


@pytest.fixture
def export_own(tmp_path: Path, tokenizer: Path) -> Callable[..., int]:
    """Run the command line for a class or function of `wrong`, into tmp_path / "models"; return the exit status."""

    def run(name: str, *more: str) -> int:
        checkpoint = tmp_path / "w.pt"
        model = getattr(wrong, name)()
        torch.save(model.state_dict() if hasattr(model, "state_dict") else {}, checkpoint)
        files = ["--checkpoint", str(checkpoint), "--tokenizer", str(tokenizer)]
        place = ["--models", str(tmp_path / "models"), "--name", "own", "--threads", "1"]
        return main([f"{wrong.__name__}:{name}", *files, *place, *more])

    return run
