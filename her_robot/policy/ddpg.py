"""Deep deterministic policy gradient for goals, with the details of Plappert et al. 2018, appendix B; and TD3."""

import torch
from torch import Tensor

from her_robot.policy.agent import Agent


class Ddpg(Agent):
    """Lillicrap et al. 2015 (arXiv 1509.02971)."""

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        return self._target_value(next_inputs, torch.tanh(self._target_actor(next_inputs[:, : self.inputs])))


class Td3(Ddpg):
    """Fujimoto et al. 2018 (arXiv 1802.09477): two critics, and targets smoothed over neighbouring actions."""

    critics = 2

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        actions = torch.tanh(self._target_actor(next_inputs[:, : self.inputs]))
        noise = torch.empty_like(actions).normal_(generator=self._generator).mul_(self._config.target_noise)
        noise.clamp_(-self._config.target_noise_clip, self._config.target_noise_clip)
        return self._target_value(next_inputs, (actions + noise).clamp_(-1.0, 1.0))
