"""Which device a model runs on: the choice of ONNX Runtime's execution providers, refused where it cannot be kept.

ONNX Runtime lists providers that it cannot load and falls back to the CPU without an error. Here a device that was
asked for is either in use or an error. Knows nothing about bundles or state.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Literal

import onnxruntime

Device = Literal["cpu", "cuda", "auto"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


class DeviceError(ValueError):
    """The device asked for cannot be used. The message is one line that says what is missing."""


def runtime_version() -> str:
    """Return the version of ONNX Runtime."""
    return str(onnxruntime.__version__)


def session_options(threads: int = 0, *, spin: bool = False) -> onnxruntime.SessionOptions:
    """Return options for a session whose steps run one after the other, and whose products of bytes are exact.

    threads: that compute inside a step; 0 means one for every core.
    spin: whether these threads wait busily for the next operator.
    """
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would write is in the error that it raises
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    # Without VNNI, ONNX Runtime adds products of unsigned and signed bytes in 16 bits, which saturate, unless told to
    # make the weights unsigned: a tenth to a third slower, and right. Where there is VNNI it changes nothing.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(graph: str, options: onnxruntime.SessionOptions, device: Device) -> onnxruntime.InferenceSession:
    """Open a graph on a device. `auto` takes CUDA where it works and the CPU elsewhere.

    Raises:
        DeviceError: `cuda` was asked for and is not there.
    """
    if device not in ("cpu", "cuda", "auto"):
        raise DeviceError(f"device is {device!r}, allowed are cpu, cuda and auto")
    if device == "cpu":
        return onnxruntime.InferenceSession(graph, options, providers=[CPU])
    built_with_cuda = CUDA in onnxruntime.get_available_providers()
    if built_with_cuda:
        _load_cuda_libraries()
        session = onnxruntime.InferenceSession(graph, options, providers=[CUDA, CPU])
        if CUDA in session.get_providers() or device == "auto":
            return session
        raise DeviceError(
            "device cuda: onnxruntime-gpu is installed, but CUDA did not start: it needs an NVIDIA GPU with its driver "
            "and the libraries of CUDA 13 and cuDNN 9 (pip install 'seqstream[gpu]')"
        )
    if device == "cuda":
        raise DeviceError(
            "device cuda: this environment has the CPU build of ONNX Runtime; "
            "pip uninstall onnxruntime and pip install 'seqstream[gpu]'"
        )
    return onnxruntime.InferenceSession(graph, options, providers=[CPU])


def on_gpu(device: Device) -> Device:
    """Return the device for a bundle that only GPUs run; `auto` does not fall back to the CPU.

    Raises:
        DeviceError: the CPU was asked for.
    """
    if device == "cpu":
        raise DeviceError("device cpu: a bundle in fp16 runs on GPUs; export it in another --precision for the CPU")
    return "cuda" if device == "auto" else device


def _load_cuda_libraries() -> None:
    """Load the CUDA and cuDNN libraries that pip installed, if any; what fails to load shows in the session."""
    # preload_dlls reports on standard output and raises nothing; the session is the judge.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
    onnxruntime.set_default_logger_severity(4)
