"""The choice of a device: kept or refused, never silently changed."""

import onnxruntime
import pytest

from bundle.device import CPU, DeviceError, open_session
from bundle.folder import Bundle, open_bundle
from bundle.memory import COPY_GRAPH
from bundle.runner import Runner


def open_on(device):
    return open_session(str(COPY_GRAPH), onnxruntime.SessionOptions(), device)


def test_cuda_is_refused_by_the_cpu_build_in_one_line_that_says_what_to_install():
    with pytest.raises(DeviceError, match=r"^device cuda: .*CPU build.*seqstream\[gpu\]'$"):
        open_on("cuda")


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_cpu_and_auto_run_on_the_cpu_where_there_is_no_gpu(device):
    assert open_on(device).get_providers() == [CPU]


def test_an_unknown_device_is_refused_naming_those_allowed():
    with pytest.raises(DeviceError, match="device is 'tpu', allowed are cpu, cuda and auto"):
        open_on("tpu")


def test_a_bundle_in_fp16_never_runs_on_the_cpu(bundles):
    bundle = open_bundle(bundles.path("gru"))
    half = Bundle(bundle.path, bundle.manifest.model_copy(update={"precision": "fp16"}))
    with pytest.raises(DeviceError, match=r"^device cpu: a bundle in fp16 runs on GPUs; .*--precision"):
        Runner(half, "cpu")
    with pytest.raises(DeviceError, match=r"^device cuda: .*CPU build"):
        Runner(half, "auto")
