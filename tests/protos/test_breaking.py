"""What clients of before were made for stays: the check that `make check` runs, on a project of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTO = Path("protos/seqstream/v1/generation.proto")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    environment = {**os.environ, **who, "PATH": tools}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The .proto files as they are, committed on main."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    for command in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-q", "-m", "as it is")):
        assert run(tmp_path, "git", *command).returncode == 0
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after", "breaks"),
    [
        ("uint32 max_tokens = 3;", "uint32 most_tokens = 3;", 'changed name from "max_tokens" to "most_tokens"'),
        ("bool prompt_lookup = 1;", "bool prompt_lookup = 9;", 'Previously present field "1"'),
        ("int32 priority = 13;", "int32 priority = 13;\n\n  // New.\n  uint32 hurry = 99;", None),
    ],
)
def test_a_changed_field_breaks_and_a_new_one_does_not(project: Path, before: str, after: str, breaks: str | None):
    text = (project / PROTO).read_text(encoding="utf-8")
    assert text.count(before) == 1
    (project / PROTO).write_text(text.replace(before, after), encoding="utf-8")
    checked = run(project, "bash", "protos/breaking.sh")
    if breaks is None:
        assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr
    else:
        assert checked.returncode != 0
        assert breaks in checked.stdout + checked.stderr


def test_without_anything_to_compare_with_it_says_so(project: Path):
    assert run(project, "git", "branch", "-q", "-m", "other").returncode == 0
    checked = run(project, "bash", "protos/breaking.sh")
    assert checked.returncode == 0
    assert checked.stdout.startswith("skipped: buf breaking")
