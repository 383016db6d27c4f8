"""Variations of a model's parameters: how a preset asks for them, and where they lie in a compiled model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import mujoco
import numpy as np

from her_robot.arrays import Array
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.parameters import (
    OBJECT,
    PARAMETERS,
    Operation,
    Parameter,
    When,
    element_name,
    find_elements,
    rows_of,
)
from her_robot.errors import ConfigurationError, did_you_mean


@dataclass(frozen=True)
class Variation(Range):
    """How one parameter of the model varies. The range and its distribution alone are enough."""

    parameter: str | None = None
    """In the table of parameters; default: the name of the entry itself."""
    elements: tuple[str, ...] = ()
    """Names in the model, `*` for any characters, such as robot0:*_link; default: the parameter's own."""
    operation: Operation | None = None
    """`scale` (times nominal), `add` (to nominal) or `set`; default: the parameter's first."""
    when: When = "episode"
    """Drawn at the `start`, when an environment is seeded; for every `episode`; anew after an `interval` within it; or
    for every `step`, a control period."""
    interval: Range | None = None
    """From one draw to the next [s], with `when: interval`."""
    independent: bool = False
    """Draw for each element by itself; otherwise all elements share a draw."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.when == "interval") != (self.interval is not None):
            raise ValueError("an interval [s] belongs to when: interval, and only to it")
        if self.interval is not None and self.interval.low <= 0:
            raise ValueError(f"interval must stay above 0 s, found {self.interval.low}")


def check_variations(variations: Mapping[str, Variation]) -> None:
    """Refuse what no model could satisfy: unknown parameters, wrong operations, factors that are not above 0.

    Raises:
        ConfigurationError: the message lists what would be valid.
    """
    for name, variation in variations.items():
        key = variation.parameter or name
        if key not in PARAMETERS:
            raise ConfigurationError(f"physics: unknown parameter {key!r}{did_you_mean(key, PARAMETERS)}")
        parameter, operation = PARAMETERS[key], _operation(name, variation)
        if operation not in parameter.operations:
            raise ConfigurationError(f"physics: {name}: operation is {operation}; valid: {_list(parameter.operations)}")
        if variation.when not in parameter.often:
            raise ConfigurationError(f"physics: {name}: when is {variation.when}; valid: {_list(parameter.often)}")
        if operation == "scale" and variation.low <= 0:
            raise ConfigurationError(f"physics: {name} is a factor and must stay above 0, found {variation.low}")
        if parameter.kind is None and variation.elements:
            raise ConfigurationError(f"physics: {name} belongs to the model as a whole; leave elements out")
        if parameter.kind is not None and not (variation.elements or parameter.elements):
            raise ConfigurationError(
                f"physics: {name} needs elements: names of a {parameter.kind} in the model, * for any characters"
            )


class _Along(NamedTuple):
    """What is scaled along with a parameter, by a power of the same factor."""

    field: str
    place: tuple[Any, ...]
    power: int = 1


class _Boxes:
    """The boxes that a broader search finds bodies by, in the frames of their inertia: those move with the centres of
    mass, and what the boxes are around does not."""

    def __init__(self, model: mujoco.MjModel, bodies: np.ndarray) -> None:
        firsts, counts = model.body_bvhadr[bodies], model.body_bvhnum[bodies]
        self._rows = np.concatenate([np.arange(n) + first for first, n in zip(firsts, counts, strict=True)])
        self._owners = np.repeat(np.arange(len(bodies)), counts)
        self._rotations = np.zeros((len(bodies), 9))
        for rotation, body in zip(self._rotations, bodies, strict=True):
            mujoco.mju_quat2Mat(rotation, model.body_iquat[body])
        self._rotations = self._rotations.reshape(-1, 3, 3)

    def shift(self, model: mujoco.MjModel, shifts: np.ndarray) -> None:
        """Follow centres of mass that moved by `shifts` (bodies, 3), in the bodies' frames [m]."""
        model.bvh_aabb[self._rows, :3] -= np.einsum("bji,bj->bi", self._rotations, shifts)[self._owners]


class Bound:
    """A variation, and where its parameter lies in one compiled model."""

    def __init__(self, model: mujoco.MjModel, name: str, variation: Variation, elements: list[int]) -> None:
        self.name, self.variation = name, variation
        self.parameter = parameter = PARAMETERS[variation.parameter or name]
        self.operation: Operation = _operation(name, variation)
        self.elements = tuple(element_name(model, parameter, element) for element in elements)
        rows, owners = rows_of(model, parameter, elements)
        self.owners = owners if variation.independent else np.zeros_like(owners)
        """Which element of a draw belongs to each row of the field."""
        self.shape = (len(elements) if variation.independent and elements else 1, parameter.axes)
        self.place = _index(parameter, rows)
        """Index of what is varied in the parameter's field."""
        self.along = [_Along(field, (rows,)) for field in parameter.scaled_along]
        """What is scaled along with it."""
        self._half_height = 0.0
        if parameter.field == "geom_size":
            bodies = model.geom_bodyid[rows]
            self.along.append(_Along("body_inertia", (bodies,), 2))
            # Of the box that a body is found by, the half sizes; its centre stays.
            self.along.append(_Along("bvh_aabb", (model.body_bvhadr[bodies][:, None], np.arange(3, 6))))
            objects = [geom for geom in rows if model.body(model.geom_bodyid[geom]).name == OBJECT]
            self._half_height = sum(_half_height(model, geom) for geom in objects)
        self._boxes = _Boxes(model, rows) if parameter.field == "body_ipos" else None
        self.fields = (parameter.field, *(along.field for along in self.along))
        if self._boxes is not None:
            self.fields += ("bvh_aabb",)
        """Fields of `MjModel` that are written."""
        self.nominal = field_of(model, parameter.field)[self.place].copy()
        """In the compiled model: one value for each element or degree of freedom, and axis."""

    def sample(self, rng: Any, count: int, values: Range | None = None) -> Array:
        """Draws (count, elements, axes); one element where all share a draw.

        Args:
            rng: source of the draws.
            count: how many.
            values: to be drawn from; default: those of the variation.
        """
        return (values or self.variation).sample(rng, (count, *self.shape))

    def write(self, model: mujoco.MjModel, values: np.ndarray) -> None:
        """Apply a draw (elements, axes) to what stands in the model."""
        array = field_of(model, self.parameter.field)
        old = array[self.place]
        array[self.place] = new = _OPERATIONS[self.operation](old, self._spread(values, old))
        if self._boxes is not None:
            self._boxes.shift(model, new - old)
        if not self.along:
            return
        factor = values[self.owners] if self.operation == "scale" else (new / old)[:, None]
        for field, place, power in self.along:
            array = field_of(model, field)
            scale = factor if power == 1 else factor**power
            array[place] *= scale if array.ndim > 1 else scale[:, 0]

    def rise(self, values: Array) -> Array:
        """How far the object lies above its nominal height through draws (..., elements, axes), (...) [m]."""
        first = values[..., 0, 0]
        return first if self.parameter is PARAMETERS["table_height"] else self._half_height * (first - 1.0)

    def limits(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest results, of values between `low` and `high`."""
        operate, ends = _OPERATIONS[self.operation], (self.variation.low, self.variation.high)
        results = [operate(start, np.full_like(start, end)) for start in (low, high) for end in ends]
        return np.min(results, axis=0), np.max(results, axis=0)

    def check(self, low: np.ndarray, high: np.ndarray) -> None:
        """Refuse results that are impossible.

        Raises:
            ConfigurationError: the message says what it must be.
        """
        parameter = self.parameter
        lowest, highest = float(low.min()), float(high.max())
        # A factor above 0 keeps the sign of whatever it scales.
        if parameter.positive and self.operation != "scale" and lowest <= 0:
            raise ConfigurationError(f"physics: {self.name} could become {lowest:g} {parameter.unit}; must be above 0")
        if lowest < parameter.lowest or highest > parameter.highest:
            found = lowest if lowest < parameter.lowest else highest
            raise ConfigurationError(
                f"physics: {self.name} could become {found:g} {parameter.unit}; "
                f"must lie in [{parameter.lowest:g}, {parameter.highest:g}]"
            )

    def _spread(self, values: np.ndarray, old: np.ndarray) -> np.ndarray:
        """A draw in the shape of what it applies to."""
        if self.parameter.kind is None:
            return values[0]
        spread = values[self.owners]
        return spread if old.ndim > 1 else spread[:, 0]


def bind(model: mujoco.MjModel, variations: Mapping[str, Variation]) -> list[Bound]:
    """Find what is varied in a model; shorthands whose default elements it lacks are left out.

    Raises:
        ConfigurationError: an element that the model lacks, or a value that would be impossible in it.
    """
    check_variations(variations)
    found = []
    for name, variation in variations.items():
        parameter = PARAMETERS[variation.parameter or name]
        elements: list[int] = []
        if parameter.kind is not None:
            patterns = variation.elements or _present(model, parameter)
            elements = find_elements(model, name, parameter, patterns)
        if elements or parameter.kind is None:
            found.append(Bound(model, name, variation, elements))
    _check_together(model, found)
    return found


def _check_together(model: mujoco.MjModel, bounds: Iterable[Bound]) -> None:
    """Check every result, where several variations of one value follow each other."""
    limits: dict[str, list[np.ndarray]] = {}
    for bound in bounds:
        field = bound.parameter.field
        low, high = limits.setdefault(field, [field_of(model, field).astype(float) for _ in range(2)])
        smallest, largest = bound.limits(low[bound.place], high[bound.place])
        bound.check(smallest, largest)
        low[bound.place], high[bound.place] = smallest, largest


def _present(model: mujoco.MjModel, parameter: Parameter) -> list[str]:
    """Those of a shorthand's elements that a model has."""
    present = []
    for name in parameter.elements:
        try:
            find_elements(model, "", parameter, [name])
        except ConfigurationError:
            continue
        present.append(name)
    return present


def _operation(name: str, variation: Variation) -> Operation:
    return variation.operation or PARAMETERS[variation.parameter or name].operations[0]


def field_of(model: mujoco.MjModel, field: str) -> np.ndarray:
    """View of a field of a model; `opt.gravity` is one too."""
    return attrgetter(field)(model)


def _index(parameter: Parameter, rows: np.ndarray) -> tuple[Any, ...]:
    if parameter.kind is None:
        return (slice(None),)
    return (rows,) if parameter.column is None else (rows, parameter.column)


def _half_height(model: mujoco.MjModel, geom: int) -> float:
    """Of an upright box or cylinder, or of a sphere [m]."""
    axis = {int(mujoco.mjtGeom.mjGEOM_CYLINDER): 1, int(mujoco.mjtGeom.mjGEOM_SPHERE): 0}
    return float(model.geom_size[geom, axis.get(int(model.geom_type[geom]), 2)])


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


_OPERATIONS = {
    "scale": lambda old, value: old * value,
    "add": lambda old, value: old + value,
    "set": lambda old, value: value,
}
