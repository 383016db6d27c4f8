"""Training against a clock, and what it leads to: for comparing learners that have nothing else in common."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from her_robot.contract import Contract, is_success
from her_robot.sim.tasks import make_gymnasium_env

Act = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A deterministic policy: an action (a,) for an observation (o,) and a desired goal (g,)."""


@dataclass(frozen=True)
class Point:
    """A measurement on the way."""

    wall_s: float
    """Time spent on training so far [s]."""
    env_steps: int
    success_rate: float


@dataclass
class Budget:
    """The clock of one learner. It stands still while the policy is measured."""

    seconds: float
    """To be spent [s]."""
    interval: float
    """Between two measurements [s]."""
    measure: Callable[[Act], float]
    """The success rate of a policy."""
    clock: Callable[[], float] = time.perf_counter
    """[s]."""
    curve: list[Point] = field(default_factory=list, init=False)
    """What was measured so far."""
    env_steps: int = field(default=0, init=False)
    """At the learner's last report."""
    spent: float = field(default=0.0, init=False)
    """Time on the clock at the learner's last report [s]."""
    _since: float | None = field(default=None, init=False)
    _longest: float = field(default=0.0, init=False)

    def begin(self) -> None:
        """Start the clock."""
        self._since = self.clock()

    def goes_on(self, env_steps: int, act: Act) -> bool:
        """Report where a learner stands; measures its policy when that is due.

        Args:
            env_steps: environment steps so far.
            act: its policy as it is now.

        Returns:
            Whether there is time for another piece of work as long as the longest so far.
        """
        assert self._since is not None, "begin() starts the clock"
        now = self.clock()
        self._longest = max(self._longest, now - self._since)
        self.spent += now - self._since
        self.env_steps = env_steps
        last = self.curve[-1].wall_s if self.curve else 0.0
        enough = self.spent + self._longest > self.seconds
        if self.spent - last >= self.interval or enough:
            self.curve.append(Point(self.spent, env_steps, self.measure(act)))
        self._since = self.clock()
        return not enough


class UnmodifiedEnvironment:
    """The environment of Gymnasium-Robotics that defines a task, to measure policies in."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._env = make_gymnasium_env(contract.environment)

    def successes(self, act: Act, seeds: range) -> int:
        """Final-step successes over one episode a seed."""
        count = 0
        for seed in seeds:
            observation, _ = self._env.reset(seed=seed)
            for _ in range(self._contract.episode_steps):
                action = act(observation["observation"], observation["desired_goal"])
                observation, *_ = self._env.step(action)
            count += int(is_success(self._contract, observation["achieved_goal"], observation["desired_goal"]))
        return count

    def close(self) -> None:
        """Free the simulation."""
        self._env.close()


@contextmanager
def unmodified_environment(contract: Contract) -> Iterator[UnmodifiedEnvironment]:
    """The environment that defines a task, for as long as it is needed."""
    environment = UnmodifiedEnvironment(contract)
    try:
        yield environment
    finally:
        environment.close()
