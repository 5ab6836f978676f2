"""Array types and sizes that the steps share.

Positions are indices into the flat levels, which have a 0 before each row and one at the end:
``row * stride + column + 1`` with ``stride = width + 1``. So no run of pixels reaches from one row into the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "NEVER", "NOTHING", "Index", "Ints", "Levels"]

Ints = NDArray[np.int64]
Index = NDArray[np.intp]
Levels = NDArray[np.int16]

NOTHING: Index = np.zeros(0, np.intp)
NEVER = int(np.iinfo(np.int64).max)

BLOCK = 1 << 15
"""Pixels worked on at once: temporaries of this size stay in the cache, and out of the allocator's slow path."""
