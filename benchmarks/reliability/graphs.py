"""Graphs that no export writes: made from a good one, each to do harm in one way.

They are made with the library of ONNX, which a server does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, helper

Harm = Callable[[ModelProto], None]


def harm(path: Path, how: Harm) -> None:
    """Change the graph in a file, whose weights stay where they are."""
    model = onnx.load(path, load_external_data=False)
    how(model)
    path.write_bytes(model.SerializeToString())


def custom_operator(model: ModelProto) -> None:
    """An operator of a domain that nobody knows."""
    model.opset_import.append(helper.make_opsetid("evil", 1))
    model.graph.node.append(helper.make_node("Shell", ["tokens"], ["_evil"], domain="evil"))


def unknown_operator(model: ModelProto) -> None:
    """An operator that is not in the standard."""
    model.graph.node.append(helper.make_node("NoSuchOperator", ["tokens"], ["_evil"]))


def python_operator(model: ModelProto) -> None:
    """ONNX Runtime's way into Python."""
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("PythonOp", ["tokens"], ["_evil"], domain="com.microsoft"))


def endless_loop(model: ModelProto) -> None:
    """A loop whose condition stays true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["condition"], ["again"])],
        "body",
        [helper.make_tensor_value_info("round", TensorProto.INT64, []),
         helper.make_tensor_value_info("condition", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
    )  # fmt: skip
    model.graph.initializer.append(helper.make_tensor("_true", TensorProto.BOOL, [], [True]))
    model.graph.node.insert(0, helper.make_node("Loop", ["", "_true"], [], body=body))


def deep_branches(model: ModelProto) -> None:
    """Branches inside of branches, deeper than any export writes."""
    node = helper.make_node("Identity", ["tokens"], ["_deep"])
    model.graph.initializer.append(helper.make_tensor("_true", TensorProto.BOOL, [], [True]))
    for _ in range(12):
        out = helper.make_tensor_value_info("_deep", TensorProto.INT64, None)
        graph = helper.make_graph([node], "branch", [], [out])
        node = helper.make_node("If", ["_true"], ["_deep"], then_branch=graph, else_branch=graph)
        node.attribute.pop()
    model.graph.node.append(node)


def own_function(model: ModelProto) -> None:
    """A function that calls itself."""
    node = helper.make_node("Again", ["x"], ["y"], domain="own")
    imports = [helper.make_opsetid("own", 1)]
    model.opset_import.append(imports[0])
    model.functions.append(helper.make_function("own", "Again", ["x"], ["y"], [node], imports))
    model.graph.node.append(helper.make_node("Again", ["tokens"], ["_evil"], domain="own"))


def enormous_constant(model: ModelProto) -> None:
    """A tensor of 8 TiB, computed when the graph is opened."""
    model.graph.initializer.append(helper.make_tensor("_size", TensorProto.INT64, [1], [1 << 40]))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["_size"], ["_evil"]))


def enormous_range(model: ModelProto) -> None:
    """Numbers up to 2^62."""
    for name, value in (("_zero", 0), ("_most", 1 << 62), ("_one", 1)):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [], [value]))
    model.graph.node.append(helper.make_node("Range", ["_zero", "_most", "_one"], ["_evil"]))


def enormous_weights(model: ModelProto) -> None:
    """A weight whose shape says 4 EiB, and which holds four bytes."""
    tensor = TensorProto(name="_evil", data_type=TensorProto.FLOAT, dims=[1 << 30, 1 << 30], raw_data=b"\0" * 4)
    model.graph.initializer.append(tensor)


def overflowing_weights(model: ModelProto) -> None:
    """A weight whose size is 0 by 64-bit arithmetic."""
    tensor = TensorProto(name="_evil", data_type=TensorProto.FLOAT, dims=[1 << 32, 1 << 32], raw_data=b"")
    model.graph.initializer.append(tensor)


def negative_weights(model: ModelProto) -> None:
    """A weight with a negative axis."""
    tensor = TensorProto(name="_evil", data_type=TensorProto.FLOAT, dims=[-1, -4], raw_data=b"\0" * 16)
    model.graph.initializer.append(tensor)


def sparse_weights(model: ModelProto) -> None:
    """A sparse tensor of 2^40 elements, of which one is there."""
    values = TensorProto(name="_evil", data_type=TensorProto.FLOAT, dims=[1], raw_data=b"\0" * 4)
    indices = helper.make_tensor("_at", TensorProto.INT64, [1], [7])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 40]))


def elsewhere(location: str, offset: str = "0", length: str = "16") -> Harm:
    """Weights in another file, or in another place of theirs."""

    def change(model: ModelProto) -> None:
        tensor = TensorProto(name="_evil", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=value)
        model.graph.initializer.append(tensor)
        model.graph.node.append(helper.make_node("Identity", ["_evil"], ["_read"]))

    return change


def zero_stride(model: ModelProto) -> None:
    """A convolution that goes nowhere: ONNX Runtime divides by its stride."""
    model.graph.initializer.append(helper.make_tensor("_image", TensorProto.FLOAT, [1, 1, 4, 4], [0.0] * 16))
    model.graph.initializer.append(helper.make_tensor("_weights", TensorProto.FLOAT, [1, 1, 1, 1], [1.0]))
    model.graph.node.append(helper.make_node("Conv", ["_image", "_weights"], ["_evil"], strides=[0, 1]))


def swapped_outputs(model: ModelProto) -> None:
    """The first two outputs under each other's names."""
    first, second = model.graph.output[0], model.graph.output[1]
    first.name, second.name = second.name, first.name


def wrong_indices(model: ModelProto) -> None:
    """Tokens far outside of the vocabulary."""
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == "top_indices":
                node.output[place] = "_inside"
    model.graph.initializer.append(helper.make_tensor("_far", TensorProto.INT64, [], [1 << 40]))
    model.graph.node.append(helper.make_node("Add", ["_inside", "_far"], ["top_indices"]))


HARMS: tuple[Harm, ...] = (
    custom_operator, unknown_operator, python_operator, endless_loop, deep_branches, own_function, enormous_constant,
    enormous_range, enormous_weights, overflowing_weights, negative_weights, sparse_weights, zero_stride,
    swapped_outputs, wrong_indices,
    elsewhere("../../../../../../etc/passwd"), elsewhere("/etc/passwd"), elsewhere("/dev/zero"),
    elsewhere("bundle.json"), elsewhere("tokenizer.json"), elsewhere("step.onnx"), elsewhere(""),
    elsewhere("step.onnx.data", str(1 << 62)), elsewhere("step.onnx.data", "-16"),
    elsewhere("step.onnx.data", "0", "9" * 30),
)  # fmt: skip
