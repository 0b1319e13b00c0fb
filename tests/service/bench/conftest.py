"""Real servers, as in tests/service/wire."""

from tests.service.wire.conftest import models_folder, process, running

__all__ = ["models_folder", "process", "running"]
