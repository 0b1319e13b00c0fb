"""Measurements of speed and memory: each a ratio within one run, on real servers over real connections."""
