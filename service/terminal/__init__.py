"""The command line of the client: one file a command. Nothing here knows gRPC."""

import os

# gRPC writes what goes wrong to standard error, too, unless it finds this when it is imported: errors here are a line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
