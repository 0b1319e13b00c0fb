"""Hypothesis as these tests want it: no limit on time, which on a shared machine says nothing."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
