"""Hindsight experience replay (Andrychowicz et al. 2017, arXiv 1707.01495): what was achieved becomes the goal."""

import torch
from torch import Tensor

from her_robot.policy.config import RelabelConfig

STRATEGIES = ("future", "final", "episode", "random", "past_desired")
"""`future`: achieved later in the same episode. `final`: at its end. `episode`: at any time of it. `random`: at any
time of any episode. `past_desired`: what any episode was meant to achieve."""


def hindsight_goals(
    achieved: Tensor,
    desired: Tensor,
    episode: Tensor,
    step: Tensor,
    config: RelabelConfig,
    generator: torch.Generator,
    last: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Goals for drawn transitions.

    Args:
        achieved: what each episode achieved at each time, (episodes, T + 1, g).
        desired: what each episode was meant to achieve, (episodes, g).
        episode: (n,), index of each transition's episode.
        step: (n,), index t of each transition, which leads from time t to t + 1.
        config: share of each strategy; the rest keeps its goal.
        generator: source of the draws.
        last: time up to which each episode counts, (episodes,); None where all count to their end.

    Returns:
        Goals (n, g); by which strategy each was chosen (n,): an index into `STRATEGIES`, or their number where the goal
        was kept; and the time at which it was achieved (n,), of no meaning for goals that were desired.
    """
    shares = torch.tensor([getattr(config, name) for name in STRATEGIES], device=step.device)
    chance, when, whose = torch.rand((3, len(step)), generator=generator, device=step.device)
    chosen = torch.searchsorted(shares.cumsum(0), chance, right=True)
    count = achieved.shape[0]
    # Rounding can make the product of a draw below 1 and n equal to n.
    any_episode = (whose * count).long().clamp_(max=count - 1)
    of_any_episode = (chosen == STRATEGIES.index("random")) | (chosen == STRATEGIES.index("past_desired"))
    source = torch.where(of_any_episode, any_episode, episode)
    end = torch.full_like(step, achieved.shape[1] - 1) if last is None else last[source]
    future = torch.minimum(step + 1 + (when * (end - step)).long(), end)
    any_time = torch.minimum((when * (end + 1)).long(), end)
    times = torch.stack([future, end, any_time, any_time, any_time, any_time])
    time = times.gather(0, chosen[None])[0]
    is_desired = (chosen >= STRATEGIES.index("past_desired"))[:, None]
    return torch.where(is_desired, desired[source], achieved[source, time]), chosen, time
