import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.models.families import FAMILIES

ROOT = Path(__file__).parents[2]
WORDS = re.compile(rf"\b({'|'.join(map(re.escape, sorted(FAMILIES, key=len, reverse=True)))})\b", re.IGNORECASE)

# ONNX's operators for recurrent layers: whoever rewrites operators has to say which.
OPERATORS = {"LSTM", "GRU", "RNN"}


def code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the names and texts of a module that do something: no comments, no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "module", "value"):
            text = getattr(node, field, None)
            if isinstance(text, str) and node not in said:
                yield getattr(node, "lineno", 0), text.replace("_", " ")


@pytest.mark.parametrize("package", ["export", "bundle", "service"])
def test_nothing_behind_training_knows_a_family(package: str) -> None:
    files = [path for path in (ROOT / package).rglob("*.py") if "_pb2" not in path.name]
    assert files
    said = [(path, line, text) for path in files for line, text in code(path) if text not in OPERATORS]
    found = [f"{path}:{line}: {text}" for path, line, text in said if WORDS.search(text)]
    assert found == []


def test_the_search_finds_a_family_where_there_is_one() -> None:
    found = [text for _, text in code(ROOT / "training" / "models" / "families.py") if WORDS.search(text)]
    assert "gru" in found and "transformer-lm" in found
