"""The contract on disk: what a bundle holds, how it is read and how it is run. Knows nothing of torch or gRPC."""
