"""Loads sent to real servers."""

import asyncio
import json
import signal
import time
from dataclasses import replace
from functools import partial
from itertools import takewhile

import pytest

from service.bench.driver import Part, drive
from service.bench.lengths import Lengths
from service.bench.level import Level
from service.bench.workload import Given, Request
from service.client import Client
from service.retry import Retry
from service.wire.options import Options
from tests.service.terminal.typed import run
from tests.service.wire.running import Running

EIGHT = Given((Request("The", Options()),), Lengths.parse("8"), 0)


def part(address: str, share: int = 0, shares: int = 1, workload: Given = EIGHT) -> Part:
    return Part(partial(Client, address, Retry(attempts=1)), 2, "gru", workload, share, shares)


def arrivals(level: Level) -> list[float]:
    return [at for at in takewhile(lambda at: at < level.end(), level.arrivals()) if at >= 0.0]


async def test_at_a_rate_every_arrival_is_sent_and_counted(running: Running):
    level = Level("rate", 40.0, 0.2, 1.0, None, 30.0, 3)
    seen = await drive(part(running.address), level, time.monotonic() + 0.5)
    counted = [record for record in seen.records if record.counts_in]
    assert [record.intended for record in counted] == arrivals(level)
    assert {(record.error, record.tokens) for record in counted} == {("", 8)}
    assert all(record.sent >= record.intended for record in counted)


async def test_processes_share_the_arrivals(running: Running):
    level = Level("rate", 40.0, 0.2, 1.0, None, 30.0, 3)
    begin = time.monotonic() + 0.5
    parts = await asyncio.gather(*(drive(part(running.address, share, 2), level, begin) for share in range(2)))
    found = sorted(record.intended for seen in parts for record in seen.records if record.counts_in)
    assert found == arrivals(level)


async def test_so_many_streams_run_at_all_times(running: Running):
    level = Level("streams", 3.0, 0.1, None, 20, 30.0, 3)
    seen = await drive(part(running.address), level, time.monotonic() + 0.5)
    counted = [record for record in seen.records if record.counts_in]
    assert (len(counted), {record.error for record in counted}) == (20, {""})
    for moment in (record.sent + 1e-6 for record in counted):
        assert (
            sum(record.sent <= moment and (record.error == "CUT" or record.ended > moment) for record in seen.records)
            <= 3
        )


async def test_a_server_that_stands_still_is_felt_by_all_that_were_to_be_sent_then(process):
    server = process()
    level = Level("rate", 60.0, 0.3, 2.0, None, 30.0, 3)
    begin = time.monotonic() + 0.8

    async def stand_still() -> None:
        await asyncio.sleep(begin + 0.5 - time.monotonic())
        server.popen.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        server.popen.send_signal(signal.SIGCONT)

    seen, _ = await asyncio.gather(drive(part(server.address), level, begin), stand_still())
    counted = [record for record in seen.records if record.counts_in]
    assert [record.intended for record in counted] == arrivals(level)
    felt = [record for record in counted if 0.55 < record.intended < 1.2]
    assert len(felt) > 20
    for record in felt:
        assert record.error or record.first_token >= 1.45 - record.intended


async def test_what_a_server_refuses_is_told_by_its_status(running: Running):
    level = Level("streams", 30.0, 0.0, None, 60, 30.0, 3)
    long = replace(EIGHT, output=Lengths.parse("400"))
    seen = await drive(part(running.address, workload=long), level, time.monotonic() + 0.5)
    counted = [record.error for record in seen.records if record.counts_in]
    assert (len(counted), set(counted)) == (60, {"", "RESOURCE_EXHAUSTED"})


@pytest.mark.parametrize("flags", [["--streams", "2,3"], ["--rate", "20,30", "--processes", "2"]])
async def test_the_command_tells_figures_of_every_level(running: Running, tmp_path, flags):
    picture = tmp_path / "load.png"
    flags += ["--requests", "12", "--warm-up", "0.1", "--output-tokens", "8", "--slo-ttft-ms", "60000"]
    flags += ["--png", str(picture), "--address", running.address]
    code, output, errors = await run("bench", "gru", *flags, "--json", "-")
    found = json.loads(output)
    assert [line for line in errors.splitlines() if not line.endswith(" ...")] == []
    assert (code, found["model"], found["output_tokens"]) == (0, "gru@2", "8")
    assert [level["load"] for level in found["levels"]] == [float(one) for one in flags[1].split(",")]
    for level in found["levels"]:
        assert (level["requests"], level["errors"]) == (12, {})
        assert level["goodput"] == pytest.approx(level["requests_per_second"]) == pytest.approx(12 / level["seconds"])
        assert 0 < level["first_token"]["p50"] <= level["first_token"]["p99.9"] < level["whole"]["p99.9"]
    assert picture.read_bytes().startswith(b"\x89PNG")


async def test_the_tables_have_a_row_for_every_level(running: Running):
    flags = [
        "--streams",
        "1,2",
        "--requests",
        "4",
        "--warm-up",
        "0",
        "--output-tokens",
        "8",
        "--address",
        running.address,
    ]
    code, output, errors = await run("bench", "gru", *flags)
    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()[2:4]] == [["1", "streams"], ["2", "streams"]]
    assert output.count("first token") == 2
    assert "1 streams: 4 requests are few for the percentiles at the end\n" in errors


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "one of the arguments --rate --streams is required"),
        (["--rate", "1", "--streams", "1"], "argument --streams: not allowed with argument --rate"),
        (["--rate", "0"], "argument --rate: 0; allowed: over 0"),
        (["--streams", "1.5"], "argument --streams: 1.5; allowed: a whole number, 1 or more"),
        (["--streams", "1", "--processes", "2"], "--streams 1 is less than one for each of --processes 2"),
        (["--rate", "1", "--duration", "1", "--requests", "1"], "give either --duration or --requests"),
        (["--rate", "1", "--png", "nowhere/load.png"], "nowhere/load.png: there is no folder "),
        (["--rate", "1", "--output-tokens", "many"], "--output-tokens: many; allowed: N, uniform:"),
        (["--rate", "1", "--prompts", "/dev/null"], "/dev/null: has no requests"),
    ],
)
async def test_a_load_that_cannot_be_is_refused(running: Running, flags, expected):
    code, _, errors = await run("bench", "gru", *flags, "--address", running.address)
    (line,) = errors.splitlines()
    assert (code, line.startswith(f"error: {expected}")) == (2, True), line


@pytest.mark.parametrize("load", [["--streams", "2"], ["--rate", "20"], ["--streams", "2", "--processes", "2"]])
async def test_a_request_that_cannot_be_ends_the_load(running: Running, tmp_path, load):
    (tmp_path / "prompts").write_text('{"prompt": "a"}\n{"prompt": "b", "parameters": {"seed": -1}}\n')
    flags = ["--prompts", str(tmp_path / "prompts"), "--duration", "1", "--warm-up", "0", "--address", running.address]
    code, _, errors = await run("bench", "gru", *load, *flags)
    assert (code, errors.splitlines()[-1]) == (2, "error: seed: -1 does not fit: Value out of range: -1")
