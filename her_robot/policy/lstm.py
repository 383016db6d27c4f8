"""A long short-term memory in numpy, for where a policy runs (Hochreiter and Schmidhuber 1997; gates as in PyTorch)."""

from collections.abc import Mapping

import numpy as np

State = tuple[np.ndarray, np.ndarray]
"""Hidden state and cell, (..., size) float32 each."""


def initial_state(tensors: Mapping[str, np.ndarray], batch: tuple[int, ...]) -> State:
    """The state with which an episode begins, for batch axes `batch`.

    Args:
        tensors: `lstm.initial_hidden` and `lstm.initial_cell` (size,).
        batch: leading axes.
    """
    hidden, cell = (tensors[f"lstm.initial_{part}"] for part in ("hidden", "cell"))
    return np.broadcast_to(hidden, (*batch, len(hidden))), np.broadcast_to(cell, (*batch, len(cell)))


def step(tensors: Mapping[str, np.ndarray], inputs: np.ndarray, state: State) -> State:
    """The state one step later.

    Args:
        tensors: `lstm.weight_inputs` (4 * size, n), `lstm.weight_hidden` (4 * size, size) and `lstm.bias` (4 * size,),
            the gates in the order input, forget, candidate, output.
        inputs: (..., n).
        state: before.
    """
    hidden, cell = state
    gates = inputs @ tensors["lstm.weight_inputs"].T + hidden @ tensors["lstm.weight_hidden"].T + tensors["lstm.bias"]
    enter, forget, candidate, leave = np.split(gates, 4, axis=-1)
    cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(candidate)
    return _sigmoid(leave) * np.tanh(cell), cell


def _sigmoid(values: np.ndarray) -> np.ndarray:
    # In a form that does not overflow.
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * values) + np.float32(1.0))
