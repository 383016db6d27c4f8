"""Nudges for a policy that has come to a standstill short of its goal.

Where friction holds an object, a deterministic policy sees the same again and again, and does the same again and again.
In training, exploration would shake it loose. So does a nudge on a robot: an offset of the action that holds for a
while, drawn from the same sequence in every episode.
"""

from dataclasses import dataclass

import numpy as np

from her_robot.configuration import require_not_negative, require_positive


@dataclass(frozen=True)
class NudgeConfig:
    """When and how hard a policy is nudged."""

    size: float = 0.4
    """Standard deviation of the offset of each number of an action, whose range is [-1, 1]; 0 never nudges."""
    after: float = 1.0
    """Nudge when the goal has been missed for so long without getting nearer, by as much as is still a success [s]."""
    lasts: float = 0.5
    """How long a nudge holds [s]."""

    def __post_init__(self) -> None:
        require_not_negative(self, "size")
        require_positive(self, "after", "lasts")


class Nudge:
    """Sees how far away the goal is in each control period of an episode, and says when to nudge."""

    def __init__(self, config: NudgeConfig, action_size: int, control_period: float) -> None:
        """
        Args:
            config: when, and how hard.
            action_size: how many numbers an action has.
            control_period: [s].
        """
        self._size, self._action_size = config.size, action_size
        self._after, self._lasts = (round(time / control_period) for time in (config.after, config.lasts))
        self.start()

    def start(self) -> None:
        """An episode begins."""
        self._rng = np.random.default_rng(0)
        self._nearest, self._waited = np.inf, 0
        self._left, self._offset = 0, np.zeros(self._action_size)

    def advance(self, distance: float) -> np.ndarray:
        """What to add to the action of this control period (action_size,): zeros while there is progress.

        Args:
            distance: to the goal, as a multiple of what is still a success.
        """
        if distance < 1.0 or distance < self._nearest - 1.0:
            self._nearest, self._waited = distance, 0
        else:
            self._waited += 1
        if self._left > 0:
            self._left -= 1
        elif self._size and self._waited >= self._after:
            self._nearest, self._waited, self._left = distance, 0, self._lasts - 1
            self._offset = self._size * self._rng.standard_normal(self._action_size)
        else:
            self._offset = np.zeros(self._action_size)
        return self._offset
