"""Bit flipping (Andrychowicz et al. 2017, section 3.1 and figure 1): where hindsight is the difference between all and
nothing.

A state and a goal are n random bits; action i flips bit i; the reward is -1 until all bits agree. With n = 15, chance
alone meets one goal in 32768 states: without hindsight there is never a reward to learn from. With it, every episode
reaches what it reached.

    python examples/bit_flipping.py                       # 15 bits, strategy future
    python examples/bit_flipping.py --strategy none       # the same without hindsight
    python examples/bit_flipping.py --plot success.png    # both, as a picture
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch

from her_robot.policy.config import RelabelConfig
from her_robot.policy.her import STRATEGIES, hindsight_goals
from her_robot.policy.perceptron import Perceptron

GAMMA = 0.98
BATCH_SIZE = 128
EPISODES_A_CYCLE, UPDATES_A_CYCLE = 16, 40
BUFFER_EPISODES = 20_000
RANDOM_ACTION = 0.2
POLYAK = 0.95
"""Weight that the target network keeps after every cycle."""
HINDSIGHT = 0.8
"""Share of a batch whose goals are chosen in hindsight; k = 4 in the paper."""


class BitFlipper:
    """Deep Q-learning (Mnih et al. 2015) with hindsight experience replay, on n bits in episodes of n steps."""

    def __init__(self, bits: int, strategy: str, seed: int) -> None:
        if bits < 1:
            raise SystemExit(f"--bits is {bits}; at least 1 is needed")
        self.bits = bits
        shares = {name: HINDSIGHT * (name == strategy) for name in STRATEGIES}
        self._relabel = RelabelConfig(**shares)
        self._generator = torch.Generator().manual_seed(seed)
        self._network = Perceptron(2 * bits, (256,), bits, layer_norm=False, generator=self._generator)
        self._target = copy.deepcopy(self._network)
        self._network.parameters.grad = self._network.gradient
        self._optimizer = torch.optim.Adam([self._network.parameters], 1e-3)
        self._achieved = torch.zeros(BUFFER_EPISODES, bits + 1, bits)
        self._desired = torch.zeros(BUFFER_EPISODES, bits)
        self._actions = torch.zeros(BUFFER_EPISODES, bits, dtype=torch.long)
        self._added = 0

    def cycle(self) -> None:
        """Some episodes, then some updates."""
        achieved, desired, actions = self.play(EPISODES_A_CYCLE, RANDOM_ACTION)
        slots = (self._added + torch.arange(EPISODES_A_CYCLE)) % BUFFER_EPISODES
        self._achieved[slots], self._desired[slots], self._actions[slots] = achieved, desired, actions
        self._added += EPISODES_A_CYCLE
        for _ in range(UPDATES_A_CYCLE):
            self._update()
        self._target.parameters.lerp_(self._network.parameters, 1.0 - POLYAK)

    def play(self, episodes: int, random_action: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Episodes side by side: states (episodes, n + 1, n), goals (episodes, n) and actions (episodes, n)."""
        state, goal = self._random_bits(episodes), self._random_bits(episodes)
        states, actions, rows = [state], [], torch.arange(episodes)
        for _ in range(self.bits):
            action = self._network(torch.cat([state, goal], dim=1)).argmax(dim=1)
            explores = torch.rand(episodes, generator=self._generator) < random_action
            anything = torch.randint(self.bits, (episodes,), generator=self._generator)
            action = torch.where(explores, anything, action)
            state = state.clone()
            state[rows, action] = 1.0 - state[rows, action]
            states.append(state)
            actions.append(action)
        return torch.stack(states, dim=1), goal, torch.stack(actions, dim=1)

    def success_rate(self, episodes: int = 200) -> float:
        """Share of new episodes that meet their goal, without exploration."""
        states, goal, _ = self.play(episodes)
        return (states == goal[:, None]).all(dim=2).any(dim=1).float().mean().item()

    def _update(self) -> None:
        """One step of the network on a batch of transitions with goals in hindsight."""
        held = min(self._added, BUFFER_EPISODES)
        episode = torch.randint(held, (BATCH_SIZE,), generator=self._generator)
        step = torch.randint(self.bits, (BATCH_SIZE,), generator=self._generator)
        achieved, desired = self._achieved[:held], self._desired[:held]
        goal, *_ = hindsight_goals(achieved, desired, episode, step, self._relabel, self._generator)
        action, state, next_state = self._actions[episode, step], achieved[episode, step], achieved[episode, step + 1]
        missed = (next_state != goal).any(dim=1).float()
        following = self._target(torch.cat([next_state, goal], dim=1)).max(dim=1).values
        target = (-missed + GAMMA * missed * following).clamp_(-1.0 / (1.0 - GAMMA), 0.0)
        values, tape = self._network.forward(torch.cat([state, goal], dim=1))
        error = values.gather(1, action[:, None]) - target[:, None]
        # Of Huber's loss, as in Mnih et al.
        gradient = torch.zeros_like(values).scatter_(1, action[:, None], error.clamp(-1.0, 1.0) / BATCH_SIZE)
        self._network.backward(tape, gradient)
        self._optimizer.step()

    def _random_bits(self, episodes: int) -> torch.Tensor:
        return torch.randint(2, (episodes, self.bits), generator=self._generator).float()


def train(bits: int, strategy: str, cycles: int, seed: int = 0, until: float = 1.0, every: int = 25) -> np.ndarray:
    """Episodes played and success rates (k, 2), measured every so many cycles; ends early at a rate of `until`."""
    flipper, curve = BitFlipper(bits, strategy, seed), []
    for cycle in range(1, cycles + 1):
        flipper.cycle()
        if cycle % every == 0:
            curve.append((cycle * EPISODES_A_CYCLE, flipper.success_rate()))
            print(f"{strategy:>8}  {curve[-1][0]:>7,} episodes  success {curve[-1][1]:.2f}")
            if curve[-1][1] >= until:
                break
    return np.array(curve)


def main() -> None:
    parser = argparse.ArgumentParser(description="Deep Q-learning with hindsight experience replay on bit flipping.")
    parser.add_argument("--bits", type=int, default=15)
    parser.add_argument("--strategy", choices=("none", "future", "final", "episode"), default="future")
    parser.add_argument("--cycles", type=int, default=600, help=f"of {EPISODES_A_CYCLE} episodes; default: 600")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="train without hindsight too, and draw both")
    options = parser.parse_args()
    strategies = [options.strategy, *(["none"] if options.plot and options.strategy != "none" else [])]
    curves = {name: train(options.bits, name, options.cycles, options.seed) for name in strategies}
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
        axes = figure.subplots()
        for name, curve in curves.items():
            axes.plot(*curve.T, label="without hindsight" if name == "none" else f"hindsight, {name}")
        axes.set(xlabel="episodes", ylabel="success", ylim=(-0.02, 1.02), title=f"{options.bits} bits")
        axes.legend()
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
