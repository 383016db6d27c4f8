"""Training episodes under automatic domain randomisation: which ranges each is drawn from, and what follows from it."""

from collections.abc import Mapping

import numpy as np

from her_robot.domain_rand.automatic import NO_BOUNDARY, AutomaticConfig, AutomaticRandomization
from her_robot.domain_rand.narrowing import Narrowing
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.errors import ConfigurationError
from her_robot.sim.goal_env import BatchedGoalEnv


class Curriculum:
    """Ranges that grow with the policy, in one batch of environments."""

    def __init__(self, config: AutomaticConfig, env: BatchedGoalEnv, preset: RandomizationPreset) -> None:
        """
        Args:
            config: how they grow.
            env: whose episodes are drawn from them.
            preset: of the environment: the ranges to grow to.

        Raises:
            ConfigurationError: the preset randomises nothing that could grow.
        """
        self._env = env
        self._narrowing = Narrowing(preset, env.simulation.task.model, env.contract.has_object)
        names = self._narrowing.names
        if not names or preset.nominal_fraction >= 1.0:
            raise ConfigurationError(
                "adr.enabled is true, but the preset of `randomization` has no ranges to grow to; name another, such "
                "as robot_loop"
            )
        self._automatic = AutomaticRandomization(config, names, self._narrowing.nominal)
        self._boundaries = np.full(env.num_envs, NO_BOUNDARY)

    def begin(self, rng: np.random.Generator, judged: bool) -> np.ndarray:
        """Set what the environments' next episodes are drawn from.

        Args:
            rng: source of the choice of boundaries.
            judged: whether some are to be at a boundary; otherwise none is.

        Returns:
            Which of them are at a boundary and to be played without exploration, boolean (num_envs,).
        """
        automatic, narrowing = self._automatic, self._narrowing
        self._boundaries = automatic.draw_boundaries(self._env.num_envs, rng)
        if not judged:
            self._boundaries[:] = NO_BOUNDARY
        usual = narrowing.preset(automatic.parts)
        self._env.set_presets(
            [
                usual if boundary == NO_BOUNDARY else narrowing.preset(automatic.parts_at(boundary), 0.0)
                for boundary in self._boundaries.tolist()
            ]
        )
        return self._boundaries != NO_BOUNDARY

    def count(self, successes: np.ndarray) -> np.ndarray:
        """Episodes and successes at each boundary, of episodes that ended with `successes` (num_envs,)."""
        return self._automatic.count(self._boundaries, successes)

    def record(self, counts: np.ndarray) -> None:
        """Take in what `count` gave, summed over processes."""
        self._automatic.record(counts)

    def numbers(self) -> dict[str, float]:
        """What to log: the entropy [nats per dimension], and the limits of each range in its own unit."""
        found = {"adr.entropy": self._automatic.entropy}
        for name, (low, high) in self._narrowing.limits(self._automatic.parts).items():
            found |= {f"adr.{name}.low": float(low), f"adr.{name}.high": float(high)}
        return found

    def state(self) -> dict[str, float]:
        """All that changes, for a checkpoint."""
        return self._automatic.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state()`."""
        self._automatic.restore(state)
