"""What a policy remembers of the episode that it is in.

An observation alone does not tell which actions are still under way, nor what the robot is like. What was seen and done
before does (Peng et al. 2017, arXiv 1710.06537).
"""

from collections import deque
from typing import Any

from her_robot import arrays
from her_robot.arrays import Array


class EpisodeMemory:
    """The last observations and actions of a policy while it acts; for one episode, or for several side by side.

    They are arrays or tensors.

    An episode begins as if the arm had stood still before: the earlier observations are the first one, the earlier
    actions 0. Simulation and robot do begin that way.
    """

    def __init__(self, length: int, action_size: int) -> None:
        """
        Args:
            length: how many pairs of observation and action are remembered.
            action_size: size of an action.
        """
        self._action_size = action_size
        self._observations: deque[Array] = deque(maxlen=length)
        self._actions: deque[Array] = deque(maxlen=length)
        self.state: Any = None
        """What a recurrent network carries over to the next step; None before the first."""

    def reset(self) -> None:
        """Forget everything: an episode begins."""
        self._observations.clear()
        self._actions.clear()
        self.state = None

    def before(self, observation: Array) -> tuple[Array, Array]:
        """What was seen and done before `observation` (..., o): observations (..., length, o) and actions (..., length,
        a), the newest first."""
        if not self._observations:
            still = arrays.zeros_beside(observation, (*observation.shape[:-1], self._action_size))
            self._observations.extend([observation] * (self._observations.maxlen or 0))
            self._actions.extend([still] * (self._actions.maxlen or 0))
        xp = arrays.namespace(observation)
        return xp.stack(tuple(self._observations), axis=-2), xp.stack(tuple(self._actions), axis=-2)

    def record(self, observation: Array, action: Array) -> None:
        """Remember an observation (..., o), and the action (..., a) that was commanded then."""
        self._observations.appendleft(observation)
        self._actions.appendleft(arrays.to_float32(action))

    def correct(self, action: Array) -> None:
        """Remember that this (..., a) was commanded instead of the last action; nothing where no action is
        remembered."""
        if self._actions:
            self._actions[0] = arrays.to_float32(action)
