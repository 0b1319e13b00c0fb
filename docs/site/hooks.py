"""The hooks that mkdocs calls, in the order in which it does; each hands on to one file of this folder."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.site import formulas, links, protocol

ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made: of files outside of docs/ that pages link to, and of the .proto files."""
    own = [file for file in files.documentation_pages() if file.abs_src_path is not None]
    texts = {f"docs/{file.src_uri}": file.content_string for file in own}
    made = {**links.pages(ROOT, texts), **protocol.pages(ROOT)}
    for name, text in made.items():
        files.append(File.generated(config, links.place(ROOT, name), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the project into links between pages of the site."""
    return links.turned(ROOT, links.origin(page.file.src_uri), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, which browsers draw themselves."""
    return formulas.drawn(html)
