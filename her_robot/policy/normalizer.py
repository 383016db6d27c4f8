"""Running mean and standard deviation of what a network sees."""

import numpy as np

from her_robot.policy.config import NormalizerConfig


class Normalizer:
    """Clips, centres, scales and clips again (Plappert et al. 2018, appendix B)."""

    def __init__(self, size: int, config: NormalizerConfig) -> None:
        self._config = config
        self._sum = np.zeros(size)
        self._sum_of_squares = np.zeros(size)
        self._count = 0.0
        self.mean = np.zeros(size, np.float32)
        self.std = np.ones(size, np.float32)

    def update(self, values: np.ndarray) -> None:
        """Take in samples (..., size)."""
        clip = self._config.observation_clip
        samples = np.clip(values.reshape(-1, self.mean.size), -clip, clip).astype(np.float64)
        self._sum += samples.sum(axis=0)
        self._sum_of_squares += np.square(samples).sum(axis=0)
        self._count += len(samples)
        self._derive()

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Normalised values, float32 of the same shape."""
        config = self._config
        clipped = np.clip(values, -config.observation_clip, config.observation_clip)
        return np.clip((clipped - self.mean) / self.std, -config.normalized_clip, config.normalized_clip).astype(
            np.float32
        )

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs."""
        return {"sum": self._sum, "sum_of_squares": self._sum_of_squares, "count": np.array([self._count])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from an earlier `state()`."""
        self._sum = state["sum"].copy()
        self._sum_of_squares = state["sum_of_squares"].copy()
        self._count = float(state["count"][0])
        if self._count:
            self._derive()

    def _derive(self) -> None:
        mean = self._sum / self._count
        variance = np.maximum(self._sum_of_squares / self._count - np.square(mean), self._config.minimum_std**2)
        self.mean, self.std = mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
