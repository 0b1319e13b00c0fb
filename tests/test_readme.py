"""What pages show of files is what is in them, and what they link to is there."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def own_model() -> str:
    """The part of the example that is a model, without the lines that train it."""
    text = (ROOT / "examples" / "own_model" / "minimal_gated_unit.py").read_text(encoding="utf-8")
    return text[text.index("class MinimalGatedUnit") : text.index('\n\nif __name__ == "__main__"')].strip()


def test_a_model_of_your_own_is_shown_as_the_example_has_it():
    assert own_model() in (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page):
    links = [part.split(")")[0].split("#")[0] for part in page.read_text(encoding="utf-8").split("](")[1:]]
    files = [link for link in links if link and not link.startswith("http")]
    assert not [link for link in files if not (page.parent / link).exists()]
