"""Memory that the state of running sequences lies in: on the host, or on an accelerator through ONNX Runtime alone.

Both are the same operations on addresses: allocate, copy, clear, and the ways to the host and back. Knows nothing about
what the bytes mean.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

# Of glibc's malloc.h: how many blocks are mapped by themselves; how much may be free at the end of a heap; how many
# addresses beyond those it needs a heap takes at a time, and keeps. The heaps of threads are of 64 MiB.
_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD = -4, -1, -2

COPY_GRAPH = Path(__file__).with_name("copy.onnx")


class Memory(Protocol):
    """Memory of one device. Addresses are those of buffers from `allocate`; sizes are in bytes."""

    device: str
    contiguous_only: bool
    """Whether one large copy is cheaper than several small ones that skip what is not needed."""

    def allocate(self, size: int, whole: bool = False) -> int:
        """Return the address of a new buffer that lives as long as this memory.

        whole: whether what is used of it is written from end to end, and not bit by bit.
        """

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy `size` bytes; the ranges do not overlap."""

    def clear(self, target: int, size: int) -> None:
        """Zero `size` bytes."""

    def read(self, source: int, size: int) -> NDArray[np.uint8]:
        """Return a copy of `size` bytes on the host."""

    def write(self, target: int, content: NDArray[np.uint8]) -> None:
        """Copy bytes [size] from the host."""


class HostMemory:
    """Memory of the process itself."""

    device = "cpu"
    contiguous_only = False

    def __init__(self) -> None:
        self._buffers: list[NDArray[np.uint8]] = []

    def allocate(self, size: int, whole: bool = False) -> int:
        self._buffers.append(np.frombuffer(_pages(size, whole), np.uint8))
        return int(self._buffers[-1].ctypes.data)

    def copy(self, target: int, source: int, size: int) -> None:
        ctypes.memmove(target, source, size)

    def clear(self, target: int, size: int) -> None:
        ctypes.memset(target, 0, size)

    def read(self, source: int, size: int) -> NDArray[np.uint8]:
        return np.frombuffer(ctypes.string_at(source, size), np.uint8)

    def write(self, target: int, content: NDArray[np.uint8]) -> None:
        ctypes.memmove(target, content.ctypes.data, content.nbytes)


def keep_freed() -> None:
    """Let memory that is freed stay with the process until `give_back`, where the allocator can be told to (glibc).

    To return the weights of half a gigabyte takes the system up to 0.1 s. ONNX Runtime frees them under the
    interpreter's lock, `give_back` returns them without it.
    """
    if (set_option := getattr(_libc(), "mallopt", None)) is not None:
        set_option(_M_MMAP_MAX, 0)
        set_option(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        set_option(_M_TOP_PAD, 128 << 20)


def give_back() -> None:
    """Return memory that is free to the system, where the allocator can be asked to."""
    if (trim := getattr(_libc(), "malloc_trim", None)) is not None:
        trim(0)


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _pages(size: int, whole: bool) -> mmap.mmap:
    """Return zeroed memory that is occupied page by page, as it is written: a cache as far as it has been filled.

    NumPy asks for huge pages where it allocates much at once: with its first token, a head whose cache is shorter than
    such a page would occupy all of it. What is written as a `whole` gets them: a step that reads it finds it faster.
    """
    if sys.platform != "linux":
        return mmap.mmap(-1, size)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        pages.madvise(mmap.MADV_HUGEPAGE if whole else mmap.MADV_NOHUGEPAGE)
    return pages


class DeviceMemory:
    """Memory of an accelerator, allocated by ONNX Runtime and copied by a graph of one Identity node."""

    contiguous_only = True

    def __init__(self, device: str) -> None:
        self.device = device
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        provider = "CPUExecutionProvider" if device == "cpu" else f"{device.upper()}ExecutionProvider"
        self._session = onnxruntime.InferenceSession(str(COPY_GRAPH), options, providers=[provider])
        self._buffers: list[onnxruntime.OrtValue] = []
        self._zeros = (0, 0)

    def allocate(self, size: int, whole: bool = False) -> int:
        self._buffers.append(onnxruntime.OrtValue.ortvalue_from_shape_and_type([size], np.uint8, self.device, 0))
        return int(self._buffers[-1].data_ptr())

    def copy(self, target: int, source: int, size: int) -> None:
        binding = self._session.io_binding()
        binding.bind_input("source", self.device, 0, np.uint8, [size], source)
        binding.bind_output("target", self.device, 0, np.uint8, [size], target)
        self._session.run_with_iobinding(binding)

    def clear(self, target: int, size: int) -> None:
        if self._zeros[1] < size:
            zeros = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(size, np.uint8), self.device, 0)
            self._buffers.append(zeros)
            self._zeros = (int(zeros.data_ptr()), size)
        self.copy(target, self._zeros[0], size)

    def read(self, source: int, size: int) -> NDArray[np.uint8]:
        binding = self._session.io_binding()
        binding.bind_input("source", self.device, 0, np.uint8, [size], source)
        binding.bind_output("target", "cpu", 0)
        self._session.run_with_iobinding(binding)
        return np.asarray(binding.copy_outputs_to_cpu()[0], np.uint8)

    def write(self, target: int, content: NDArray[np.uint8]) -> None:
        binding = self._session.io_binding()
        binding.bind_cpu_input("source", content)
        binding.bind_output("target", self.device, 0, np.uint8, [content.nbytes], target)
        self._session.run_with_iobinding(binding)
