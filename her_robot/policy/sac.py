"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905): two critics, a stochastic actor, a tuned temperature."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from her_robot import arrays
from her_robot.policy.adam import new_moments
from her_robot.policy.agent import Agent
from her_robot.policy.improvement import Improvement

LOG_STD_RANGE = (-5.0, 2.0)
"""The actor's log standard deviation is kept within, before tanh."""


def before_tanh(outputs: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """What is drawn of the Gaussian behind actions, and its log standard deviation, each (n, actions).

    Args:
        outputs: of an actor, (n, 2 * actions).
        draws: standard normal, (n, actions).
    """
    mean, log_std = outputs.chunk(2, dim=-1)
    log_std = log_std.clamp(*LOG_STD_RANGE)
    return mean + log_std.exp() * draws, log_std


def log_probability(before: Tensor, log_std: Tensor, draws: Tensor) -> Tensor:
    """Of actions tanh(before), (n,); the arguments are those of `before_tanh`, and what it gives."""
    gaussian = -0.5 * draws.square() - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)^2), in a form that does not overflow.
    squashed = 2.0 * (math.log(2.0) + logsigmoid(2.0 * before) - before)
    return (gaussian - squashed).sum(-1)


class SoftImprovement(Improvement):
    """Steps of a stochastic actor towards value and entropy, and of the temperature that weighs entropy."""

    def __init__(
        self,
        *arguments: Any,
        log_temperature: Tensor | None = None,
        temperature_moments: Mapping[str, Tensor] | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            arguments: those of `Improvement`.
            log_temperature: to go on with, (1,), changed in place; by default a new one.
            temperature_moments: Adam's of it, to go on with; they are kept up to date in place.
            options: those of `Improvement`.
        """
        super().__init__(*arguments, **options)
        if log_temperature is None:
            log_temperature = torch.full((1,), math.log(self.config.temperature), device=self.actor.parameters.device)
        self.log_temperature = log_temperature
        log_temperature.grad = torch.zeros_like(log_temperature)
        self.temperature_optimizer = torch.optim.Adam([log_temperature], self.config.learning_rate)
        moments = temperature_moments or new_moments(log_temperature)
        self.temperature_optimizer.state[log_temperature] = dict(moments)

    def shared(self) -> dict[str, Any]:
        moments = dict(self.temperature_optimizer.state[self.log_temperature])
        return super().shared() | {"log_temperature": self.log_temperature, "temperature_moments": moments}

    def _act(self, outputs: Tensor, draws: Tensor | None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        assert draws is not None, "a stochastic actor needs draws"
        before, log_std = before_tanh(outputs, draws)
        actions = torch.tanh(before)
        weight = self.log_temperature.exp() / len(actions)

        def of_outputs(gradient: Tensor) -> Tensor:
            # Through tanh, and of log probability: d(-log(1 - tanh(x)^2))/dx = 2 tanh(x).
            of_mean = gradient * (1.0 - actions.square()) + weight * 2.0 * actions
            inside = (log_std > LOG_STD_RANGE[0]) & (log_std < LOG_STD_RANGE[1])
            return torch.cat([of_mean, (of_mean * log_std.exp() * draws - weight) * inside], dim=-1)

        self._update_temperature(log_probability(before, log_std, draws).mean())
        return actions, of_outputs

    def _update_temperature(self, mean_log_probability: Tensor) -> None:
        # Gradient of -log(temperature) * (log probability + target entropy).
        target_entropy = -self.config.entropy * self.actor.outputs / 2
        gradient = self.log_temperature.grad
        assert gradient is not None
        gradient.fill_(-(mean_log_probability + target_entropy))
        self._average(gradient)
        self.temperature_optimizer.step()


class Sac(Agent):
    """Actions are tanh of a Gaussian. Of an actor's outputs, the first half are means, the second log deviations."""

    critics = 2
    has_target_actor = False
    improvement = SoftImprovement

    @staticmethod
    def actor_outputs(actions: int) -> int:
        return 2 * actions

    def _draws(self, actions: Tensor) -> Tensor:
        return torch.empty_like(actions).normal_(generator=self._generator)

    def _next_value(self, next_inputs: Tensor) -> Tensor:
        # Entropy is left out of the target: values of sparse rewards then stay within the bounds that targets keep.
        outputs = self.actor(next_inputs[:, : self.inputs])
        draws = self._draws(outputs.chunk(2, dim=-1)[0])
        return self._target_value(next_inputs, torch.tanh(before_tanh(outputs, draws)[0]))

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "log_temperature": self._soft_improvement.log_temperature.cpu().clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self._soft_improvement.log_temperature.copy_(state["log_temperature"])

    @property
    def _soft_improvement(self) -> SoftImprovement:
        improvement = self._improver.improvement
        assert isinstance(improvement, SoftImprovement)
        return improvement

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {**super()._optimizers(), "temperature_optimizer": self._soft_improvement.temperature_optimizer}


def sample_actions(outputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Actions (n, actions) of a stochastic actor with outputs (n, 2 * actions)."""
    xp, actions = arrays.namespace(outputs), outputs.shape[-1] // 2
    mean, log_std = outputs[..., :actions], outputs[..., actions:]
    return xp.tanh(mean + xp.exp(xp.clip(log_std, *LOG_STD_RANGE)) * rng.standard_normal(mean.shape))
