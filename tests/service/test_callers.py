"""The file of callers, and the command that makes tokens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.callers import CallersError, read_callers
from service.identity import Identity, Role
from service.token import digest, new_token, token_id
from service.tokens import main
from tests.service.wire.showing import entry

SECRET = re.compile(r"sqs_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n")


def test_a_token_is_printed_once_and_its_hash_is_kept(tmp_path: Path, capsys):
    file = tmp_path / "callers.toml"
    assert main(["new", "--tenant", "acme", "--file", str(file)]) == 0
    first, errors = capsys.readouterr()
    assert main(["new", "--role", "admin", "--days", "2", "--file", str(file)]) == 0
    second, _ = capsys.readouterr()
    assert SECRET.fullmatch(first)
    assert SECRET.fullmatch(second)
    assert errors == ""
    assert file.stat().st_mode & 0o777 == 0o600
    for token in (first.strip(), second.strip()):
        assert token not in file.read_text()
        assert token.rpartition("_")[2] not in file.read_text()
    callers = read_callers(file)
    assert callers.by_token(first.strip()) == Identity("acme", Role.USER, token_id(first.strip()))
    assert callers.by_token(second.strip()) == Identity("", Role.ADMIN, token_id(second.strip()))


def test_without_a_file_the_entry_goes_to_stderr(tmp_path: Path):
    command = [sys.executable, "-m", "service.tokens", "new", "--tenant", "acme"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    file = tmp_path / "callers.toml"
    file.write_text(done.stderr)
    assert read_callers(file).by_token(done.stdout.strip()).tenant == "acme"


def test_a_file_that_is_broken_gets_no_token(tmp_path: Path, capsys):
    file = tmp_path / "callers.toml"
    file.write_text("[[token]]\n")
    assert main(["new", "--file", str(file)]) == 1
    assert capsys.readouterr() == ("", f"error: {file}: token[0].id: Field required\n")
    assert file.read_text() == "[[token]]\n"


def test_a_token_is_nobodys_unless_every_character_is_right(tmp_path: Path):
    token, other = new_token(), new_token()
    file = tmp_path / "callers.toml"
    file.write_text(entry(token))
    callers = read_callers(file)
    assert callers.by_token(token) is not None
    swapped = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in (other, swapped, token[:-1], token + "A", token.upper(), token_id(token), digest(token), "", "é"):
        assert callers.by_token(wrong) is None
    mixed = f"sqs_{token_id(token)}_{other.rpartition('_')[2]}"
    assert callers.by_token(mixed) is None


def test_a_token_expires(tmp_path: Path):
    old, new = new_token(), new_token()
    file = tmp_path / "callers.toml"
    file.write_text(entry(old, expires="2020-01-01T00:00:00Z") + entry(new, expires="2999-01-01T00:00:00Z"))
    callers = read_callers(file)
    assert callers.by_token(old) is None
    assert callers.by_token(new) is not None


def test_what_is_wrong_in_the_file_is_told_without_what_is_in_it(tmp_path: Path):
    token = new_token()
    file = tmp_path / "callers.toml"
    good = entry(token)
    for text, expected in [
        (f'[[token]]\nid = "{token_id(token)}"\nsha256 = "{token}"\n', "token[0].sha256: String should match pattern"),
        (f"{good}[[token]]\n{token} = 1\n", "token[1]"),
        (f'{token} = "a"\n{good}', "has an unknown key"),
        (f"{token}\n", "is not TOML"),
        (good + good, "token[1].id: is that of another entry"),
        (entry(token, role='"root"'), "token[0].role: Input should be 'user' or 'admin'"),
        (entry(token, tenant='"a b"'), "token[0].tenant: Value error, allowed: 1 to 64 of"),
        (entry(token, expires="2020-01-01T00:00:00"), "token[0].expires: Input should have timezone info"),
        ('[[certificate]]\nname = ""\n', "certificate[0].name: String should have at least 1 character"),
        ('[[certificate]]\nname = "a"\n' * 2, "certificate[1].name: is that of another entry"),
    ]:
        file.write_text(text)
        with pytest.raises(CallersError) as refused:
            read_callers(file)
        assert str(refused.value).startswith(f"{file}: ")
        assert expected in str(refused.value)
        assert token not in str(refused.value)
        assert "\n" not in str(refused.value)
    file.unlink()
    with pytest.raises(CallersError, match="No such file or directory"):
        read_callers(file)


@pytest.mark.parametrize("arguments", [["--tenant", "a b"], ["--role", "root"], ["--days", "0"], ["--days", "x"], []])
def test_the_command_line_is_checked(arguments: list[str], capsys):
    with pytest.raises(SystemExit) as ended:
        main(["new", *arguments] if arguments else [])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
