"""What all contracts are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONTROL_PERIOD_S = 0.04
"""One action every 0.04 s: 20 physics steps of 2 ms (Gymnasium-Robotics, `n_substeps=20`)."""


@dataclass(frozen=True)
class Term:
    """One named run of numbers in an observation, a goal or an action."""

    name: str
    size: int
    unit: str
    frame: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a policy for one task sees and does. Two policies with equal contracts are interchangeable."""

    task: str
    environment: str
    """Name of the Gymnasium-Robotics environment that defines the task."""
    observation: tuple[Term, ...]
    goal: Term
    """The desired goal; what is achieved is the term of that name."""
    action: tuple[Term, ...]
    has_object: bool
    success_distance: float
    """An achieved goal nearer than this to the desired goal is a success [m]."""
    control_period: float = CONTROL_PERIOD_S
    """Time between two actions [s]."""
    episode_steps: int = 50
    """Actions in one episode."""

    @property
    def observation_size(self) -> int:
        return sum(term.size for term in self.observation)

    @property
    def goal_size(self) -> int:
        return self.goal.size

    @property
    def action_size(self) -> int:
        return sum(term.size for term in self.action)

    @property
    def distance_unit(self) -> str:
        """Of `goal_distance`."""
        return "m"

    @property
    def success_threshold(self) -> float:
        """A smaller `goal_distance` is a success [distance_unit]."""
        return self.success_distance


def term_slice(contract: Contract, name: str) -> slice:
    """Where an observation holds the term `name`.

    Raises:
        KeyError: the observation has no such term; the message lists those it has.
    """
    start = 0
    for term in contract.observation:
        if term.name == name:
            return slice(start, start + term.size)
        start += term.size
    raise KeyError(f"{contract.task} has no term {name!r}: {[term.name for term in contract.observation]}")


_INTERFACE = ("observation", "goal", "action", "control_period", "relative_control")
"""Fields that say what a policy sees, wants and does; tasks of the Fetch have no relative control."""


def same_interface(first: Contract, second: Contract) -> bool:
    """Whether a policy of one task sees, wants and does the same as one of the other, such as for another object."""
    return all(getattr(first, name, None) == getattr(second, name, None) for name in _INTERFACE)


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two contracts, written as plain dictionaries, differ: one line a field, empty if they agree."""
    lines = []
    for key in sorted(expected.keys() | found.keys()):
        path = f"{prefix}{key}"
        if key not in found:
            lines.append(f"{path}: missing, expected {expected[key]!r}")
        elif key not in expected:
            lines.append(f"{path}: unknown field, found {found[key]!r}")
        elif isinstance(expected[key], Mapping) and isinstance(found[key], Mapping):
            lines += differences(expected[key], found[key], f"{path}.")
        elif expected[key] != found[key]:
            lines.append(f"{path}: expected {expected[key]!r}, found {found[key]!r}")
    return lines
