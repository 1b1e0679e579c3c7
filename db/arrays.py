"""Arrays of item values as bytes and back: little-endian float32, compressed."""

import zlib

import numpy as np


def encode(values: np.ndarray) -> bytes:
    """Bytes of a float32 array."""
    return zlib.compress(np.ascontiguousarray(values, dtype="<f4").tobytes(), level=1)


def decode(data: bytes) -> np.ndarray:
    """The array that `encode` was given."""
    return np.frombuffer(zlib.decompress(data), dtype="<f4")
