"""Randomised models: draws from a preset's `physics`, written into the model of each environment.

What is drawn is always applied to the nominal model, in the order of the preset, so it never accumulates over episodes.
Constants that MuJoCo derives from masses, sizes, centres of mass, armatures and poses are recomputed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.variation import Bound, Variation, bind, field_of

_ROUNDING_S = 1e-9


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
        self._fields = {field: field_of(nominal, field).copy() for field in _fields_of(self.bound)}
        self._derived = any(bound.parameter.derived for bound in self.bound)
        self._scratch = mujoco.MjData(nominal) if self._derived else None
        self._dynamic = [bound for bound in self.bound if bound.variation.when in ("interval", "step")]
        self._redone = _entangled(self.bound, self._dynamic)
        self._redone_fields = _fields_of(self._redone)
        self._values: list[dict[str, np.ndarray]] = [{} for _ in models]
        self._randomised = np.zeros(len(models), bool)
        self._steps = np.zeros(len(models))
        self._due = {bound.name: np.full(len(models), np.inf) for bound in self._dynamic}
        """When the next draw is due, within the episode [s]."""
        self._start = {
            bound.name: bound.sample(start_rng or rng, len(models))
            for bound in self.bound
            if bound.variation.when == "start"
        }

    def reset(self, row: int, nominal: bool, ranges: Mapping[str, Range] | None = None) -> dict[str, Any]:
        """Begin an episode of one row: draw its model anew, or make it nominal.

        Args:
            row: index.
            nominal: whether it is nominal.
            ranges: what this episode's draws are from, by name; default: the variations themselves.

        Returns:
            What was drawn, by name: a number, or a list with one for each element and axis.
        """
        self._randomised[row] = not nominal
        self._steps[row] = 0
        given, drawn = ranges or {}, [] if nominal else self.bound
        values = self._values[row] = {bound.name: self._draw(bound, row, given.get(bound.name)) for bound in drawn}
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
                now, due = self._steps * self._period, self._due[bound.name]
                rows &= now >= due - _ROUNDING_S
                due[rows] = now[rows] + bound.variation.interval.sample(self._rng, rows.size)[rows]
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
        values = self._values[row]
        return float(sum(bound.rise(values[bound.name]) for bound in self.bound if bound.name in values))

    def _draw(self, bound: Bound, row: int, values: Range | None) -> np.ndarray:
        variation = bound.variation
        if variation.when == "start":
            return self._start[bound.name][row]
        if variation.interval is not None:
            self._due[bound.name][row] = variation.interval.sample(self._rng)
        return bound.sample(self._rng, 1, values)[0]

    def _write(self, row: int, bounds: Iterable[Bound], fields: Iterable[str]) -> None:
        model, values = self._models[row], self._values[row]
        for field in fields:
            field_of(model, field)[:] = self._fields[field]
        for bound in bounds:
            if bound.name in values:
                bound.write(model, values[bound.name])


def _fields_of(bounds: Iterable[Bound]) -> set[str]:
    return {field for bound in bounds for field in bound.fields}


def _entangled(bounds: Sequence[Bound], some: Sequence[Bound]) -> list[Bound]:
    """All that must be written again when `some` are: what shares a field with them, or with what does."""
    found = list(some)
    while True:
        fields = _fields_of(found)
        wider = [bound for bound in bounds if fields & set(bound.fields)]
        if len(wider) == len(found):
            return wider
        found = wider
