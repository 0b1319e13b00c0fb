"""The messages of the Open Inference Protocol are the published ones."""

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto

from protos.inference import inference_pb2
from tests.service.wire.tensors import Triton


async def test_every_name_number_and_type_is_the_published_one(triton: Triton):
    ours, theirs = FileDescriptorProto(), FileDescriptorProto()
    inference_pb2.DESCRIPTOR.CopyToProto(ours)
    for content in (await triton("published")).values():
        theirs.MergeFrom(FileDescriptorProto.FromString(content))
    _compare_messages(ours.message_type, theirs.message_type)
    _compare_enums(ours.enum_type, theirs.enum_type)
    (own,), (published,) = ours.service, theirs.service
    methods = {method.name: method for method in published.method}
    for method in own.method:
        other = methods.pop(method.name)
        assert (method.input_type, method.client_streaming) == (other.input_type, other.client_streaming)
        assert (method.output_type, method.server_streaming) == (other.output_type, other.server_streaming)
    kinds = ("Status", "Register", "Unregister")
    left_out = {f"{where}SharedMemory{kind}" for where in ("System", "Cuda") for kind in kinds}
    assert methods.keys() == left_out | {"TraceSetting", "LogSettings"}


def _compare_messages(ours: Any, theirs: Any) -> None:
    published: dict[str, DescriptorProto] = {message.name: message for message in theirs}
    for message in ours:
        other = published[message.name]
        fields = {field.name: field for field in other.field}
        for field in message.field:
            field.ClearField("json_name")
            fields[field.name].ClearField("json_name")
            assert field == fields[field.name], (message.name, field.name)
        if message.name not in ("ModelConfig", "ModelInput", "ModelOutput"):  # which leave fields out, and say so
            assert {field.name for field in message.field} == set(fields)
        _compare_messages(message.nested_type, other.nested_type)


def _compare_enums(ours: Any, theirs: Any) -> None:
    published: dict[str, EnumDescriptorProto] = {enum.name: enum for enum in theirs}
    for enum in ours:
        assert list(enum.value) == list(published[enum.name].value)
