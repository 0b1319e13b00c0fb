"""Checkpoints of others as runs of ours: a folder of Hugging Face's form, or a GGUF file, becomes a run folder."""
