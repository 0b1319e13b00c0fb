"""What the README shows of files is what is in them."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def own_model() -> str:
    """The part of the example that is a model, without the lines that train it."""
    text = (ROOT / "examples" / "own_model" / "minimal_gated_unit.py").read_text(encoding="utf-8")
    return text[text.index("class MinimalGatedUnit") : text.index('\n\nif __name__ == "__main__"')].strip()


def test_the_readme_shows_the_example_as_it_is():
    assert own_model() in README


def test_every_file_that_the_readme_links_to_exists():
    links = [part.split(")")[0] for part in README.split("](")[1:]]
    files = [link for link in links if not link.startswith("http")]
    assert files
    assert not [link for link in files if not (ROOT / link).exists()]
