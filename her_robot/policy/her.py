"""Hindsight experience replay (Andrychowicz et al. 2017, arXiv 1707.01495): what was achieved becomes the goal."""

import numpy as np


def hindsight_goals(
    achieved: np.ndarray,
    desired: np.ndarray,
    episode: np.ndarray,
    step: np.ndarray,
    probability: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Goals for drawn transitions, by the strategy `future`.

    Args:
        achieved: what each episode achieved at each time, (episodes, T + 1, g).
        desired: what it was meant to achieve at each time, (episodes, T + 1, g).
        episode: (n,), index of each transition's episode.
        step: (n,), index t of each transition, which leads from time t to t + 1.
        probability: chance that a goal is replaced by one achieved at a time drawn uniformly from t + 1 ... T.
        rng: source of the draws.

    Returns:
        Goals (n, g), and which of them were replaced, boolean (n,).
    """
    last = achieved.shape[1] - 1
    future = step + 1 + np.floor(rng.random(step.shape) * (last - step)).astype(int)
    replaced = rng.random(step.shape) < probability
    return np.where(replaced[:, None], achieved[episode, future], desired[episode, step + 1]), replaced
