"""A load generator: requests at a rate or so many at a time, and what their senders see. Nothing here knows gRPC."""
