"""`python -m protos` makes the code that the services import."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_code_of_every_proto_is_made_beside_it(tmp_path: Path):
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    run = [sys.executable, "-m", "protos"]
    subprocess.run(run, cwd=tmp_path, check=True, timeout=60)
    folder = tmp_path / "protos" / "seqstream" / "v1"
    protos = [path.stem for path in folder.glob("*.proto")]
    assert set(protos) == {"generation", "inspection", "model"}
    for name in protos:
        assert {f"{name}_pb2.py", f"{name}_pb2.pyi", f"{name}_pb2_grpc.py"} <= {path.name for path in folder.iterdir()}
    program = "from protos.seqstream.v1 import generation_pb2_grpc, model_pb2_grpc; print(model_pb2_grpc.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()).parent == folder
