"""`python -m deploy.grafana`: writes dashboard.json, beside it, from the list of metrics."""

import json
from pathlib import Path

from deploy.grafana.dashboard import dashboard

FILE = Path(__file__).parent / "dashboard.json"


def text() -> str:
    """Return what the file holds."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(FILE)
