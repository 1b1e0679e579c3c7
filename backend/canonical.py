"""One way to write a value as JSON, so that equal values have equal bytes and one hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from backend.stage import UserError


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy's and pandas' numbers as Python's, NaN and infinities as None, moments as text.

    Raises:
        UserError: something in it is none of these
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(one) for one in (sorted(value) if isinstance(value, set) else value)]
    if isinstance(value, datetime) and value == value:
        return value.isoformat()
    return _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, np.generic):
        return plain(value.item())
    if value is pd.NA or value is pd.NaT:
        return None
    raise UserError(
        f"A report cannot hold this {type(value).__name__}; give numbers, words, lists."
    )


def canonical(value: Any) -> str:
    """JSON with sorted keys, without spaces, ASCII only; numbers as Python's shortest text that reads back the same."""
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def sha256(text: str) -> str:
    """The hash of a text's UTF-8 bytes, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
