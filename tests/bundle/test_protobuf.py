import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.protobuf import MalformedError, fields, grouped, last_text, number, text, varints

EXAMPLES = settings(max_examples=200, deadline=None)


@EXAMPLES
@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_malformed(content: bytes) -> None:
    try:
        found = list(fields(memoryview(content)))
    except MalformedError as error:
        assert str(error)
    else:
        assert sum(1 if isinstance(value, int) else len(value) for _, value in found) <= len(content)


@EXAMPLES
@given(st.text(max_size=20), st.integers(-(1 << 31), (1 << 31) - 1), st.lists(st.text(max_size=5), max_size=4))
def test_fields_are_those_that_the_library_writes(name: str, index: int, dependencies: list[str]) -> None:
    inner = FieldDescriptorProto(name=name, number=index)
    file = FileDescriptorProto(dependency=dependencies, public_dependency=[1, 300])
    file.extension.append(inner)
    found = grouped(memoryview(file.SerializeToString()))
    assert [text(value) for value in found.get(3, [])] == dependencies
    assert [one for value in found[10] for one in varints(value)] == [1, 300]
    (content,) = found[7]
    assert not isinstance(content, int)
    inside = grouped(content)
    assert last_text(inside[1]) == name
    assert number(inside[3][0]) == index


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x0a\x05abc", "field 1 has 5 bytes, 3 are left"),
        (b"\x0b", "field 1 is of the unknown kind 3"),
        (b"\x00\x00", "a field has the number 0"),
        (b"\x08" + b"\xff" * 11, "a number does not end"),
        (b"\x08", "a number does not end"),
        (b"\x0d\0\0", "field 1 has 4 bytes, 2 are left"),
    ],
)
def test_what_is_malformed_is_told(content: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        list(fields(memoryview(content)))


def test_what_is_of_another_kind_is_told() -> None:
    with pytest.raises(MalformedError, match="a number stands where"):
        text(7)
    with pytest.raises(MalformedError, match="bytes stand where"):
        number(memoryview(b"a"))
    with pytest.raises(MalformedError, match="not UTF-8"):
        text(memoryview(b"\xff"))
