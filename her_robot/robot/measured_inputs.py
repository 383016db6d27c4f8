"""What all robots are told of their joints, their object and their goal: when it was, and what is wrong with it."""

from abc import ABC, abstractmethod

import numpy as np

from her_robot.robot.estimation import VelocityFilter
from her_robot.robot.hand_profile import HandTimingConfig
from her_robot.robot.profile import TimingConfig

_AHEAD = "{} stamped {:.2f} s ahead of this node's clock: do sender and node use the same clock?"


class MeasuredInputs(ABC):
    """The newest measurements of one robot.

    What cannot be used is refused with a reason, and the reason stays until good measurements of its kind come.
    """

    def __init__(self, timing: TimingConfig | HandTimingConfig) -> None:
        """
        Args:
            timing: how old measurements may be, and how far clocks may differ.
        """
        self._timing = timing
        self._velocity_filter = VelocityFilter()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.joint_problem = "no joint states yet"
        """Why the newest joint states cannot be used; empty if they can."""
        self.goal: np.ndarray | None = None
        """As the contract has it, in the policy's world; None before the first."""
        self._joint_time = self._goal_time = -np.inf
        self._object_problem = self._goal_problem = ""
        self._velocity_filter.reset()
        self._forget_object()

    @abstractmethod
    def ages(self, now: float) -> dict[str, float]:
        """Age of joint_states, goal and, where there is one, object [s]; infinite before the first."""

    @abstractmethod
    def stale(self, now: float) -> str:
        """What is too old for a policy to go on; empty if nothing is."""

    @abstractmethod
    def _forget_object(self) -> None:
        """As if it had never been seen, where there is one."""

    def refuse_those_of_another_clock(self, now: float) -> None:
        """Forget what is stamped ahead of `now` [s]: it would never grow old."""
        if ahead := self._ahead("joint_states", now):
            self.joint_problem = _AHEAD.format("joint states are", ahead)
            self._joint_time = -np.inf
            self._velocity_filter.reset()
        if ahead := self._ahead("object", now):
            self._object_problem = _AHEAD.format("the object is", ahead)
            self._forget_object()

    def _refuse_goal_of_another_clock(self, now: float) -> None:
        """For a goal that is measured again and again, rather than commanded once."""
        if ahead := self._ahead("goal", now):
            self._goal_problem = _AHEAD.format("the goal is", ahead)
            self.goal, self._goal_time = None, -np.inf

    def problem(self, now: float) -> str:
        """Why nothing may move on these measurements; empty if it may. An object or a goal may be unseen or old."""
        age, limit = now - self._joint_time, self._timing.joint_states_timeout
        if self.joint_problem:
            return self.joint_problem
        if age > limit:
            return f"joint states are {age:.2f} s old (at most {limit} s)"
        return self._goal_problem or self._object_problem

    def _ahead(self, what: str, now: float) -> float:
        """How far something is stamped ahead of `now`, where that is too far [s]; otherwise 0."""
        ahead = -self.ages(now).get(what, 0.0)
        return ahead if ahead > self._timing.clock_tolerance else 0.0
