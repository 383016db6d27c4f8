"""Copies of a policy that act in training, on NumPy arrays or on tensors of their device: actions are what observations
are."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.policy.inputs import Inputs
from her_robot.policy.sac import sample_actions


class Policy:
    """A copy of the learner's policy that acts while the learner goes on, in float32 as a bundle does."""

    def __init__(self, actor: Callable[..., Any], inputs: Inputs, action_size: int, device: torch.device) -> None:
        """
        Args:
            actor: a network.
            inputs: what it sees.
            action_size: size of an action; a stochastic actor has twice as many outputs.
            device: where it lives.
        """
        self._actor, self._inputs, self._device = actor, inputs, device
        self._action_size = action_size

    def memory(self) -> EpisodeMemory:
        """What this policy remembers at the start of an episode, or of several side by side."""
        return EpisodeMemory(self._inputs.history, self._action_size)

    def act(self, observation: Array, desired_goal: Array, memory: EpisodeMemory) -> Array:
        """Deterministic actions (n, action_size), which `memory` takes in as those that are commanded.

        Args:
            observation: (n, observation_size).
            desired_goal: (n, goal_size).
            memory: of the episodes so far.
        """
        outputs = self._outputs(observation, desired_goal, memory)
        action = _like(observation, torch.tanh(outputs[:, : self._action_size]))
        memory.record(observation, action)
        return action

    def explore(
        self, observation: Array, desired_goal: Array, memory: EpisodeMemory, rng: Any, explores: Array
    ) -> Array:
        """Actions to explore with where `explores` (n,) is true: drawn, if the policy is stochastic. Otherwise those of
        `act`. Whoever explores tells `memory` what is commanded in the end."""
        outputs = _like(observation, self._outputs(observation, desired_goal, memory))
        xp = arrays.namespace(outputs)
        action = xp.tanh(outputs[:, : self._action_size])
        if outputs.shape[-1] == self._action_size:
            return action
        return xp.where(explores[:, None], sample_actions(outputs, rng), action)

    def _outputs(self, observation: Array, desired_goal: Array, memory: EpisodeMemory) -> Tensor:
        past = None
        if self._inputs.history:
            observations, actions = memory.before(observation)
            past = self._tensor(observations), self._tensor(actions)
        return self._actor(self._inputs(self._tensor(observation), self._tensor(desired_goal), past))

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(arrays.to_float32(values), device=self._device)


class RecurrentPolicy(Policy):
    """The same with a recurrent network."""

    def memory(self) -> EpisodeMemory:
        return EpisodeMemory(1, self._action_size)

    @torch.no_grad()
    def _outputs(self, observation: Array, desired_goal: Array, memory: EpisodeMemory) -> Tensor:
        _, actions = memory.before(observation)
        inputs = self._inputs(self._tensor(observation), self._tensor(desired_goal))
        outputs, memory.state = self._actor(inputs[None], self._tensor(actions[:, 0])[None], state=memory.state)
        return outputs[0]


def _like(observation: Array, values: Tensor) -> Array:
    """A tensor as an array where observations are arrays."""
    return values if isinstance(observation, Tensor) else arrays.to_numpy(values)
