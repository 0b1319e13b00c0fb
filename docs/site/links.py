"""Links that leave docs/: the site has a page for every file that they name, so it is whole without a forge.

Pages are written for the forge, with paths between files. Knows nothing about what stands in the files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

# "](path#anchor)" of Markdown and src="path", href="path" of HTML; not addresses with a scheme, nor anchors alone.
_LINK = re.compile(r'(\]\(|(?:src|srcset|href)=")(?!#|/|[a-z+]+:)([^)"\s#]+)(?=[)"\s#])')
_OUTSIDE = "project/"  # where pages of files outside of docs/ lie


def pages(root: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Return a page, as Markdown, for each file outside of docs/ that is linked to, also from such pages themselves.

    texts: the pages there are, by their paths in the project. Protocol files have pages of their own (protocol.py).
    """
    made: dict[str, str] = {}
    waiting = list(texts.items())
    while waiting:
        name, text = waiting.pop()
        for target in (_target(name, found[2]) for found in _LINK.finditer(text)):
            if _is_outside(root, target) and target not in made and not target.endswith(".proto"):
                made[target] = _page(root, target)
                waiting.append((_document(root, target), made[target]))
    return made


def place(root: Path, name: str) -> str:
    """Return where in the site, relative to its root, the page of the project's file or folder `name` lies."""
    document = _document(root, name)
    if document.startswith("docs/"):
        return document.removeprefix("docs/")
    return _OUTSIDE + (document if document.endswith(".md") else f"{document}.md")


def origin(page: str) -> str:
    """Return the path in the project of the file that the site's `page` was made of; for code with .md behind it."""
    return page.removeprefix(_OUTSIDE) if page.startswith(_OUTSIDE) else f"docs/{page}"


def turned(root: Path, name: str, text: str) -> str:
    """Return the page of `name` with its links between files turned into links between pages."""
    here = posixpath.dirname(place(root, name))

    def turn(found: re.Match[str]) -> str:
        target = _target(name, found[2])
        if not (root / target).exists() or (not _is_outside(root, target) and name.startswith("docs/")):
            return found[0]  # mkdocs itself resolves these, and complains of those that are not there
        return found[1] + posixpath.relpath(place(root, target), here or ".")

    return _LINK.sub(turn, text)


def _target(name: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _is_outside(root: Path, target: str) -> bool:
    return not target.startswith(("docs/", "..")) and (root / target).exists()


def _document(root: Path, name: str) -> str:
    """Return the file that stands for `name`: itself, or of a folder its README.md, which need not be there."""
    return f"{name}/README.md" if (root / name).is_dir() else name


def _page(root: Path, name: str) -> str:
    path = root / _document(root, name)
    if path.suffix == ".md" and path.exists():
        return path.read_text(encoding="utf-8")
    if (root / name).is_dir():
        entries = sorted(entry.name for entry in (root / name).iterdir() if entry.is_file())
        listed = (entry for entry in entries if not entry.startswith(("_", ".")) and "_pb2" not in entry)
        return f"# {name}/\n\n" + "".join(f"- [{entry}]({entry})\n" for entry in listed)
    language = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".js": "js", ".sh": "bash", ".go": "go"}
    return f"# {name}\n\n````{language.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8')}\n````\n"
