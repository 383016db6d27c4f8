"""Deep deterministic policy gradient for goals, with the details of Plappert et al. 2018, appendix B; and TD3."""

import torch
from torch import Tensor

from her_robot.policy.agent import Agent, Batch


class Ddpg(Agent):
    """Lillicrap et al. 2015 (arXiv 1509.02971)."""

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        return self._target_value(next_inputs, torch.tanh(self._target_actor(next_inputs)))

    def _update_actor(self, batch: Batch, imitation: float) -> Tensor:
        outputs, tape = self.actor.forward(batch.inputs)
        actions = torch.tanh(outputs)
        value, value_gradient = self._value_gradient(batch.inputs, actions)
        gradient = (2.0 * self._config.action_l2) * actions
        if batch.guide_actions is not None:
            gradient += (2.0 * imitation) * (actions - batch.guide_actions)
        gradient = gradient / actions.numel() - value_gradient / len(actions)
        self.actor.backward(tape, gradient * (1.0 - actions.square()))
        self._step(self.actor, self._actor_optimizer)
        return value.mean()


class Td3(Ddpg):
    """Fujimoto et al. 2018 (arXiv 1802.09477): two critics, and targets smoothed over neighbouring actions."""

    critics = 2

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        actions = torch.tanh(self._target_actor(next_inputs))
        noise = torch.empty_like(actions).normal_(generator=self._generator).mul_(self._config.target_noise)
        noise.clamp_(-self._config.target_noise_clip, self._config.target_noise_clip)
        return self._target_value(next_inputs, (actions + noise).clamp_(-1.0, 1.0))
