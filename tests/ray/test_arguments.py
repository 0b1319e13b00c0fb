"""What an application may be told."""

import pytest

from deploy.ray.arguments import ArgumentError, Arguments, read_arguments
from service.settings import Settings


def test_the_command_lines_texts_are_read():
    read = read_arguments({"models": "/models", "rows": "8", "model": "gru"})
    assert (str(read.models), read.rows, read.model) == ("/models", 8, "gru")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "models: "),
        ({"models": "/models", "port": 1}, "port: 1: Extra inputs"),
        ({"models": "/models", "rows": 0}, "rows: 0: .* greater than or equal to 1"),
        ({"models": "/models", "device": "tpu"}, "device: 'tpu': .*'cpu', 'cuda' or 'auto'"),
        ({"models": "/models", "messages_per_second": 0}, "messages_per_second: 0: .* greater than 0"),
    ],
)
def test_a_bad_argument_is_named_with_its_value_and_limit_in_one_line(given, told):
    with pytest.raises(ArgumentError, match=rf"\A{told}[^\n]*\Z"):
        read_arguments(given)


def test_limits_and_defaults_are_those_of_a_server_of_our_own():
    for name in ("device", "rows", "queue_limit", "chunk_tokens", "max_new_tokens_limit", "log_level"):
        here, there = Arguments.model_fields[name], Settings.model_fields[name]
        assert (here.annotation, here.default, here.metadata) == (there.annotation, there.default, there.metadata), name
