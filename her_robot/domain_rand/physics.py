"""Randomised models: draws from a preset's `physics`, written into the model of each environment.

What is drawn is always applied to the nominal model, in the order of the preset, so it never accumulates over episodes.
Constants that MuJoCo derives from masses, centres of mass, armatures and poses are recomputed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import mujoco
import numpy as np

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


class Physics:
    """The models of a batch of environments, and what they are made of at present."""

    def __init__(
        self,
        variations: Mapping[str, Variation],
        nominal: mujoco.MjModel,
        models: Sequence[mujoco.MjModel],
        rng: np.random.Generator,
        start_rng: np.random.Generator | None = None,
        control_period: float = 0.04,
    ) -> None:
        """
        Args:
            variations: by name of their entry in the preset.
            nominal: what the draws are relative to.
            models: one for each environment, compiled alike; changed in place.
            rng: source of the draws.
            start_rng: source of what is drawn at the start alone; default: `rng`.
            control_period: [s].

        Raises:
            ConfigurationError: an element that the model lacks, or a value that would be impossible in it.
        """
        self._models, self._rng, self._period = models, rng, control_period
        self.bound = bind(nominal, variations)
        self._fields = {field: _array(nominal, field).copy() for bound in self.bound for field in bound.fields}
        self._derived = any(bound.parameter.derived for bound in self.bound)
        self._scratch = mujoco.MjData(nominal) if self._derived else None
        self._dynamic = [bound for bound in self.bound if bound.variation.when in ("interval", "step")]
        self._redone_fields = {field for bound in self._dynamic for field in bound.fields}
        self._redone = [bound for bound in self.bound if self._redone_fields & set(bound.fields)]
        self._values: list[dict[str, np.ndarray]] = [{} for _ in models]
        self._randomised = np.zeros(len(models), bool)
        self._steps = np.zeros(len(models))
        self._due = {bound.name: np.full(len(models), np.inf) for bound in self._dynamic}
        self._start = {
            bound.name: bound.sample(start_rng or rng, len(models))
            for bound in self.bound
            if bound.variation.when == "start"
        }

    def reset(self, row: int, nominal: bool) -> dict[str, Any]:
        """Begin an episode of one row: draw its model anew, or make it nominal.

        Returns:
            What was drawn, by name: a number, or a list with one for each element and axis.
        """
        self._randomised[row] = not nominal
        self._steps[row] = 0
        values = self._values[row] = {} if nominal else {bound.name: self._draw(bound, row) for bound in self.bound}
        self._write(row, self.bound, self._fields)
        if self._derived:
            # The inverse weights that scale constraints derive from masses.
            mujoco.mj_setConst(self._models[row], self._scratch)
        return {name: value.squeeze().tolist() for name, value in values.items()}

    def advance(self) -> None:
        """Before a control period: redraw what changes within an episode. Nothing, most often."""
        if not self._dynamic:
            return
        changed, derived = np.zeros(len(self._models), bool), np.zeros(len(self._models), bool)
        for bound in self._dynamic:
            rows = self._randomised.copy()
            if bound.variation.interval is not None:
                rows &= self._steps * self._period >= self._due[bound.name]
                waits = bound.variation.interval.sample(self._rng, rows.size)
                self._due[bound.name] = np.where(rows, self._steps * self._period + waits, self._due[bound.name])
            drawn = bound.sample(self._rng, rows.size)
            for row in np.flatnonzero(rows).tolist():
                self._values[row][bound.name] = drawn[row]
            changed |= rows
            derived |= rows & bound.parameter.derived
        for row in np.flatnonzero(changed).tolist():
            self._write(row, self._redone, self._redone_fields)
            if derived[row]:
                mujoco.mj_setConst(self._models[row], self._scratch)
        self._steps += 1

    def object_rise(self, row: int) -> float:
        """How far the object's centre, at rest on the table, lies above the nominal height [m]."""
        return sum(bound.rise(self._values[row][bound.name]) for bound in self.bound if bound.name in self._values[row])

    def _draw(self, bound: "Bound", row: int) -> np.ndarray:
        variation = bound.variation
        if variation.when == "start":
            return self._start[bound.name][row]
        if variation.interval is not None:
            self._due[bound.name][row] = variation.interval.sample(self._rng)
        return bound.sample(self._rng, 1)[0]

    def _write(self, row: int, bounds: Iterable["Bound"], fields: Iterable[str]) -> None:
        model, values = self._models[row], self._values[row]
        for field in fields:
            _array(model, field)[:] = self._fields[field]
        for bound in bounds:
            if bound.name in values:
                bound.write(model, values[bound.name])


class _Along(NamedTuple):
    """What is scaled along with a parameter, by a power of the same factor."""

    field: str
    place: tuple[Any, ...]
    power: int = 1


class Bound:
    """A variation, and where its parameter lies in one compiled model."""

    def __init__(self, model: mujoco.MjModel, name: str, variation: Variation, elements: list[int]) -> None:
        self.name, self.variation = name, variation
        self.parameter = parameter = PARAMETERS[variation.parameter or name]
        self.operation: Operation = _operation(name, variation)
        self.elements = tuple(element_name(model, parameter, element) for element in elements)
        rows, owners = rows_of(model, parameter, elements)
        self._owners = owners if variation.independent else np.zeros_like(owners)
        self.shape = (len(elements) if variation.independent and elements else 1, parameter.axes)
        self.place = _index(parameter, rows)
        """Index of what is varied in the parameter's field."""
        self._along = [_Along(field, (rows,)) for field in parameter.scaled_along]
        self._half_height = 0.0
        if parameter.field == "geom_size":
            bodies = model.geom_bodyid[rows]
            self._along.append(_Along("body_inertia", (bodies,), 2))
            # Of the box that a body is found by, the half sizes; its centre stays.
            self._along.append(_Along("bvh_aabb", (model.body_bvhadr[bodies][:, None], np.arange(3, 6))))
            objects = [geom for geom in rows if model.body(model.geom_bodyid[geom]).name == OBJECT]
            self._half_height = sum(_half_height(model, geom) for geom in objects)
        self.fields = (parameter.field, *(along.field for along in self._along))
        """Fields of `MjModel` that are written."""
        self.nominal = _array(model, parameter.field)[self.place].copy()
        """In the compiled model: one value for each element or degree of freedom, and axis."""

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws (count, elements, axes); one element where all share a draw."""
        return self.variation.sample(rng, (count, *self.shape))

    def write(self, model: mujoco.MjModel, values: np.ndarray) -> None:
        """Apply a draw (elements, axes) to what stands in the model."""
        array = _array(model, self.parameter.field)
        old = array[self.place]
        array[self.place] = new = _OPERATIONS[self.operation](old, self._spread(values, old))
        if not self._along:
            return
        factor = values[self._owners] if self.operation == "scale" else (new / old)[:, None]
        for field, place, power in self._along:
            array = _array(model, field)
            scale = factor if power == 1 else factor**power
            array[place] *= scale if array.ndim > 1 else scale[:, 0]

    def rise(self, values: np.ndarray) -> float:
        """How far the object lies above its nominal height through a draw (elements, axes) [m]."""
        if self.parameter is PARAMETERS["table_height"]:
            return float(values[0, 0])
        return self._half_height * float(values[0, 0] - 1.0) if self._half_height else 0.0

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
        spread = values[self._owners]
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
        low, high = limits.setdefault(field, [_array(model, field).astype(float) for _ in range(2)])
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


def _array(model: mujoco.MjModel, field: str) -> np.ndarray:
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
