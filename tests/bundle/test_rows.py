"""Rows against plain numpy arrays, on both kinds of memory: what a step would read after any sequence of calls."""

import ctypes

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.manifest import StateSpec
from bundle.memory import COPY_GRAPH, DeviceMemory, HostMemory
from bundle.rows import Rows

CAPACITY, ENTRIES = 5, 4
SPECS = (
    StateSpec(name="hidden", kind="recurrent", dtype="float32", shape=(3,)),
    StateSpec(name="position", kind="recurrent", dtype="int64", shape=()),
    StateSpec(name="keys", kind="cache", dtype="float32", shape=(2, ENTRIES, 2), axis=1),
    StateSpec(name="source", kind="static", dtype="float32", shape=(2,)),
)

ROW = st.integers(0, CAPACITY - 1)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("prefix"), st.integers(1, CAPACITY), st.just(0)),
        st.tuples(st.just("step"), st.integers(1, CAPACITY - 1), st.just(1)),
        st.tuples(st.just("copy"), ROW, ROW),
        st.tuples(st.just("reset"), ROW, st.just(1)),
    ),
    max_size=30,
)


def memory(kind):
    return HostMemory() if kind == "host" else DeviceMemory("cpu")


def put(address, array):
    ctypes.memmove(address, np.ascontiguousarray(array).ctypes.data, array.nbytes)


def step(rows, first, count, number):
    """Do to rows what a graph does: write new recurrent states to the other side and one cache entry in place."""
    for name, buffer in rows.buffers.items():
        if buffer.spec.kind == "recurrent":
            old = rows.read(name, first, count)
            put(buffer.address(1 - rows.side, first), old + np.asarray(number).astype(old.dtype))
        elif buffer.spec.kind == "cache":
            old = rows.read(name, first, count)
            put(buffer.address(rows.side, first), old + np.float32(number))
    rows.commit(first, count)


@pytest.mark.parametrize("kind", ["host", "device"])
@pytest.mark.parametrize("row", [0, 2])
def test_a_rewound_row_counts_on_from_where_it_was(kind, row):
    """On both sides, so that it does not matter whether a step over the first rows comes between."""
    specs = (StateSpec(name="position", kind="recurrent", dtype="int64", shape=(), counter=True), SPECS[2])
    rows = Rows(specs, CAPACITY, memory(kind))
    rows.reset(0, CAPACITY)
    put(rows.buffers["keys"].address(0, 0), np.zeros((CAPACITY, 2, ENTRIES, 2), np.float32))
    step(rows, 0, CAPACITY, 9)
    step(rows, row, 1, 5)
    rows.rewind(row, 3)
    expected = np.full(CAPACITY, 9)
    expected[row] = 11
    np.testing.assert_array_equal(rows.read("position", 0, CAPACITY), expected)
    step(rows, 0, 1, 1)
    step(rows, 0, CAPACITY, 1)
    expected += 1
    expected[0] += 1
    np.testing.assert_array_equal(rows.read("position", 0, CAPACITY), expected)


@pytest.mark.parametrize("kind", ["host", "device"])
@given(calls=CALLS)
@settings(max_examples=60, deadline=None)
def test_state_after_any_calls_equals_that_of_plain_arrays(kind, calls):
    rows = Rows(SPECS, CAPACITY, memory(kind))
    rows.reset(0, CAPACITY)
    model = {spec.name: np.zeros((CAPACITY, *spec.shape), spec.dtype) for spec in SPECS}
    for buffer in rows.buffers.values():
        put(buffer.address(0, 0), model[buffer.spec.name])
    for number, (verb, first, second) in enumerate(calls, start=1):
        if verb == "copy" and first != second:
            rows.copy(first, second, ENTRIES)
            for array in model.values():
                array[second] = array[first]
        elif verb == "reset":
            rows.reset(first, 1)
            for name, array in model.items():
                if name != "keys":
                    array[first] = 0
        elif verb in ("prefix", "step"):
            begin, count = (0, first) if verb == "prefix" else (first, 1)
            step(rows, begin, count, number)
            for name in ("hidden", "position", "keys"):
                model[name][begin : begin + count] += np.asarray(number).astype(model[name].dtype)
    for name, array in model.items():
        np.testing.assert_array_equal(rows.read(name, 0, CAPACITY), array)


def test_copy_moves_only_the_used_entries_of_a_cache():
    rows = Rows(SPECS, CAPACITY, HostMemory())
    keys = rows.buffers["keys"]
    put(keys.address(0, 0), np.ones((2, ENTRIES, 2), np.float32))
    rows.copy(0, 1, 3)
    assert (rows.read("keys", 1, 1)[0, :, :3] == 1).all()
    assert (rows.read("keys", 1, 1)[0, :, 3:] == 0).all()


def test_bytes_per_row_counts_both_sides_of_recurrent_states():
    rows = Rows(SPECS, 1, HostMemory())
    assert rows.bytes_per_row == 2 * (3 * 4 + 8) + 2 * ENTRIES * 2 * 4 + 2 * 4


def test_device_memory_copies_clears_and_reads_any_number_of_bytes():
    device = DeviceMemory("cpu")
    buffer = device.allocate(64)
    device.clear(buffer, 64)
    put(buffer, np.arange(16, dtype=np.uint8))
    device.copy(buffer + 32, buffer, 16)
    device.clear(buffer, 8)
    expected = [0] * 8 + list(range(8, 16)) + [0] * 16 + list(range(16)) + [0] * 16
    assert device.read(buffer, 64).tolist() == expected


def test_the_copy_graph_is_one_identity_node():
    graph = onnx.load(COPY_GRAPH).graph
    assert [node.op_type for node in graph.node] == ["Identity"]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


@pytest.mark.parametrize("kind", ["host", "device"])
@pytest.mark.parametrize("used", [1, 3, ENTRIES])
def test_the_filled_part_of_a_row_is_that_of_the_whole(kind, used):
    rows = Rows(SPECS, CAPACITY, memory(kind))
    buffer = rows.buffers["keys"]
    content = np.random.default_rng(0).random((CAPACITY, *buffer.spec.shape), np.float32)
    put(buffer.address(rows.side, 0), content)
    assert (rows.read_filled("keys", 2, used) == content[2, :, :used]).all()
