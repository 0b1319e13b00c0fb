"""What the page says, against what it should: both languages, and the limits of the protocol."""

import json
import re
import subprocess

import pytest

from tests.web.serving import ROOT, WEB

ENGLISH, KOREAN = (
    json.loads((WEB / "src" / "strings" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "ko")
)
PROTO = (ROOT / "protos" / "seqstream" / "v1" / "generation.proto").read_text(encoding="utf-8")
LIMITS = (WEB / "src" / "view" / "limits.ts").read_text(encoding="utf-8")
PARAMETER = re.compile(r'parameter\("\w+", "(\w+)", \{ (.*?) \}')
# An optional field whose absence the protocol does not explain by a number.
NUMBER = r"-?[\d.]*\d"


def test_both_languages_say_the_same_things_with_the_same_values():
    assert list(ENGLISH) == list(KOREAN)
    for key in ENGLISH:
        assert set(re.findall(r"{\w+}", ENGLISH[key])) == set(re.findall(r"{\w+}", KOREAN[key])), key
        assert ENGLISH[key].strip(), key
        assert KOREAN[key].strip(), key


def test_korean_is_written_in_korean():
    """Names of the field, which Korean leaves as they are, are few."""
    latin = [key for key, text in KOREAN.items() if not re.search("[가-힣]", text)]
    assert set(latin) <= {"parameters.top_k", "parameters.top_p", "parameters.min_p", "parameters.typical_p",
                          "reason.unspecified", "attention.cell"}  # fmt: skip


@pytest.mark.parametrize(("name", "values"), PARAMETER.findall(LIMITS))
def test_limits_and_defaults_are_those_of_the_protocol(name: str, values: str):
    comment = " ".join(re.findall(r"//(.*)", re.findall(rf"((?://[^\n]*\n\s*)+)\w[\w ]* {name} = \d+;", PROTO)[-1]))
    shown = dict(re.findall(r'(\w+): ("[^"]*"|[\w.-]+)', values))
    default = re.search(rf"Default ({NUMBER})", comment)
    assert default is not None, comment
    assert float(shown["preset"].strip('"')) == float(default[1])
    allowed = shown["allowed"].strip('"').replace("−", "-")
    if limits := re.search(rf"(Over )?({NUMBER}) to ({NUMBER})\. ", comment):
        over, low, high = limits.groups()
        assert allowed == f"{'> ' if over else ''}{low} – {high}"
        assert float(shown["least"]) == float(low)
        assert float(shown["most"]) == float(high)
    else:
        assert allowed == f"≥ {shown['least']}"


def test_every_parameter_is_a_field_of_the_protocol():
    assert len(PARAMETER.findall(LIMITS)) == 10


def test_the_page_and_its_server_have_the_same_policy(dist):
    header = re.search(r'Content-Security-Policy "(.*?)"', (WEB / "nginx.conf").read_text(encoding="utf-8"))
    page = re.search(r'Content-Security-Policy" content="(.*?)"', (dist / "index.html").read_text(encoding="utf-8"))
    assert header is not None
    assert page is not None
    assert header[1] == page[1].replace("&#39;", "'") + "; frame-ancestors 'none'"


def test_nothing_in_the_page_reads_html():
    read = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|createContextualFragment"
    found = subprocess.run(["grep", "-rnE", read, str(WEB / "src")], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")
