"""What is promised of a server that is overloaded, killed, fed with nonsense or shared: each promise measured."""

import os

# Before gRPC is there: else it writes a line at every fork, into what the forked process is judged by.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
