"""The command line of the client: one file a command. Nothing here knows gRPC."""
