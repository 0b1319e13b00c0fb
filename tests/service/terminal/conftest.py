"""Real servers, as in tests/service/wire."""

from tests.service.wire.conftest import eager, models_folder, process, running

__all__ = ["eager", "models_folder", "process", "running"]
