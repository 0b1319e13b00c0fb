"""The site that is made of docs/: whole, without a network, and true to the .proto files."""

import importlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from docs.site import formulas, links, protocol

ROOT = Path(__file__).parents[2]
PROTOCOL = protocol.pages(ROOT)


class Addresses(HTMLParser):
    """What a page loads by itself, and where it leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a":
            self.leads.append(given.get("href") or "")
        elif tag != "link" or given.get("rel") not in {"next", "prev", "canonical"}:
            self.loads += [given[name] for name in ("src", "href") if given.get(name)]


def addresses(page: Path) -> Addresses:
    found = Addresses()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_nothing_is_loaded_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    foreign = {load for page in pages for load in addresses(page).loads if re.match("(https?:)?//", load)}
    assert not foreign


def test_every_page_that_is_linked_to_is_there(site):
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for lead in addresses(page).leads:
            path = lead.split("#")[0]
            if path and not re.match("[a-z]+:", path):
                assert (page.parent / path).exists(), f"{page.relative_to(site)}: {lead}"


def test_formulas_are_drawn_without_a_script(site):
    pages = "".join(page.read_text(encoding="utf-8") for page in site.glob("*.html"))
    assert 'class="arithmatex"' not in pages


def test_a_formula_that_cannot_be_drawn_is_an_error():
    with pytest.raises(ValueError, match="aligned"):
        formulas.drawn(r'<div class="arithmatex">\[\begin{aligned} a &amp;= b \end{aligned}\]</div>')


def messages(given):
    """Those and what is declared within them, but for the entries of maps, which nobody writes."""
    for message in given:
        if not message.GetOptions().map_entry:
            yield message
            yield from messages(message.nested_types)


@pytest.mark.parametrize("name", sorted(PROTOCOL))
def test_the_reference_has_every_method_field_and_value_with_its_comment(name):
    reference = PROTOCOL[name]
    file = importlib.import_module(name.replace("/", ".").replace(".proto", "_pb2")).DESCRIPTOR
    rows = re.findall(r"^\| \d+ \| `(\w+)` \|(?: .* \|)? (.*) \|$", reference, re.MULTILINE)
    assert all(comment for _, comment in rows)
    expected = sorted(
        [field.name for message in messages(file.message_types_by_name.values()) for field in message.fields]
        + [value.name for enum in file.enum_types_by_name.values() for value in enum.values]
    )
    assert sorted(name for name, _ in rows) == expected
    for service in file.services_by_name.values():
        assert all(f"### {method.name} {{#{service.name}.{method.name}}}\n" in reference for method in service.methods)


def test_types_lead_to_where_they_are_declared(site):
    page = site / "project/protos/seqstream/v1/generation.proto.html"
    text = page.read_text(encoding="utf-8")
    assert 'id="GenerateRequest"' in text
    assert '<a href="#SamplingParameters">SamplingParameters</a>' in text


def test_links_out_of_the_pages_become_pages():
    texts = {
        "docs/a.md": "see [it](../SECURITY.md#x), [that](../deploy/envoy/envoy.yaml), [here](b.md), [there](https://c.d)"
    }
    made = links.pages(ROOT, texts)
    assert made["SECURITY.md"] == (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "static_resources" in made["deploy/envoy/envoy.yaml"]
    assert links.turned(ROOT, "docs/a.md", texts["docs/a.md"]) == (
        "see [it](project/SECURITY.md#x), [that](project/deploy/envoy/envoy.yaml.md), [here](b.md), [there](https://c.d)"
    )
    assert "](../access.md)" in links.turned(ROOT, "SECURITY.md", made["SECURITY.md"])


def test_issue_templates_are_what_the_forge_takes():
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("[!c]*.yml")]
    assert len(forms) == 3
    for form in forms:
        assert form.keys() >= {"name", "description", "body"}
        fields = [part for part in form["body"] if part["type"] != "markdown"]
        assert all(part["id"] and part["attributes"]["label"] for part in fields)
