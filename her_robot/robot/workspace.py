"""The box that the tool stays in, between the table and what the arm can reach. All positions are in `base_link`."""

from dataclasses import dataclass

import numpy as np

from her_robot.robot.calibration import Table
from her_robot.robot.profile import WorkspaceConfig
from her_robot.robot.safety import braking_speed


@dataclass(frozen=True)
class Workspace:
    """A box with its edges along the axes of `base_link`."""

    low: np.ndarray
    """Lowest corner (3,) [m]."""
    high: np.ndarray
    """Highest corner (3,) [m]."""

    def distance_outside(self, position: np.ndarray) -> float:
        """How far a position (3,) [m] lies outside, along the axis on which it is farthest [m]; 0 within."""
        return float(np.maximum(np.maximum(self.low - position, position - self.high), 0.0).max())

    def before_walls(
        self, position: np.ndarray, displacement: np.ndarray, deceleration: float, period: float
    ) -> np.ndarray:
        """A displacement (3,) [m] after which the tool can still brake before the walls.

        Args:
            position: of the tool (3,) [m].
            displacement: asked for (3,) [m].
            deceleration: with which the tool brakes [m/s^2].
            period: in which it is displaced [s].
        """
        slowed = np.clip(
            displacement,
            -braking_speed(position - self.low, deceleration, period) * period,
            braking_speed(self.high - position, deceleration, period) * period,
        )
        return np.clip(position + slowed, self.low, self.high) - position


def workspace_over(config: WorkspaceConfig, table: Table | None, lift: float) -> Workspace:
    """The workspace of a robot over its calibrated table.

    Args:
        config: of the robot's profile.
        table: where it is; without one, the profile's lowest corner serves.
        lift: how much higher the table stands than the one that the task was learnt on [m].
    """
    low, high = np.array(config.low), np.array(config.high)
    if table is not None:
        low[2] = table.table_height + config.table_clearance
    return Workspace(low, high + [0.0, 0.0, lift])
