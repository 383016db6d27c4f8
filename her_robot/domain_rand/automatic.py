"""Automatic domain randomisation: ranges that grow with the policy (OpenAI et al. 2019, arXiv 1910.07113, section 5).

Each dimension is a range of a preset. Positions in it are numbers from 0, its lower limit, to 1, its upper one; these
limits are never left. At first a narrow part around the nominal value is drawn from. In some episodes one dimension is
put at one end of its part (a boundary), while all others are drawn as ever. Where the policy succeeds at a boundary,
the part is widened there; where it fails, it is narrowed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LOW, HIGH = 0, 1
"""Ends of a part, as indices."""
NO_BOUNDARY = -1


@dataclass(frozen=True)
class AutomaticConfig:
    """Automatic domain randomisation. Shares are of the whole range that the preset gives."""

    enabled: bool = False
    """Begin with narrow ranges and let them grow up to those of the preset; otherwise all of them is drawn from."""
    boundary_probability: float = 0.5
    """Share of training episodes that are at a boundary. They are played without exploration."""
    episodes: int = 10
    """At one boundary, before it is judged."""
    widen_above: float = 0.8
    """Final-step success at a boundary from which on it is widened."""
    narrow_below: float = 0.4
    """Final-step success at a boundary up to which it is narrowed."""
    step: float = 0.1
    """Share by which a boundary moves."""
    initial_width: float = 0.1
    """Share that is drawn from at first, about what is nominal; no part becomes smaller."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.boundary_probability <= 1.0:
            raise ValueError(f"boundary_probability must lie in [0, 1], found {self.boundary_probability}")
        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, found {self.episodes}")
        if not 0.0 <= self.narrow_below < self.widen_above <= 1.0:
            raise ValueError(
                "0 <= narrow_below < widen_above <= 1 must hold, "
                f"found narrow_below {self.narrow_below} and widen_above {self.widen_above}"
            )
        for name in ("step", "initial_width"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie above 0 and not above 1, found {getattr(self, name)}")


class AutomaticRandomization:
    """Which part of each dimension is drawn from at present, and what is known of its boundaries."""

    def __init__(self, config: AutomaticConfig, names: Sequence[str], nominal: np.ndarray) -> None:
        """
        Args:
            config: how parts grow.
            names: of the dimensions (d,).
            nominal: position of each one's nominal value (d,), 0 to 1.
        """
        self._config, self.names = config, tuple(names)
        low = np.clip(nominal - config.initial_width / 2, 0.0, 1.0 - config.initial_width)
        self._initial = np.stack([low, low + config.initial_width], axis=1)
        self.parts = self._initial.copy()
        """Lowest and highest position that is drawn from, (d, 2)."""
        self._episodes = np.zeros_like(self.parts)
        self._successes = np.zeros_like(self.parts)

    @property
    def entropy(self) -> float:
        """Mean logarithm of the parts' widths [nats per dimension]: 0 where the whole preset is drawn from."""
        return float(np.log(self.parts[:, HIGH] - self.parts[:, LOW]).mean()) if self.names else 0.0

    def draw_boundaries(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """For `count` episodes, the boundary that each is at: 2 * dimension + end, or NO_BOUNDARY, int (count,)."""
        if not self.names:
            return np.full(count, NO_BOUNDARY)
        boundaries = rng.integers(2 * len(self.names), size=count)
        return np.where(rng.random(count) < self._config.boundary_probability, boundaries, NO_BOUNDARY)

    def parts_at(self, boundary: int) -> np.ndarray:
        """The parts (d, 2) that an episode at a boundary is drawn from."""
        parts = self.parts.copy()
        if boundary != NO_BOUNDARY:
            dimension, end = divmod(boundary, 2)
            parts[dimension] = parts[dimension, end]
        return parts

    def count(self, boundaries: np.ndarray, successes: np.ndarray) -> np.ndarray:
        """Episodes and successes at each boundary, (2, d, 2), of episodes that were at `boundaries` (n,)."""
        at = boundaries != NO_BOUNDARY
        size = self.parts.size
        counts = [np.bincount(boundaries[at], weights[at], size) for weights in (np.ones(at.size), successes)]
        return np.reshape(counts, (2, *self.parts.shape))

    def record(self, counts: np.ndarray) -> None:
        """Take in what `count` gives, possibly summed over processes; move the boundaries that are now known."""
        self._episodes += counts[0]
        self._successes += counts[1]
        judged = self._episodes >= self._config.episodes
        rate = self._successes / np.maximum(self._episodes, 1.0)
        outward = np.where(judged & (rate >= self._config.widen_above), self._config.step, 0.0)
        inward = np.where(judged & (rate <= self._config.narrow_below), self._config.step, 0.0)
        self.parts[:, LOW] = np.clip(self.parts[:, LOW] + (inward - outward)[:, LOW], 0.0, self._initial[:, LOW])
        self.parts[:, HIGH] = np.clip(self.parts[:, HIGH] + (outward - inward)[:, HIGH], self._initial[:, HIGH], 1.0)
        self._episodes[judged] = self._successes[judged] = 0.0

    def state(self) -> dict[str, float]:
        """All that changes, by name, such as physics.object_mass.high; JSON keeps every bit of it."""
        values = {"": self.parts, ".episodes": self._episodes, ".successes": self._successes}
        return {
            f"{name}.{end}{kind}": float(array[dimension, side])
            for dimension, name in enumerate(self.names)
            for side, end in enumerate(("low", "high"))
            for kind, array in values.items()
        }

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state()`.

        Raises:
            KeyError: of a dimension that it does not have.
        """
        for kind, array in {"": self.parts, ".episodes": self._episodes, ".successes": self._successes}.items():
            array[:] = [[state[f"{name}.{end}{kind}"] for end in ("low", "high")] for name in self.names]
