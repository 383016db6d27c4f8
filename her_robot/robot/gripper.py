"""From the gripper component of an action to a gap that is commanded to the fingers.

In Gymnasium-Robotics the fingers are told to be at their measured position plus the action, by a servo so stiff that
the sign of the action decides: they open or close at once. A robot's fingers have a speed and a force, so a command
here goes from the last one towards the same aim no faster than the fingers can, and stays near what is measured: the
distance between the two is what a servo squeezes with.

The same code runs on the robot and inside randomised training. Rows are robots; a deployed robot is a batch of one.
"""

from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array


class GripperReference:
    """The gap that n grippers are commanded to have. It never leaves its range, nor moves faster than the fingers."""

    def __init__(
        self,
        closed_gap: float,
        open_gap: float,
        speed: float | Array,
        lead: float | Array,
        gain: float,
        period: float,
        batch_size: int = 1,
        xp: Any = np,
    ) -> None:
        """
        Args:
            closed_gap: smallest gap [m].
            open_gap: largest gap [m].
            speed: largest change of the gap, one or (n,) [m/s]; an array is kept, and may be changed later.
            lead: the aim stays within this of the measured gap, one or (n,) [m]; an array is kept too.
            gain: change of the gap that an action of 1 asks for [m].
            period: control period [s].
            batch_size: n.
            xp: numpy or torch.
        """
        self._low, self._high = closed_gap, open_gap
        self._speed, self._lead, self._gain, self._period = speed, lead, gain, period
        self._gap = xp.full((batch_size,), np.nan)

    @property
    def gap(self) -> Array:
        """What is commanded (n,) [m]; not a number before the first `start`."""
        return arrays.copy(self._gap)

    @property
    def started(self) -> bool:
        """Whether every row has a reference."""
        return bool(arrays.namespace(self._gap).isfinite(self._gap).all())

    def start(self, measured: Array | float, rows: Array | int | slice = slice(None)) -> None:
        """Take measured gaps [m] of some rows as their reference."""
        self._gap[rows] = arrays.namespace(self._gap).clip(measured, self._low, self._high)

    def advance(self, action: Array, measured: Array) -> Array:
        """The gap to command (n,) [m] for the coming period.

        Args:
            action: gripper component (n,), positive to open. Rows that are not finite keep their gap.
            measured: present gap (n,) [m].
        """
        xp = arrays.namespace(self._gap)
        aim = xp.clip(measured + xp.clip(self._gain * action, -self._lead, self._lead), self._low, self._high)
        step = self._speed * self._period
        moved = self._gap + xp.clip(aim - self._gap, -step, step)
        self._gap = xp.where(xp.isfinite(moved), moved, self._gap)
        return arrays.copy(self._gap)
