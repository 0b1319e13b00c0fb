"""`python -m protos`: generates the Python code of the wire beside the .proto files, where git ignores it."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from pathlib import Path

PROTOS = Path(__file__).parent


def main() -> int:
    """Run protoc over every .proto file of this folder. Returns its exit code."""
    argparse.ArgumentParser(prog="python -m protos", description=__doc__).parse_args()
    try:
        from grpc_tools import protoc
    except ModuleNotFoundError:
        print("grpcio-tools is not installed: pip install 'seqstream[dev]'", file=sys.stderr)
        return 2
    sources = sorted(str(path.relative_to(PROTOS.parent)) for path in PROTOS.rglob("*.proto"))
    # Paths from the root of the project, so that the generated imports are `from protos.seqstream.v1 import ...`.
    root = str(PROTOS.parent)
    outputs = [f"--{kind}_out={root}" for kind in ("python", "pyi", "grpc_python")]
    well_known = str(files("grpc_tools") / "_proto")
    return int(protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *outputs, *sources]))


if __name__ == "__main__":
    sys.exit(main())
