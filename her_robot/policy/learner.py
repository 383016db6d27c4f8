"""What learns: networks, normalisers, replay and the sampling of batches. It knows nothing of environments."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from her_robot import arrays
from her_robot.contract import Contract, FetchContract, is_lost, is_missed, with_tolerance
from her_robot.errors import TrainingDivergedError
from her_robot.policy.acting import Policy, RecurrentPolicy
from her_robot.policy.agent import Agent, Batch, Losses
from her_robot.policy.config import TrainConfig
from her_robot.policy.ddpg import Ddpg, Td3
from her_robot.policy.guide import scripted_guide
from her_robot.policy.her import STRATEGIES, hindsight_goals
from her_robot.policy.inputs import Inputs
from her_robot.policy.mirror import Mirror
from her_robot.policy.perceptron import Perceptron
from her_robot.policy.processes import Processes
from her_robot.policy.recurrent import RecurrentDdpg, RecurrentTd3, Sequences
from her_robot.policy.replay import Episodes, ReplayBuffer, StoredEpisodes, never_lost
from her_robot.policy.sac import Sac

ALGORITHMS: dict[str, type[Agent]] = {"ddpg": Ddpg, "td3": Td3, "sac": Sac}
"""By their names in the configuration."""
RECURRENT_ALGORITHMS = {"ddpg": RecurrentDdpg, "td3": RecurrentTd3}
"""Those that learn with recurrent networks."""

_UPDATES_PER_DRAW = 20
"""Batches drawn together: drawing many at once costs little more than drawing one."""
_REDRAWS = 8
"""How often a draw that has little to teach is repeated at most."""


class Learner:
    """Hindsight experience replay with an actor-critic, for one task."""

    def __init__(
        self,
        contract: Contract,
        config: TrainConfig,
        processes: Processes | None = None,
        beside: bool = False,
        parameters: Sequence[str] = (),
        demonstrations: Episodes | None = None,
    ) -> None:
        """
        Args:
            contract: of the task.
            config: of the run.
            processes: of a data-parallel run.
            beside: update the actor in a process of its own, where that changes nothing but the time it takes.
            parameters: names of the numbers that say what was drawn for an episode; asymmetric critics see them.
            demonstrations: episodes that are replayed beside those that are taken in; None for none.
        """
        self.contract = contract
        self._config = config
        self.rewarded = with_tolerance(contract, config.replay.tolerance)
        """The contract whose rewards are learnt from."""
        self._processes = processes or Processes(config.device)
        self.device = self._processes.device
        self._generator = torch.Generator(self.device).manual_seed(config.seed * 1000)
        parameters = parameters if config.network.asymmetric else ()
        self.inputs = Inputs(contract, config.normalizer, config.network, self.device, len(parameters))
        self.agent = self._new_agent(beside and self.device.type == "cpu" and self._processes.count == 1)
        self.agent.critics_first = config.critics_first if config.initial_policy else 0
        self.guide = scripted_guide(contract, config.network.asymmetric)
        """What `agent.imitation_of: guide` imitates; None where there is none."""
        self.anchor: Perceptron | None = None
        """The actor of the policy that the run began with, which the present one imitates; None without."""
        if self._processes.rank:
            # Networks begin alike in all processes; from here on each makes draws of its own.
            self._generator.manual_seed(config.seed * 1000 + self._processes.rank)
        self.buffer = self._new_buffer(config.buffer_steps, len(parameters))
        self._demonstrations: ReplayBuffer | None = None
        if demonstrations is not None:
            self._demonstrations = self._new_buffer(len(demonstrations) * config.steps_of_an_episode)
            self._take_into(self._demonstrations, demonstrations)
        self._mirror = (
            Mirror(contract, self.device, parameters)
            if config.replay.mirrored and isinstance(contract, FetchContract)
            else None
        )

    def policy(self, averaged: bool = False) -> Policy:
        """A copy of the policy as it is now; `averaged`: the one to measure and export, not to explore with."""
        actor = (self.agent.averaged_actor if averaged else self.agent.actor).in_float32()
        kind = RecurrentPolicy if isinstance(self.agent, RecurrentDdpg) else Policy
        return kind(actor, self.inputs.snapshot(), self.contract.action_size, self.device)

    def take_in(self, episodes: Episodes) -> None:
        """Store episodes, and let the normalisers see them."""
        self._take_into(self.buffer, episodes)

    def _take_into(self, buffer: ReplayBuffer, episodes: Episodes) -> None:
        achieved = episodes.achieved_goal
        last = buffer.add(episodes)
        counts = arrays.like(last, np.arange(achieved.shape[1])) <= last[:, None]
        sums = self.inputs.sums_of(episodes.observation, achieved, episodes.desired_goal, counts)
        self.inputs.add(self._processes.sum(sums))

    def learn(self, updates: int, imitation: float = 0.0) -> Losses:
        """Update the networks `updates` times.

        Args:
            updates: how often.
            imitation: weight of the squared difference from example actions.

        Raises:
            TrainingDivergedError: a loss is no longer finite.
        """
        critic_losses, values = [], []
        while updates:
            drawn = min(updates, _UPDATES_PER_DRAW)
            for critic_loss, value in self._updates(drawn, imitation):
                critic_losses.append(critic_loss)
                if value is not None:
                    values.append(value)
            updates -= drawn
        settled = self.agent.settle()
        if settled is not None:
            values.append(settled)
        value = float(torch.stack(values).mean()) if values else float("nan")
        losses = Losses(critic=float(torch.stack(critic_losses).mean()), value=value)
        if not np.isfinite(losses.critic) or (values and not np.isfinite(losses.value)):
            raise TrainingDivergedError(
                f"after {self.agent.updates} updates the critic's loss is {losses.critic} and the mean value "
                f"{losses.value}; try a smaller agent.learning_rate"
            )
        return losses

    def _updates(self, count: int, imitation: float) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Draw batches for some updates, and make them."""
        imitates = imitation > 0.0
        if isinstance(self.agent, RecurrentDdpg):
            for sequences in self._sequences(count, imitates):
                yield self.agent.update(sequences, imitation)
        else:
            for batch in self._batches(count, imitates):
                yield self.agent.update(batch, imitation)

    def close(self) -> None:
        """End what goes on beside."""
        self.agent.close()

    def _new_buffer(self, steps: int, parameters: int = 0) -> ReplayBuffer:
        config, contract = self._config, self.contract
        return ReplayBuffer(
            steps,
            config.steps_of_an_episode,
            contract.observation_size,
            contract.goal_size,
            contract.action_size,
            config.replay.still_weight,
            config.replay.moved_distance,
            self.device,
            partial(is_lost, contract) if config.replay.end_when_lost else never_lost,
            config.network.asymmetric,
            parameters,
        )

    def _new_agent(self, beside: bool) -> Agent | RecurrentDdpg:
        config, sizes = self._config, (self.inputs.size, self.contract.action_size)
        shared = (*sizes, config.network, config.agent, self.device, self._generator, self._processes.average)
        privileged = self.inputs.privileged_size
        if config.network.recurrent != "none":
            return RECURRENT_ALGORITHMS[config.agent.algorithm](*shared, privileged=privileged)
        return ALGORITHMS[config.agent.algorithm](*shared, beside=beside, privileged=privileged)

    def random_state(self) -> np.ndarray:
        """State of the generator behind all draws."""
        return self._generator.get_state().numpy()

    def set_random_state(self, state: np.ndarray) -> None:
        """Continue the draws of an earlier run."""
        self._generator.set_state(torch.from_numpy(state))

    def _batches(self, count: int, imitates: bool) -> list[Batch]:
        """Transitions with goals in hindsight and, where something is imitated, with examples of what to do."""
        size, shown = self._config.batch_size, 0
        if self._demonstrations is not None:
            shown = round(size * self._config.replay.demonstrated)
        parts = [self._transitions(self.buffer, count, size - shown, imitates)] if shown < size else []
        if self._demonstrations is not None and shown:
            parts.append(self._transitions(self._demonstrations, count, shown, imitates))
        tensors = [torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)] if len(parts) > 1 else parts[0]
        return [Batch(*(tensor[i] for tensor in tensors)) for i in range(count)]

    def _transitions(self, buffer: ReplayBuffer, count: int, size: int, imitates: bool) -> list[Tensor]:
        """Parts of `count` batches that are drawn from one buffer, each (count, size, ...)."""
        episodes = buffer.episodes
        episode, step, goals, chosen, achieved_at = self._draw(buffer, count * size)
        rewards, discounts, ahead = self._returns(episodes, episode, step, goals)
        reflected = self._draw_reflected(len(step))
        goals = self._reflect("goal", goals, reflected)
        action = self._reflect("action", episodes.action[episode, step], reflected)
        inputs = (self._inputs_at(episodes, episode, time, goals, reflected) for time in (step, ahead))
        tensors = [*inputs, action, rewards, discounts]
        if imitates and self.anchor is not None:
            outputs = self.anchor(tensors[0][:, : self.inputs.size])
            tensors.append(torch.tanh(outputs[:, : self.contract.action_size]))
        elif imitates and self._config.agent.imitation_of == "hindsight":
            tensors.append(self._reflect("action", _achieving(episodes, episode, chosen, achieved_at), reflected))
        elif imitates and self._config.agent.imitation_of == "demonstrations":
            shown = (buffer is self._demonstrations) & _is_of_the_same_episode(chosen)
            tensors.append(action.masked_fill(~shown[:, None], torch.nan))
        elif imitates:
            tensors.append(self._guide_actions(episodes, episode, step, goals, reflected))
        return [tensor.view(count, size, *tensor.shape[1:]) for tensor in tensors]

    def _sequences(self, count: int, imitates: bool) -> list[Sequences]:
        """Whole episodes, each with one goal: in hindsight it is one for a step that is drawn from it."""
        episodes, steps = self.buffer.episodes, self.buffer.episode_steps
        size = max(1, round(self._config.batch_size / steps))
        episode, step = self.buffer.draw(count * size, self._generator)
        goals, reflected = self._goals(episodes, episode, step)[0], self._draw_reflected(len(episode))
        # A row for each time of each episode, time first: as if they had been drawn one by one.
        times = torch.arange(steps + 1, device=self.device).repeat_interleave(len(episode))
        episode, goals = episode.repeat(steps + 1), goals.repeat(steps + 1, 1)
        reflected = None if reflected is None else reflected.repeat(steps + 1)
        of_steps = slice(len(times) * steps // (steps + 1))
        rewards, discounts, ahead = self._returns(episodes, episode[of_steps], times[of_steps], goals[of_steps])
        counts = (times <= episodes.last[episode])[of_steps].float()
        goals = self._reflect("goal", goals, reflected)
        inputs = self._inputs_at(episodes, episode, times, goals, reflected)
        previous = self._reflect("action", episodes.before(episode, times, 1)[1][:, 0], reflected)
        tensors = [inputs, previous, rewards, discounts, ahead, counts]
        if imitates:
            some = None if reflected is None else reflected[of_steps]
            at = episode[of_steps], times[of_steps], goals[of_steps], some
            tensors.append(self._guide_actions(episodes, *at))
        parts = [tensor.view(-1, count, size, *tensor.shape[1:]) for tensor in tensors]
        return [Sequences(*(part[:, i] for part in parts)) for i in range(count)]

    def _draw(self, buffer: ReplayBuffer, size: int) -> tuple[Tensor, ...]:
        """Transitions of a buffer with their goals: episode, step, and what `_goals` says of them, each (size, ...).

        Until it is touched, an object is where it began, and so are most of its goals in hindsight: there is little to
        learn from what is there from the first. Such a draw is repeated with probability 1 - `replay.idle_weight`. That
        depends on what was before the transition and not on what it led to, so that values stay what they are (Manela
        and Biess 2019, arXiv 1905.05498, leave such goals out).
        """
        episodes, weight = buffer.episodes, self._config.replay.idle_weight
        episode, step = buffer.draw(size, self._generator)
        drawn = [episode, step, *self._goals(episodes, episode, step)]
        rows = torch.arange(size, device=self.device)
        for _ in range(_REDRAWS if weight < 1.0 else 0):
            episode, step, goals = (values[rows] for values in drawn[:3])
            idle = step < episodes.moved_at[episode]
            idle &= ~is_missed(self.rewarded, episodes.achieved_goal[episode, step], goals)
            rows = rows[idle & (torch.rand(len(rows), generator=self._generator, device=self.device) >= weight)]
            episode, step = buffer.draw(len(rows), self._generator)
            again = [episode, step, *self._goals(episodes, episode, step)]
            for values, new in zip(drawn, again, strict=True):
                values[rows] = new
        return tuple(drawn)

    def _goals(self, episodes: StoredEpisodes, episode: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Goals (n, goal_size) in hindsight, not reflected; how they were chosen and when achieved, each (n,)."""
        relabel, generator = self._config.relabel, self._generator
        achieved, desired = episodes.achieved_goal, episodes.desired_goal
        return hindsight_goals(achieved, desired, episode, step, relabel, generator, episodes.last)

    def _draw_reflected(self, size: int) -> Tensor | None:
        """Which of `size` rows shall be reflected, boolean (size,); None for none."""
        if self._mirror is None:
            return None
        return torch.rand(size, generator=self._generator, device=self.device) < 0.5

    def _guide_actions(
        self, episodes: StoredEpisodes, episode: Tensor, time: Tensor, goals: Tensor, reflected: Tensor | None
    ) -> Tensor:
        """What the guide would do at some times (n, action_size). The arguments are those of `_inputs_at`."""
        assert self.guide is not None, "a configuration that imitates a guide has one"
        shown = (episodes.truth if self._config.network.asymmetric else episodes.observation)[episode, time]
        observation = self._reflect("observation", shown, reflected)
        if self.device.type == "cpu":
            # NumPy's arithmetic, as where the guide acts: a run is then the same to the last bit whatever learns it.
            return torch.from_numpy(self.guide(observation.numpy(), goals.numpy()))
        return self.guide(observation, goals)

    def _inputs_at(
        self, episodes: StoredEpisodes, episode: Tensor, time: Tensor, goals: Tensor, reflected: Tensor | None
    ) -> Tensor:
        """What the networks see at some times, (n, inputs + privileged).

        Args:
            episodes: all of them.
            episode: index of each time's episode (n,).
            time: (n,).
            goals: (n, goal_size), reflected already.
            reflected: which rows are, boolean (n,); None for none.
        """
        observation = self._reflect("observation", episodes.observation[episode, time], reflected)
        past = None
        if self.inputs.history:
            observations, actions = episodes.before(episode, time, self.inputs.history)
            past = self._reflect("observation", observations, reflected), self._reflect("action", actions, reflected)
        inputs = self.inputs(observation, goals, past)
        if not self._config.network.asymmetric:
            return inputs
        truth = self._reflect("observation", episodes.truth[episode, time], reflected)
        parameters = self._reflect("parameters", episodes.parameters[episode], reflected)
        return torch.cat([inputs, self.inputs.of_truth(truth, goals, parameters)], dim=-1)

    def _reflect(
        self, what: Literal["observation", "goal", "action", "parameters"], values: Tensor, reflected: Tensor | None
    ) -> Tensor:
        return values if self._mirror is None or reflected is None else getattr(self._mirror, what)(values, reflected)

    def _returns(
        self, episodes: StoredEpisodes, episode: Tensor, step: Tensor, goals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Discounted rewards (n,) up to `n_step` steps ahead, the discount (n,) of what follows, and its time (n,)."""
        gamma, end = self._config.agent.gamma, episodes.achieved_goal.shape[1] - 1
        rewards = torch.zeros(len(step), device=self.device)
        discounts = torch.ones(len(step), device=self.device)
        ahead, last = step, episodes.last[episode]
        for _ in range(self._config.agent.n_step):
            within = (ahead < end) & (ahead <= last)
            ahead = torch.where(within, ahead + 1, ahead)
            lost = within & (ahead > last)
            missed = is_missed(self.rewarded, episodes.achieved_goal[episode, ahead], goals) & within & ~lost
            rewards -= discounts * (missed + lost / (1.0 - gamma))
            discounts = torch.where(within, discounts * gamma, discounts).masked_fill_(lost, 0.0)
        return rewards, discounts, ahead


def _achieving(episodes: StoredEpisodes, episode: Tensor, chosen: Tensor, achieved_at: Tensor) -> Tensor:
    """The actions (n, action_size) by which goals were achieved; NaN where that was not later in the same episode."""
    actions = episodes.action[episode, (achieved_at - 1).clamp_(min=0)]
    return actions.masked_fill((chosen > STRATEGIES.index("final"))[:, None], torch.nan)


def _is_of_the_same_episode(chosen: Tensor) -> Tensor:
    """Whether an episode was meant for each goal, or achieved it later, (n,), by how the goals were chosen."""
    return (chosen <= STRATEGIES.index("final")) | (chosen == len(STRATEGIES))
