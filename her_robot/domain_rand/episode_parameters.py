"""What was drawn for an episode, as one vector of numbers for a network that may know the truth (a critic)."""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from her_robot.domain_rand.description import describe
from her_robot.domain_rand.preset import RandomizationPreset


class EpisodeParameters:
    """One row of numbers for each environment: what its present episode was drawn from.

    A range is mapped to [-1, 1], in the logarithm where it is drawn so; of a normal draw without limits, what lies
    within two standard deviations. Draws within an episode (noise, and parameters that change every step or interval)
    and looks have no number; nor has what is constant. Where a preset has nominal and other episodes, the first number,
    `randomized`, is -1 in nominal ones and 1 in others. In a nominal episode every other number stands for the nominal
    value, or for the end of the range that is nearest to it.
    """

    def __init__(self, preset: RandomizationPreset, model: mujoco.MjModel, has_object: bool, num_envs: int) -> None:
        """
        Args:
            preset: whose ranges become [-1, 1].
            model: of the task, as compiled.
            has_object: whether the task has one.
            num_envs: number of rows.

        Raises:
            ConfigurationError: an element that the model lacks, or a value that would be impossible in it.
        """
        self._lines = [line for line in describe(preset, model, has_object) if line.is_drawn_once]
        self._flag = 0.0 < preset.nominal_fraction < 1.0
        counts = [len(line.components) for line in self._lines]
        ends = [line.ends for line in self._lines]
        self._low, self._high = (np.repeat([end[side] for end in ends], counts) for side in (0, 1))
        self._logarithmic = np.repeat(np.array([line.distribution == "log_uniform" for line in self._lines]), counts)
        self._nominal = 2.0 * np.repeat([line.neutral_position for line in self._lines], counts) - 1.0
        self.names: tuple[str, ...] = (
            *(("randomized",) if self._flag else ()),
            *(f"{line.section}.{component}" for line in self._lines for component in line.components),
        )
        """Of each column, such as physics.object_mass, actuation.bias.x or physics.link_mass[robot0:base_link]."""
        self.values = np.zeros((num_envs, len(self.names)), np.float32)
        """float32 (num_envs, names)."""

    def record(self, row: int, drawn: Mapping[str, Mapping[str, Any]]) -> None:
        """Begin an episode of one row.

        Args:
            row: index.
            drawn: what was drawn, by section and name; empty in a nominal episode.
        """
        scaled = self._nominal
        if drawn and self._lines:
            flat = np.concatenate([np.ravel(drawn[line.section][line.name]) for line in self._lines])
            scaled = self._scale(flat)
        self.values[row] = np.append(1.0 if drawn else -1.0, scaled) if self._flag else scaled

    def _scale(self, values: np.ndarray) -> np.ndarray:
        """Map each column's range to [-1, 1]."""
        values, low, high = (self._linear(array) for array in (values, self._low, self._high))
        return 2.0 * (values - low) / (high - low) - 1.0

    def _linear(self, values: np.ndarray) -> np.ndarray:
        """Logarithms where draws are uniform in them."""
        return np.log(values, out=values.astype(float), where=self._logarithmic)
