"""Running a bundle: steps over rows, bound in place. With device.py and memory.py all that sees ONNX Runtime.

One binding is made for every number of running rows and kept: a decode step overwrites its tokens and runs. Knows
nothing about requests, sampling or text.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime

from bundle.arrays import OUTPUTS, Arrays, Ids, StepOutput
from bundle.device import CUDA, Device, DeviceError, on_gpu, open_session, session_options
from bundle.folder import START_GRAPH, STEP_GRAPH, Bundle, BundleError
from bundle.manifest import Manifest
from bundle.memory import DeviceMemory, HostMemory
from bundle.rows import Rows
from bundle.signature import check_start, check_step


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs. threads: how many compute inside one step.    spin: whether they wait busily."""

    device: str
    execution_providers: tuple[str, ...]
    threads: int
    spin: bool


@dataclass(frozen=True, slots=True)
class _Call:
    """A binding of the step graph to its arrays."""

    binding: onnxruntime.IOBinding
    arrays: Arrays


@dataclass(frozen=True, slots=True)
class _Decoding:
    """The decode steps of some rows: arrays for all of them, and calls by side and number of rows, made when needed."""

    arrays: Arrays
    calls: dict[tuple[int, int], _Call]


class Runner:
    """A bundle opened for running on one device. Threads may use it at the same time, each with rows of its own."""

    def __init__(self, bundle: Bundle, device: Device = "cpu", threads: int = 0, spin: bool = True) -> None:
        """Open the graphs of `bundle`.

        threads: that compute inside a step; 0 means one for every core.
        spin: whether these threads wait busily for the next operator: faster steps, no idle core.

        Raises:
            BundleError: a graph does not load, or its inputs and outputs are not those of the manifest.
            DeviceError: the device cannot be used.
        """
        self.manifest = bundle.manifest
        self._path = bundle.path
        if self.manifest.precision == "fp16":
            device = on_gpu(device)
        options = session_options(threads, spin=spin)
        self._step = _open(bundle, STEP_GRAPH, options, device)
        check_step(bundle, self._step)
        self._start: onnxruntime.InferenceSession | None = None
        if self.manifest.has_start:
            self._start = _open(bundle, START_GRAPH, options, device)
            check_start(bundle, self._start)
        providers = tuple(self._step.get_providers())
        name = "cuda" if CUDA in providers else "cpu"
        self.placement = Placement(name, providers, options.intra_op_num_threads, spin)
        self._decoding: WeakKeyDictionary[Rows, _Decoding] = WeakKeyDictionary()

    def allocate(self, capacity: int) -> Rows:
        """Return state buffers for `capacity` rows on the device, in the initial state.

        Raises:
            BundleError: there is not so much memory.
        """
        device = self.placement.device
        _check_memory(self.manifest, capacity, device)
        try:
            rows = Rows(self.manifest.states, capacity, HostMemory() if device == "cpu" else DeviceMemory(device))
        except (OSError, ValueError, OverflowError, MemoryError) as error:
            raise BundleError(f"{_name(self.manifest)}: no memory for {capacity} rows: {error}") from None
        rows.reset(0, capacity)
        arrays = Arrays.empty(self.manifest, (capacity, 1), capacity)
        # Of a step over one token a row these are always the same.
        arrays.lengths[:] = 1
        arrays.indices[:] = np.arange(capacity)
        self._decoding[rows] = _Decoding(arrays, {})
        return rows

    def try_out(self) -> None:
        """Take one step, so that a graph which cannot run is found before anybody asks for it.

        Raises:
            BundleError: it raises, or gives tokens that are not of the vocabulary, or no numbers.
        """
        rows, where = self.allocate(1), self._path / STEP_GRAPH
        special = self.manifest.special_tokens
        try:
            if self._start is not None:
                self.start(rows, 0, np.array([special.eos], np.int64))
            output = self.step(rows, 0, np.array([[special.bos]], np.int64), np.ones(1, np.int64))
        except Exception as error:  # noqa: BLE001 the errors of ONNX Runtime have no class in common
            raise BundleError(f"{where}: does not run: {str(error).splitlines()[0]}") from None
        size, found = self.manifest.vocabulary_size, output.top_indices
        if np.isnan(output.top_values).any() or found.min() < 0 or found.max() >= size:
            raise BundleError(f"{where}: gives logits that are no numbers, or tokens outside of 0 to {size - 1}")

    def start(self, rows: Rows, row: int, source: Ids) -> None:
        """Encode `source` [S] into the state of `row`, which must have been reset."""
        assert self._start is not None, "this model has no start graph"
        tokens, lengths = np.ascontiguousarray(source[None]), np.array([len(source)], np.int64)
        binding = self._start.io_binding()
        _bind_input(binding, "source", tokens)
        _bind_input(binding, "lengths", lengths)
        for output in self._start.get_outputs():
            buffer = rows.buffers[output.name]
            shape = [1, *buffer.spec.shape]
            address = buffer.address(rows.side, row)
            binding.bind_output(output.name, self.placement.device, 0, np.dtype(buffer.spec.dtype), shape, address)
        self._start.run_with_iobinding(binding)
        rows.settle(row, 1)

    def step(self, rows: Rows, first: int, tokens: Ids, lengths: Ids, indices: Ids | None = None) -> StepOutput:
        """Run rows [first, first + B) over `tokens` [B, T] of which `lengths` [B] are real, and advance their state.

        indices: flat positions in the [B, T] grid whose logits are wanted; default: the last real one of every row.
        The arrays returned for a decode step (first == 0, T == 1) are overwritten by the next.
        """
        count, time = tokens.shape
        if first == 0 and time == 1 and indices is None:
            call = self._decode_call(rows, count)
        else:
            if indices is None:
                indices = np.arange(count, dtype=np.int64) * time + lengths - 1
            call = self._bind(rows, first, Arrays.empty(self.manifest, (count, time), len(indices)))
            call.arrays.lengths[:] = lengths
            call.arrays.indices[:] = indices
        arrays = call.arrays
        arrays.tokens[:] = tokens
        self._step.run_with_iobinding(call.binding)
        rows.commit(first, count)
        return arrays.output

    def _decode_call(self, rows: Rows, count: int) -> _Call:
        decoding = self._decoding[rows]
        key = (rows.side, count)
        if key not in decoding.calls:
            decoding.calls[key] = self._bind(rows, 0, decoding.arrays.first(count))
        return decoding.calls[key]

    def _bind(self, rows: Rows, first: int, arrays: Arrays) -> _Call:
        count = len(arrays.tokens)
        binding = self._step.io_binding()
        for name, array in (
            ("tokens", arrays.tokens),
            ("lengths", arrays.lengths),
            ("logits_indices", arrays.indices),
        ):
            _bind_input(binding, name, array)
        for name in OUTPUTS:
            output = getattr(arrays.output, name)
            binding.bind_output(name, "cpu", 0, output.dtype, output.shape, output.ctypes.data)
        device = self.placement.device
        for name, buffer in rows.buffers.items():
            place = (device, 0, np.dtype(buffer.spec.dtype), [count, *buffer.spec.shape])
            binding.bind_input(name, *place, buffer.address(rows.side, first))
            if buffer.spec.kind != "static":
                binding.bind_output(f"{name}_next", *place, buffer.address(1 - rows.side, first))
        return _Call(binding, arrays)


def _check_memory(manifest: Manifest, capacity: int, device: str) -> None:
    """Refuse states that do not fit into the machine. A cache occupies what is filled of it, and is not counted."""
    if device != "cpu":
        return
    sizes = [prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in manifest.states if spec.kind != "cache"]
    needed, there = capacity * sum(sizes), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise BundleError(f"{_name(manifest)}: states: {capacity} rows take {needed} bytes, this machine has {there}")


def _name(manifest: Manifest) -> str:
    return f"{manifest.name}@{manifest.version}"


def _open(
    bundle: Bundle, name: str, options: onnxruntime.SessionOptions, device: Device
) -> onnxruntime.InferenceSession:
    path = bundle.path / name
    try:
        return open_session(str(path), options, device)
    except DeviceError:
        raise
    except Exception as error:  # noqa: BLE001 the errors of ONNX Runtime have no class in common
        raise BundleError(f"{path}: ONNX Runtime does not load it: {str(error).splitlines()[0]}") from None


def _bind_input(binding: onnxruntime.IOBinding, name: str, array: Ids) -> None:
    # Bound by address: the array is not copied, and the caller keeps it alive.
    binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
