"""The short commands, and what is said of a command line that is wrong."""

import json
import re
import shlex
import subprocess

import grpc
import pytest

from service.client import Client
from service.terminal.command_line import COMMANDS, main
from tests.service.terminal.typed import run
from tests.service.wire.running import Running


async def test_models_are_a_table_or_json(running: Running):
    code, table, _ = await run("models", "--address", running.address)
    references = ["gru@1", "gru@2", "transformer@1", "transformer-lm@1"]
    assert (code, [line.split()[0] for line in table.splitlines()[2:]]) == (0, references)
    _, output, _ = await run("models", "transformer", "--json", "--address", running.address)
    async with Client(running.address) as client:
        expected = await client.model("transformer")
    (found,) = json.loads(output)
    assert (found["source_limit"], found["precision"], found["rows"]) == (expected.source_limit, "fp32", 4)


async def test_a_score_tells_every_token_and_the_whole(running: Running):
    async with Client(running.address) as client:
        score = await client.score("gru", "The", " quick")
    code, output, _ = await run("score", "gru", "The", " quick", "--address", running.address)
    *lines, total = output.splitlines()
    assert code == 0
    assert [int(line.split()[0]) for line in lines] == [one.token_id for one in score.logprobs]
    assert total.startswith(f"{len(lines)} tokens, log-probability {score.total_logprob:.3f}, perplexity ")
    _, output, _ = await run("score", "gru", "The", " quick", "--json", "--address", running.address)
    assert json.loads(output)["total_logprob"] == pytest.approx(score.total_logprob)


async def test_tokens_are_shown_with_their_part_of_the_text(running: Running):
    code, output, _ = await run(
        "tokenize", "transformer", "1973", "--vocabulary", "target", "--address", running.address
    )
    assert (code, [line.split()[1] for line in output.splitlines()]) == (0, ['"1"', '"9"', '"7"', '"3"'])


async def test_health_is_told_by_the_exit_code(running: Running):
    at = ("--address", running.address)
    assert await run("health", *at) == (0, "SERVING\n", "")
    assert await run("health", "gru", *at) == (0, "SERVING\n", "")
    code, _, errors = await run("health", "gur", *at)
    assert (code, errors.endswith("; did you mean gru?\n")) == (1, True)
    await running.server.drain(0)
    assert await run("health", *at) == (1, "NOT_SERVING\n", "")


async def test_errors_of_calls_are_one_line_that_helps(running: Running):
    there = "there are: gru@1, gru@2, transformer@1, transformer-lm@1"
    for arguments, code, expected in [
        (["nope", "a"], 1, f"no model 'nope'; {there}"),
        (["trasformer", "a"], 1, f"no model 'trasformer'; {there}; did you mean transformer?"),
        (["gru@3", "a"], 1, f"no model 'gru@3'; {there}; did you mean gru@2?"),
        (["gru", "a", "--top-p", "2", "--min-p", "3"], 1, "sampling.top_p is 2; allowed: over 0 to 1; sampling.min_p"),
        (["gru", "a", "--seed", "-1"], 2, "seed: -1 does not fit"),
    ]:
        found, output, errors = await run("generate", *arguments, "--address", running.address)
        assert (found, output) == (code, "")
        (line,) = errors.splitlines()
        assert line.startswith(f"error: {expected}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give a command: generate, score, "),
        (["generat"], "no command 'generat'; .*; did you mean generate[?]"),
        (["gru", "The"], "no command 'gru'; .*; to generate: .* generate gru"),
        (["generate"], "the following arguments are required: MODEL; see .* generate --help"),
        (["generate", "gru", "a", "--temprature", "1"], "no flag --temprature; did you mean --temperature[?]; see "),
        (["generate", "gru", "a", "b"], "'b' is one argument too many [(]quote what has spaces[)]"),
        (["generate", "gru", "a", "--top-k", "x"], "argument --top-k: invalid int value: 'x'"),
        (["models", "--tls-ca", "nowhere.pem"], "argument --tls-ca: nowhere.pem: No such file or directory"),
        (["models", "--tls-ca", "README.md"], "argument --tls-ca: README.md: no certificate in PEM"),
        (["models", "--token-file", "README.md"], "README.md: holds [0-9]+ words; allowed: one, the token"),
        (["unload", "gru@1", "--drain", "-1"], "argument --drain: -1; allowed: a number, 0 or more"),
        (["completion", "ksh"], "argument SHELL: invalid choice: 'ksh'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(arguments, expected, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["seqstream"])
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"error: {expected}", line)


@pytest.mark.parametrize("command", [[], *([command.name] for command in COMMANDS)])
def test_help_fits_80_columns_and_ends_with_exit_codes(command, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["seqstream"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith("exit codes: 0 ")


def test_a_library_that_is_missing_is_told_with_the_line_that_installs_it(capsys, monkeypatch):
    monkeypatch.setattr("service.terminal.extra.find_spec", lambda _: None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err == "error: this needs shtab: pip install 'seqstream[client]'\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert not [command.name for command in COMMANDS if command.name not in script]


def test_bash_completes_commands_flags_and_files(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "requests.jsonl").touch()

    def completed(*words: str) -> list[str]:
        typed = " ".join(shlex.quote(word) for word in ("seqstream", *words))
        line = (
            f"source ./script; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_seqstream; echo ${{COMPREPLY[@]}}"
        )
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("gen") == ["generate"]
    assert completed("generate", "--temp") == ["--temperature"]
    assert completed("generate", "--jsonl", "req") == ["requests.jsonl"]


async def test_a_server_of_grpc_that_is_another_is_told():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    code, _, errors = await run("models", "--address", f"127.0.0.1:{port}")
    await server.stop(None)
    assert (code, errors) == (
        1,
        f"error: what listens at 127.0.0.1:{port} speaks gRPC, but does not know this call: Method not found!\n",
    )
