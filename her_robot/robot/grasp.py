"""An arm stays with an object until its fingers have closed on it.

A policy learns when to leave from fingers that are as slow as its randomisation has them, and leaves as early as they
let it. Where they are a little slower, or the arm later, it pulls the object along by an edge and drops it.

Offsets are from the centre of the object to the point between the fingers, (3,) [m], in a frame whose z points up and
along whose y the fingers open.
"""

import numpy as np

_REACH = 0.02
"""Along x and z, fingers close on an object whose centre is nearer than this to the point between them [m]: less than
half of the object's edge."""
_CENTRED = 0.002
"""Motions within this of the object's centre are free [m]."""
_CLOSING = 0.001
"""Fingers close when their commanded gap is smaller than the measured one by more than this [m]."""


def closes_on(offset: np.ndarray, gap: float, commanded_gap: float, holding_gap: float) -> bool:
    """Whether fingers are closing on an object between them, and do not hold it yet.

    Args:
        offset: of the fingers from the object (3,) [m].
        gap: measured distance between the fingers [m].
        commanded_gap: what it shall be [m].
        holding_gap: with a smaller one, the object is held [m].
    """
    between = abs(offset[0]) < _REACH and abs(offset[1]) < gap / 2 and abs(offset[2]) < _REACH
    return bool(between and gap >= holding_gap and commanded_gap < gap - _CLOSING)


def without_leaving(displacement: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """What is left of a displacement (3,) [m] that goes no farther from the object's centre, along any axis."""
    farthest = np.maximum(np.abs(offset), _CENTRED)
    return np.clip(offset + displacement, -farthest, farthest) - offset
