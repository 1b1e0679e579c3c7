"""Invented texts and questions in the form of published benchmarks: harmless, and the same on every machine."""
