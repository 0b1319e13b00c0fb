"""Memory that is freed stays until it is given back, where the allocator can be told to; and the pages of states."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.memory import HostMemory
from tests.service.wire.running import ENVIRONMENT, ROOT

# Weights of 200 MB as an allocator sees them: blocks of 4 MB, written to, of a thread that has a heap of its own.
PROGRAM = """
import ctypes, os
from concurrent.futures import ThreadPoolExecutor
from bundle.memory import give_back, keep_freed
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def resident(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
keep_freed()
def allocate(): return [libc.malloc(4 << 20) for _ in range(50)]
before, blocks = resident(), ThreadPoolExecutor(1).submit(allocate).result()
for block in blocks: ctypes.memset(block, 1, 4 << 20)
for block in blocks: libc.free(block)
freed = resident()
give_back()
print(freed - before, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators decide by themselves")
def test_what_is_freed_is_returned_to_the_system_when_it_is_given_back():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True)
    freed, returned = map(int, done.stdout.split())
    assert freed >= 190
    assert returned <= 80, "the end of the heap, of 64 MB, stays"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems decide by themselves")
@pytest.mark.parametrize(("whole", "flag"), [(True, "hg"), (False, "nh")])
def test_memory_that_is_written_as_a_whole_may_lie_in_huge_pages_and_no_other(whole: bool, flag: str):
    memory = HostMemory()
    address = memory.allocate(8 << 20, whole)
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(match[1], 16) <= address < int(match[2], 16)
        elif inside and line.startswith("VmFlags:"):
            assert flag in line.split()
            return
    pytest.fail("the memory is not mapped")
