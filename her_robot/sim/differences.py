"""Simulated robots described by how they differ from another one, with one dial for how much."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from her_robot import configuration, resources
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


C = TypeVar("C")
"""Configuration of a simulated robot."""


@dataclass(frozen=True)
class Fleet(Generic[C]):
    """The simulated robots of one kind: files, some of them variants of others."""

    directory: str
    """Where the shipped ones are."""
    kind: str
    """What they are, for people."""
    config: type[C]
    """What describes one of them."""

    def load(self, name: str, severity: float = 1.0) -> C:
        """A shipped simulated robot by name, or one from a YAML file by its path.

        Args:
            name: of the robot.
            severity: how much a robot that is described by its differences differs, 0 (not at all) ... 2.

        Raises:
            UnknownNameError: no such robot, or a difference in a value that there is not.
            ConfigurationError: the file holds something else, or an impossible severity.
        """
        path = resources.named_file(self.directory, name, self.kind)
        check_severity(severity)
        if not _is_variant(configuration.read_yaml(path)):
            return configuration.load(self.config, path)
        variant = self.variant(name)
        base = configuration.to_mapping(self.load(variant.base))
        changed = with_differences(base, variant.differences, severity, str(path))
        return configuration.build(self.config, changed, str(path))

    def variant(self, name: str) -> Variant:
        """How a simulated robot differs from its base, with the differences of all that it combines.

        Raises:
            UnknownNameError: no such robot.
            ConfigurationError: the file holds something else, or combines variants of another base.
        """
        path = resources.named_file(self.directory, name, self.kind)
        variant = configuration.load(Variant, path)
        differences: dict[str, Difference] = {}
        for part in variant.combine:
            combined = configuration.load(Variant, resources.named_file(self.directory, part, self.kind))
            if combined.base != variant.base or combined.combine:
                raise ConfigurationError(f"{path}: combine: {part} must be a plain variant of {variant.base}")
            if twice := differences.keys() & combined.differences:
                raise ConfigurationError(f"{path}: combine: more than one has {', '.join(sorted(twice))}")
            differences |= combined.differences
        return replace(variant, differences=differences | variant.differences)

    def names(self) -> list[str]:
        """Names of all shipped simulated robots, the ones that others differ from first."""
        differing = self.variants()
        return [name for name in self._shipped() if name not in differing] + differing

    def variants(self) -> list[str]:
        """Names of all shipped simulated robots that are described by how they differ from another one."""
        paths = {name: resources.named_file(self.directory, name, self.kind) for name in self._shipped()}
        return [name for name, path in paths.items() if _is_variant(configuration.read_yaml(path))]

    def _shipped(self) -> list[str]:
        return sorted(path.stem for path in (resources.share_directory() / self.directory).glob("*.yaml"))


def _is_variant(data: Mapping[str, Any]) -> bool:
    """Whether a file's content describes a variant, rather than a whole robot."""
    return "base" in data
