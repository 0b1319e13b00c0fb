"""Graphs changed by chance: what comes of it is anybody's guess, and often ONNX Runtime's end."""

from __future__ import annotations

import random

import onnx
from onnx import ModelProto, TensorProto

from benchmarks.reliability.graphs import Harm


def stir(chance: random.Random) -> Harm:
    """Attributes, inputs, operators and shapes of a few nodes changed by chance."""

    def change(model: ModelProto) -> None:
        for _ in range(chance.choice((1, 1, 2, 5))):
            node = chance.choice(model.graph.node)
            kind = chance.randrange(6)
            if kind == 0 and node.attribute:
                _stir_attribute(chance, chance.choice(node.attribute))
            elif kind == 1 and node.input:
                other = chance.choice(model.graph.node)
                node.input[chance.randrange(len(node.input))] = chance.choice((*other.input, *other.output, ""))
            elif kind == 2:
                node.op_type = chance.choice(model.graph.node).op_type
            elif kind == 3 and node.input:
                node.input.pop()
            elif kind == 4 and model.graph.initializer:
                _stir_tensor(chance, chance.choice(model.graph.initializer))
            else:
                model.graph.node.remove(node)

    return change


def _stir_attribute(chance: random.Random, attribute: onnx.AttributeProto) -> None:
    number = chance.choice((-(1 << 63), -1, 0, 1, 2, 1 << 31, (1 << 63) - 1))
    if attribute.ints:
        attribute.ints[chance.randrange(len(attribute.ints))] = number
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = number
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = chance.choice((float("nan"), float("inf"), -1.0, 0.0))
    else:
        attribute.s = chance.choice((b"", b"NOTSET", b"\xff"))


def _stir_tensor(chance: random.Random, tensor: TensorProto) -> None:
    """Turn the shape around, or change a whole number: both leave as many bytes."""
    if tensor.data_type == TensorProto.INT64 and len(tensor.raw_data) >= 8:
        place = 8 * chance.randrange(len(tensor.raw_data) // 8)
        value = chance.choice((-(1 << 62), -1, 0, 1, 7, 1 << 20, 1 << 40)).to_bytes(8, "little", signed=True)
        tensor.raw_data = tensor.raw_data[:place] + value + tensor.raw_data[place + 8 :]
    else:
        turned = list(tensor.dims)[::-1]
        del tensor.dims[:]
        tensor.dims.extend(turned if len(turned) > 1 else [*turned, 1])
