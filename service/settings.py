"""Settings of the server: flags, then the environment (SEQSTREAM_...), then a TOML file, then the defaults.

Nothing else of the server reads the command line or the environment.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from service.flags import Flags, add_flag


class SettingsError(ValueError):
    """A setting is missing, unknown or outside of its limits. The message is one line that names it."""


class Settings(BaseSettings):
    """Serve every bundle of a folder over gRPC. A flag wins over SEQSTREAM_<FLAG>, and that over the TOML file."""

    model_config = SettingsConfigDict(
        env_prefix="SEQSTREAM_",
        extra="forbid",
        frozen=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_exit_on_error=False,
    )

    models: Path = Field(description="folder of bundles, <name>/<version>/bundle.json")
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(50051, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where models run; auto takes cuda if it works")
    threads: int = Field(0, ge=0, le=1024, description="threads that compute inside one step; 0: as many as pay")
    spin: Literal["on", "off", "auto"] = Field(
        "auto", description="whether these threads wait busily for work: faster steps, no idle core; auto: if it pays"
    )
    rows: int = Field(32, ge=1, le=4096, description="sequences of one model that run at once")
    queue_limit: int = Field(256, ge=1, le=100_000, description="requests to one model that may wait")
    tenant_requests: int = Field(
        0, ge=0, le=1_000_000, description="requests of one tenant that may run or wait, over all models; 0: any number"
    )
    tenant_rows: int = Field(
        0,
        ge=0,
        le=4096,
        description="sequences of one model that run at once for one tenant, samples of a request too; 0: any number",
    )
    chunk_tokens: int = Field(256, ge=3, le=65536, description="most prompt tokens consumed between two decode steps")
    max_itl_ms: float = Field(
        0.0,
        ge=0,
        le=60_000,
        description="longest wait between two tokens of a stream that prompts of others should cause; 0: any",
    )
    max_new_tokens_limit: int = Field(4096, ge=1, le=1_000_000, description="most new tokens a request may ask for")
    drafts: str = Field(
        "off", min_length=1, description="what proposes tokens where requests do not say: off, prompt, or a model"
    )
    lame_duck_seconds: float = Field(
        0.0,
        ge=0,
        le=600,
        description="time after SIGTERM in which health says NOT_SERVING, yet calls are taken",
    )
    drain_seconds: float = Field(30.0, ge=0, le=86_400, description="time that streams have to end after that")
    max_connection_age_seconds: float = Field(
        0.0, ge=0, le=604_800, description="age at which clients are asked to connect anew, streams unharmed; 0: never"
    )
    connections: int = Field(4096, ge=1, le=1_000_000, description="connections of clients that may be open at once")
    connection_calls: int = Field(
        256, ge=1, le=1_000_000, description="calls that one connection may have at once; clients let others wait"
    )
    slow_client_tokens: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="tokens of a stream that may wait for a client that does not read, alternatives counted",
    )
    slow_client_seconds: float = Field(
        30.0, gt=0, le=86_400, description="time after which a client that does not read its stream is given up"
    )
    trial: Literal["on", "off"] = Field(
        "off", description="whether bundles are opened in processes of their own first, where they can do no harm"
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of Prometheus' metrics, on the same host; 0: a free one; default: none",
    )
    metrics_tenants: int = Field(
        100,
        ge=0,
        le=10_000,
        description="tenants that metrics name, the first that come; others count together",
    )
    traces_endpoint: str | None = Field(
        None,
        description="OTLP collector that traces of calls go to, http://HOST:PORT of gRPC; default: that of "
        "OTEL_EXPORTER_OTLP_ENDPOINT, or none",
    )
    health_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of health alone, without TLS, on the same host; 0: a free one; default: none",
    )
    reflection: Literal["on", "off"] = Field("on", description="whether the server tells its services to who may call")
    open_inference: Literal["on", "off"] = Field(
        "on",
        description="whether the server also speaks the Open Inference Protocol, as Triton's clients do",
    )
    tls_cert: Path | None = Field(None, description="TLS: PEM file of the server's certificate and those that sign it")
    tls_key: Path | None = Field(None, description="PEM file of its key; both are read again when they change")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of certificates: clients must show one that is signed by one of them"
    )
    callers: Path | None = Field(
        None, description="TOML file of those who may call, by token or certificate; read again when it changes"
    )
    anonymous_role: Literal["user", "admin"] = Field(
        "user", description="what callers may where nobody is asked who they are; an admin changes what is served"
    )
    watch_seconds: float = Field(
        0.0, ge=0, le=86_400, description="time between looks into the folder for new versions to serve; 0: none"
    )
    keep_versions: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="newest versions of each model that are served; 0: all; default: all, but one if new ones are "
        "looked for",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe messages logged")
    log_format: Literal["text", "json"] = Field("text", description="lines for people or for programs")
    log_prompts: Literal["on", "off"] = Field("off", description="whether the log may hold what prompts say")
    config: Path | None = Field(None, description="TOML file of settings")

    @property
    def kept(self) -> int:
        """Newest versions of each model that are served; 0: all."""
        return int(self.watch_seconds > 0) if self.keep_versions is None else self.keep_versions

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key")
        if self.callers is not None and self.anonymous_role != "user":
            raise ValueError("--anonymous-role goes without --callers, by which nobody is anonymous")
        return self


def read_settings(arguments: list[str]) -> Settings:
    """Read the settings from flags, environment and file. `--help` prints the flags and exits.

    Raises:
        SettingsError: naming the setting, what was given and what is allowed.
    """
    try:
        parser = Flags("python -m service", Settings.__doc__ or "")
        source = CliSettingsSource[Any](
            Settings, cli_parse_args=arguments, root_parser=parser, add_argument_method=add_flag
        )
        given = {**_standard(), **EnvSettingsSource(Settings)(), **source()}
    except (SourceError, ValueError) as error:
        raise SettingsError(str(error)) from None
    try:
        return Settings(**{**_read_file(given.get("config")), **given})
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from None


def _standard() -> dict[str, str]:
    """Return what is set by names that OpenTelemetry has given it."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    found = [value for name in names if (value := os.environ.get(name))]
    return {"traces_endpoint": found[0]} if found else {}


def _read_file(path: str | Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    if not Path(path).is_file():
        raise SettingsError(f"--config: {path}: no such file")
    try:
        return TomlConfigSettingsSource(Settings, Path(path))()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"--config: {path}: is not TOML: {error}") from None


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name = "--" + ".".join(map(str, first["loc"])).replace("_", "-")
    if first["type"] == "missing":
        return f"{name} is missing"
    return f"{name}: {first['input']!r}: {first['msg']}"
