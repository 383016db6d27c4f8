"""Random draws on a device, called as those of NumPy are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Size = int | Sequence[int]


class DeviceGenerator:
    """What of `numpy.random.Generator` is used here, as float32 tensors on a device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generator = torch.Generator(device).manual_seed(seed % 2**63)
        self._device = device

    @classmethod
    def of_seeds(cls, seeds: Sequence[int], device: torch.device) -> "DeviceGenerator":
        """A generator of its own for each sequence of seeds, as `numpy.random.default_rng` makes them."""
        return cls(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1), device)

    def random(self, size: Size = ()) -> Tensor:
        """Uniform in [0, 1)."""
        return torch.rand(_shape(size), generator=self._generator, device=self._device)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Size | None = None) -> Tensor:
        """Uniform in [low, high)."""
        return low + (high - low) * self.random(size or ())

    def standard_normal(self, size: Size = ()) -> Tensor:
        """Mean 0, deviation 1."""
        return torch.randn(_shape(size), generator=self._generator, device=self._device)

    def normal(self, mean: float = 0.0, deviation: float = 1.0, size: Size | None = None) -> Tensor:
        """Gaussian."""
        return mean + deviation * self.standard_normal(size or ())

    def integers(self, low: int, high: int, size: Size = ()) -> Tensor:
        """Whole numbers in [low, high)."""
        return torch.randint(low, high, _shape(size), generator=self._generator, device=self._device)

    def choice(self, values: Sequence[float], size: Size | None = None) -> Tensor:
        """One of `values`, all with the same probability."""
        return torch.tensor(values, device=self._device)[self.integers(0, len(values), size or ())]

    @property
    def bit_generator(self) -> "DeviceGenerator":
        """Where the state is."""
        return self

    @property
    def state(self) -> Mapping[str, Any]:
        """Of the generator, as JSON can hold it."""
        return {"bit_generator": "torch", "state": bytes(self._generator.get_state().numpy()).hex()}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._generator.set_state(torch.frombuffer(bytearray.fromhex(state["state"]), dtype=torch.uint8))


def _shape(size: Size) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)
