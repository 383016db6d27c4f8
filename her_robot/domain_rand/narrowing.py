"""Presets that draw from a part of another preset's ranges."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from her_robot.domain_rand.description import Line, describe
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.preset import RandomizationPreset


class Narrowing:
    """The ranges of a preset that an episode is drawn from, and the narrower presets that follow from parts of them.

    Positions in a range go from 0, its lower limit, to 1, in the logarithm where it is drawn so. Choices, looks, what
    has no limits, and what is drawn at the start or within an episode stay as they are.
    """

    def __init__(self, preset: RandomizationPreset, model: mujoco.MjModel, has_object: bool) -> None:
        """
        Args:
            preset: to be narrowed.
            model: of the task, as compiled.
            has_object: whether the task has one.

        Raises:
            ConfigurationError: an element that the model lacks, or a value that would be impossible in it.
        """
        self._preset = preset
        self._lines = [line for line in describe(preset, model, has_object) if _is_narrowed(line)]
        self.names = tuple(f"{line.section}.{line.name}" for line in self._lines)
        """Of the ranges (d,), such as physics.object_mass."""
        self.nominal = np.array([line.neutral_position for line in self._lines])
        """Position of each range's nominal value (d,), or of the end that is nearest to it."""

    def preset(self, parts: np.ndarray, nominal_fraction: float | None = None) -> RandomizationPreset:
        """The preset that draws from `parts`.

        Args:
            parts: lowest and highest position (d, 2).
            nominal_fraction: share of episodes that are not randomised; default: that of the whole preset.
        """
        sections: dict[str, dict[str, Any]] = {}
        for line, (low, high) in zip(self._lines, parts.tolist(), strict=True):
            found = sections.setdefault(line.section, {})
            found[line.name] = _part(_value(self._preset, line), low, high)
        changes = sections.pop("placement", {})
        changes["physics"] = self._preset.physics | sections.pop("physics", {})
        changes |= {section: replace(getattr(self._preset, section), **values) for section, values in sections.items()}
        if nominal_fraction is not None:
            changes["nominal_fraction"] = nominal_fraction
        return replace(self._preset, **changes)

    def limits(self, parts: np.ndarray) -> Mapping[str, tuple[float, float]]:
        """Smallest and largest value of each range's part (d, 2), in its own unit."""
        found = {}
        for name, line, (low, high) in zip(self.names, self._lines, parts.tolist(), strict=True):
            part = _part(_value(self._preset, line), low, high)
            found[name] = (part.low, part.high) if isinstance(part, Range) else part
        return found


def _is_narrowed(line: Line) -> bool:
    return line.is_drawn_once and line.when == "episode" and line.low is not None and "choice" not in line.distribution


def _value(preset: RandomizationPreset, line: Line) -> Range | tuple[int, int]:
    if line.section == "physics":
        return preset.physics[line.name]
    return getattr(preset if line.section == "placement" else getattr(preset, line.section), line.name)


def _part(value: Range | tuple[int, int], low: float, high: float) -> Range | tuple[int, int]:
    """The part of a range, or of whole numbers from one to another."""
    if isinstance(value, Range):
        return value.part(low, high)
    first, last = value
    return round(first + low * (last - first)), round(first + high * (last - first))
