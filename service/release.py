"""Which release of seqstream this is: an image has no package metadata that could tell."""

VERSION = "0.1.0"
