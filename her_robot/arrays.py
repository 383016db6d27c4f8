"""One arithmetic for NumPy arrays and PyTorch tensors.

What a robot and the CPU compute with NumPy, a GPU computes with PyTorch, by the same code: functions take their module
from an array that they are given. Both modules call most things alike; the rest is here. PyTorch is never imported
here: whoever has a tensor has it.
"""

import sys
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""A NumPy array or a PyTorch tensor."""


def namespace(array: Array) -> ModuleType:
    """`torch` for a tensor, `numpy` for anything else."""
    return sys.modules["torch"] if type(array).__module__.partition(".")[0] == "torch" else np


def indices(mask: Array) -> Array:
    """Where a boolean array (n,) is true, integers (k,)."""
    return namespace(mask).where(mask)[0]


def copy(array: Array) -> Array:
    """An array of its own with the same values."""
    return array.copy() if namespace(array) is np else array.clone()


def to_int(array: Array) -> Array:
    """The integers of an array of whole numbers."""
    return array.astype(int) if namespace(array) is np else array.long()


def to_float32(array: Array) -> Array:
    """The array in single precision."""
    return array.astype(np.float32) if namespace(array) is np else array.float()


def to_numpy(array: Array) -> np.ndarray:
    """The array itself, or what a tensor holds."""
    return array if namespace(array) is np else array.cpu().numpy()


def zeros_beside(array: Array, shape: tuple[int, ...]) -> Array:
    """Zeros in single precision, of the same kind and in the same place as `array`."""
    if namespace(array) is np:
        return np.zeros(shape, np.float32)
    return sys.modules["torch"].zeros(shape, device=array.device)


def like(array: Array, values: Any) -> Array:
    """Numbers, a sequence or an array as an array of the same kind, type and place as `array`."""
    if namespace(array) is np:
        return np.asarray(values)
    return sys.modules["torch"].as_tensor(values, dtype=array.dtype, device=array.device)
