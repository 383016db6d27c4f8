"""Simulated robots described by how they differ from another one, with one dial for how much."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from her_robot import configuration
from her_robot.errors import ConfigurationError, UnknownNameError

LARGEST_SEVERITY = 2.0


@dataclass(frozen=True)
class Difference:
    """How one value differs from the base's: by a factor or by a summand."""

    scale: float | None = None
    """Factor at severity 1. At severity s it is scale to the power of s."""
    add: float | None = None
    """Summand at severity 1, in the value's unit. At severity s it is s times that."""

    def __post_init__(self) -> None:
        if (self.scale is None) == (self.add is None):
            raise ValueError("a difference is either `scale` or `add`")
        if self.scale is not None and self.scale <= 0:
            raise ValueError(f"scale must be above 0, found {self.scale}")

    def of(self, value: float, severity: float) -> float:
        """What `value` becomes."""
        return value * self.scale**severity if self.scale is not None else value + severity * (self.add or 0.0)


@dataclass(frozen=True)
class Variant:
    """A simulated robot that differs from another one."""

    base: str
    """The simulated robot that it differs from."""
    description: str
    """One line for people."""
    differences: dict[str, Difference] = field(default_factory=dict)
    """By the value's name; dots reach into sections, as in `scene.friction`."""
    combine: tuple[str, ...] = ()
    """Variants whose differences it has too."""


def is_variant(data: Mapping[str, Any]) -> bool:
    """Whether a file's content describes a variant, rather than a whole robot."""
    return "base" in data


def check_severity(severity: float) -> None:
    """
    Raises:
        ConfigurationError: it lies outside of 0 ... 2.
    """
    if not 0.0 <= severity <= LARGEST_SEVERITY:
        raise ConfigurationError(f"severity is {severity:g}; it must lie in 0 ... {LARGEST_SEVERITY:g}, 1 as described")


def with_differences(
    base: Mapping[str, Any], differences: Mapping[str, Difference], severity: float, where: str
) -> dict[str, Any]:
    """The configuration `base` with every difference applied.

    Args:
        base: values by name, in nested mappings; it is not changed.
        differences: by dotted name.
        severity: 0 leaves the base as it is, 1 applies the differences as they are written.
        where: names the source in messages.

    Raises:
        UnknownNameError: a name that the base does not have.
        ConfigurationError: a name whose value is not a real number, or an impossible severity.
    """
    check_severity(severity)
    result = configuration.to_mapping(base)
    for name, difference in differences.items():
        *sections, leaf = name.split(".")
        values: Any = result
        for section in sections:
            values = values.get(section) if isinstance(values, dict) else None
        if not isinstance(values, dict) or leaf not in values:
            raise UnknownNameError("value", name, _real_names(base), where)
        if not isinstance(values[leaf], float):
            raise ConfigurationError(f"{where}: {name} is {values[leaf]!r}; only real numbers can differ by degrees")
        values[leaf] = difference.of(values[leaf], severity)
    return result


def _real_names(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    names = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            names += _real_names(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            names.append(prefix + name)
    return names
