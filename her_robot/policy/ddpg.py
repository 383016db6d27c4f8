"""Deep deterministic policy gradient for goals, with the details of Plappert et al. 2018, appendix B; and TD3."""

import copy
from typing import Any

import torch
from torch import Tensor

from her_robot.policy.agent import Agent, Batch
from her_robot.policy.improvement import Improvement, Improver


class Ddpg(Agent):
    """Lillicrap et al. 2015 (arXiv 1509.02971). The actor takes each of its steps one interval after it was begun."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """The arguments are those of `Agent`."""
        super().__init__(*arguments, **options)
        own = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        improvement = Improvement(*own, self._config, self._average)
        self._actor_optimizer = improvement.optimizer
        self._improver = Improver(improvement, self._beside)

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        return self._target_value(next_inputs, torch.tanh(self._target_actor(next_inputs[:, : self.inputs])))

    def _update_actor(self, batch: Batch, imitation: float) -> Tensor | None:
        value = self.settle()
        self._improver.start(self.critic, batch.inputs, batch.example_actions, imitation)
        return value

    def settle(self) -> Tensor | None:
        value = self._improver.finish(self.actor)
        if value is not None:
            self._average_actor()
        return value

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self._improver.restore(self.actor)

    def close(self) -> None:
        self._improver.close()


class Td3(Ddpg):
    """Fujimoto et al. 2018 (arXiv 1802.09477): two critics, and targets smoothed over neighbouring actions."""

    critics = 2

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        actions = torch.tanh(self._target_actor(next_inputs[:, : self.inputs]))
        noise = torch.empty_like(actions).normal_(generator=self._generator).mul_(self._config.target_noise)
        noise.clamp_(-self._config.target_noise_clip, self._config.target_noise_clip)
        return self._target_value(next_inputs, (actions + noise).clamp_(-1.0, 1.0))
