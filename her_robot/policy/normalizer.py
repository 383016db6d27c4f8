"""Running mean and standard deviation of what a network sees."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from her_robot import arrays
from her_robot.policy.config import NormalizerConfig


class Normalizer:
    """Clips, centres, scales and clips again (Plappert et al. 2018, appendix B)."""

    def __init__(self, size: int, config: NormalizerConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.sums = np.zeros(2 * size + 1)
        """Of samples (size,), of their squares (size,), and their number."""
        self.mean = torch.zeros(size, device=device)
        self.std = torch.ones(size, device=device)

    def sums_of(self, values: np.ndarray | Tensor) -> np.ndarray:
        """What samples (..., size) add to `sums`; they are summed where they are."""
        clip = self.config.observation_clip
        samples: Any = arrays.namespace(values).clip(values.reshape(-1, len(self.mean)), -clip, clip)
        samples = samples.double() if isinstance(samples, Tensor) else samples.astype(np.float64)
        sums = (samples.sum(0), (samples * samples).sum(0))
        return np.concatenate([*(arrays.to_numpy(part) for part in sums), [len(samples)]])

    def add(self, sums: np.ndarray) -> None:
        """Take in samples by their `sums_of`."""
        self.sums = self.sums + sums
        self._derive()

    def update(self, values: np.ndarray) -> None:
        """Take in samples (..., size)."""
        self.add(self.sums_of(values))

    def __call__(self, values: Tensor) -> Tensor:
        """Normalised values, float32 of the same shape."""
        config = self.config
        clipped = values.clamp(-config.observation_clip, config.observation_clip)
        return ((clipped - self.mean) / self.std).clamp_(-config.normalized_clip, config.normalized_clip)

    def restore(self, sums: np.ndarray) -> None:
        """Continue from earlier `sums`."""
        self.sums = sums.copy()
        if self.sums[-1]:
            self._derive()

    def _derive(self) -> None:
        size = len(self.mean)
        mean = self.sums[:size] / self.sums[-1]
        variance = self.sums[size:-1] / self.sums[-1] - np.square(mean)
        std = np.sqrt(np.maximum(variance, self.config.minimum_std**2))
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))
