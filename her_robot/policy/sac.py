"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905): two critics, a stochastic actor, a tuned temperature."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from her_robot import arrays
from her_robot.policy.adam import adam, new_moments
from her_robot.policy.agent import Agent, Batch
from her_robot.policy.improvement import value_gradient

LOG_STD_RANGE = (-5.0, 2.0)
"""The actor's log standard deviation is kept within, before tanh."""


class Sac(Agent):
    """Actions are tanh of a Gaussian. Of an actor's outputs, the first half are means, the second log deviations."""

    critics = 2

    def __init__(self, inputs: int, actions: int, *rest: Any, **options: Any) -> None:
        super().__init__(inputs, actions, *rest, **options)
        self._actor_optimizer = adam(self.actor, self._config.learning_rate)
        self._target_entropy = -self._config.entropy * actions
        self._log_temperature = torch.full((1,), math.log(self._config.temperature), device=self.device)
        self._log_temperature.grad = self._temperature_gradient = torch.zeros_like(self._log_temperature)
        self._temperature_optimizer = torch.optim.Adam([self._log_temperature], self._config.learning_rate)
        self._temperature_optimizer.state[self._log_temperature] = new_moments(self._log_temperature)

    @staticmethod
    def actor_outputs(actions: int) -> int:
        return 2 * actions

    def _sample(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Actions (n, actions), their log probability (n,), the standard normal draws and deviations behind them."""
        mean, log_std = outputs.chunk(2, dim=-1)
        log_std = log_std.clamp(*LOG_STD_RANGE)
        draws = torch.empty_like(mean).normal_(generator=self._generator)
        std = log_std.exp()
        before = mean + std * draws
        gaussian = -0.5 * draws.square() - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(x)^2), in a form that does not overflow.
        squashed = 2.0 * (math.log(2.0) + logsigmoid(2.0 * before) - before)
        return torch.tanh(before), (gaussian - squashed).sum(-1), draws, std

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        # Entropy is left out of the target: values of sparse rewards then stay within the bounds that targets keep.
        actions, *_ = self._sample(self.actor(next_inputs[:, : self.inputs]))
        return self._target_value(next_inputs, actions)

    def _update_actor(self, batch: Batch, imitation: float) -> Tensor:
        outputs, tape = self.actor.forward(batch.inputs[:, : self.inputs])
        actions, log_probability, draws, std = self._sample(outputs)
        value, gradient_of_value = value_gradient(self.critic, batch.inputs, actions)
        temperature = float(self._log_temperature.exp())
        count = len(actions)
        gradient = 2.0 * self._config.action_l2 * actions
        if batch.example_actions is not None:
            gradient += (2.0 * imitation) * (actions - batch.example_actions).nan_to_num_()
        gradient = gradient / actions.numel() - gradient_of_value / count
        # Through tanh, and of log probability: d(-log(1 - tanh(x)^2))/dx = 2 tanh(x).
        before = gradient * (1.0 - actions.square()) + (temperature / count) * 2.0 * actions
        log_std = outputs.chunk(2, dim=-1)[1]
        inside = (log_std > LOG_STD_RANGE[0]) & (log_std < LOG_STD_RANGE[1])
        of_log_std = (before * std * draws - temperature / count) * inside
        self.actor.backward(tape, torch.cat([before, of_log_std], dim=-1))
        self._step(self.actor, self._actor_optimizer)
        self._average_actor()
        self._update_temperature(log_probability)
        return value.mean()

    def _update_temperature(self, log_probability: Tensor) -> None:
        # Gradient of -log(temperature) * (log probability + target entropy).
        self._temperature_gradient.fill_(-(log_probability.mean() + self._target_entropy))
        self._average(self._temperature_gradient)
        self._temperature_optimizer.step()

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "log_temperature": self._log_temperature.cpu().clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self._log_temperature.copy_(state["log_temperature"])

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {**super()._optimizers(), "temperature_optimizer": self._temperature_optimizer}


def sample_actions(outputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Actions (n, actions) of a stochastic actor with outputs (n, 2 * actions)."""
    xp, actions = arrays.namespace(outputs), outputs.shape[-1] // 2
    mean, log_std = outputs[..., :actions], outputs[..., actions:]
    return xp.tanh(mean + xp.exp(xp.clip(log_std, *LOG_STD_RANGE)) * rng.standard_normal(mean.shape))
