"""Large weights beside a graph: the format of graphs (protobuf) ends at 2 GB, and a file of bare numbers can be mapped.

A graph whose weights are few keeps them inside, so that small models are one file. Knows nothing about bundles.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto

from export.quantize.constants import initializers

# Bytes of weights that a graph may hold inside.
INSIDE = 2**26
# Least bytes of a tensor that goes to the other file, and what its place there is a multiple of: memory is mapped in
# pages of 4 kB on Linux and in pieces of 64 kB on Windows.
ALIGNMENT = 2**16


def write_graph(model: onnx.ModelProto, path: Path, data: Path, inside: int = INSIDE) -> None:
    """Write `model` to `path`, and its large initialisers to `data`, in the same folder, if they are too much for one.

    The initialisers that go to `data` are taken out of `model`.

    inside: bytes of initialisers that may stay in the graph; with more, those of at least `ALIGNMENT` bytes leave it.
    """
    if sum(len(tensor.raw_data) for tensor in initializers(model.graph)) > inside:
        with data.open("wb") as file:
            for tensor in initializers(model.graph):
                if len(tensor.raw_data) >= ALIGNMENT:
                    file.seek(-(-file.tell() // ALIGNMENT) * ALIGNMENT)
                    _place(tensor, data.name, file.tell())
                    file.write(tensor.raw_data)
                    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString(deterministic=True))


def _place(tensor: TensorProto, location: str, offset: int) -> None:
    """Say in `tensor` where its bytes are."""
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", len(tensor.raw_data))):
        tensor.external_data.add(key=key, value=str(value))
