"""What was true some time ago: the last control periods of each row, by their ages. Arrays are NumPy's or PyTorch's."""

from typing import Any

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.domain_rand.distribution import Range

KEPT = 8
"""Control periods that are kept: the longest latency that can be simulated, less one."""


def check_latency(name: str, latency: Range, longest: float) -> None:
    """
    Raises:
        ValueError: a latency is longer than `longest` [s], so that it cannot be simulated.
    """
    if latency.high > longest:
        raise ValueError(f"{name} must not exceed {longest:.3f} s, found {latency.high}")


class LateStates:
    """Times and values of the last control periods, the newest first; times are counted in control periods."""

    def __init__(self, num_envs: int, shapes: dict[str, tuple[int, ...]], xp: Any) -> None:
        """
        Args:
            num_envs: number of rows.
            shapes: of the values of a row, by name.
            xp: NumPy or what computes like it.
        """
        self._xp = xp
        self.now = xp.zeros(num_envs)
        """Control periods since each row's episode began (n,)."""
        self._taken = -xp.tile(xp.arange(float(KEPT))[:, None], (1, num_envs))
        self._values = {name: xp.zeros((KEPT, num_envs, *shape)) for name, shape in shapes.items()}

    def reset(self, row: Any, shape: tuple[int, ...], values: dict[str, Array]) -> None:
        """Begin an episode in which values of a row, or of several of shape (k,), have been what they are."""
        self.now[row] = 0
        self._taken[:, row] = -self._xp.arange(float(KEPT)).reshape(-1, *(1,) * len(shape))
        for name, value in values.items():
            self._values[name][:, row] = value

    def advance(self, periods: Array | float, values: dict[str, Array]) -> None:
        """Let time pass, (n,) or one for all, at whose end values are (n, ...). Others stay what they were."""
        self.now += periods
        self._taken = self._xp.concatenate([self.now[None], self._taken[:-1]])
        for name, value in values.items():
            self._values[name] = self._xp.concatenate([value[None], self._values[name][:-1]])

    def look_up(self, rows: Array, age: Array) -> tuple[Array, Array]:
        """Where rows (k,) were `age` (k,) control periods ago.

        Returns:
            index (k,) of the entry that is just younger, and how far toward the one after it, (k, 1).
        """
        xp, ages = self._xp, self.now[rows] - self._taken[:, rows]
        age = xp.clip(xp.clip(age, 0.0, None), None, ages[-1] - 0.001)
        index = (ages <= age).sum(axis=0) - 1
        younger, older = ages[index, xp.arange(len(rows))], ages[index + 1, xp.arange(len(rows))]
        return index, ((age - younger) / (older - younger))[:, None]

    def between(self, name: str, rows: Array, at: tuple[Array, Array]) -> Array:
        """Values (k, m) of rows (k,), linear between two control periods, where `look_up` says."""
        values, (index, part) = self._values[name], at
        return (1 - part) * values[index, rows] + part * values[index + 1, rows]

    def nearest(self, name: str, rows: Array, at: tuple[Array, Array]) -> Array:
        """Values (k, ...) of rows (k,) in the nearest control period."""
        index, part = at
        return self._values[name][arrays.to_int(self._xp.round(index + part[:, 0])), rows]
