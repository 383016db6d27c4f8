"""A preset as a table: each parameter with its nominal value and unit, range, distribution, operation and when."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from her_robot.contract.hand import FINGERTIPS
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.parameters import Operation, When
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.domain_rand.variation import Bound, bind

_DEVIATIONS = 2.0
"""A normal draw without limits has ends that are so many standard deviations away."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    section: str
    """Of the preset, such as physics."""
    name: str
    """Of the parameter within the section, such as object_mass."""
    nominal: tuple[float, float]
    """Value without randomisation: lowest and highest, as elements may differ."""
    unit: str
    """Of the nominal value, and of what is added or set; a factor has none."""
    low: float | None
    """Smallest value drawn; None: unbounded."""
    high: float | None
    """Largest value drawn; None: unbounded."""
    distribution: str
    operation: Operation
    when: When
    elements: tuple[str, ...] = ()
    """What of the model it concerns."""
    components: tuple[str, ...] = ()
    """Names of the numbers that are drawn at a time."""
    deviation: float | None = None
    """Standard deviation of a normal draw without limits."""

    @property
    def is_drawn_once(self) -> bool:
        """Whether an episode has one draw of it, and episodes have several. Looks aside: they are a camera's."""
        is_constant = self.low is not None and self.low == self.high
        return self.section != "rendering" and self.when in ("start", "episode") and not is_constant

    @property
    def neutral(self) -> float:
        """The draw that changes nothing: the middle of what is nominal, where that differs between elements."""
        return {"scale": 1.0, "add": 0.0, "set": float(np.mean(self.nominal))}[self.operation]

    @property
    def ends(self) -> tuple[float, float]:
        """Limits of what is drawn; without limits, what most draws lie within."""
        if self.low is None or self.high is None:
            reach = _DEVIATIONS * (self.deviation or 0.0)
            return -reach, reach
        return self.low, self.high

    @property
    def neutral_position(self) -> float:
        """Where that lies from 0, the lower end, to 1, the upper, in the logarithm where it is drawn so; of what lies
        outside, the nearest end."""
        (low, high), value = self.ends, self.neutral
        if not low < value < high:
            return float(value >= high)
        if self.distribution == "log_uniform":
            low, value, high = np.log([low, value, high])
        return float((value - low) / (high - low))


@dataclass(frozen=True)
class _Field:
    """What a field of a section is, beside its range."""

    unit: str
    nominal: float
    operation: Operation = "set"
    when: When = "episode"
    axes: tuple[str, ...] = ()


_XYZ, _FINGERS = ("x", "y", "z"), ("right", "left")
_TIPS = tuple(f"{tip}.{axis}" for tip in FINGERTIPS for axis in _XYZ)

FIELDS: dict[str, dict[str, _Field]] = {
    "actuation": {
        "delay_steps": _Field("periods", 0),
        "scale": _Field("1", 1, "scale"),
        "axis_scale": _Field("1", 1, "scale", axes=_XYZ),
        "smoothing": _Field("1", 0),
        "slew_limit": _Field("/period", 2),
        "noise": _Field("1", 0, "add", "step", _XYZ),
        "bias": _Field("1", 0, "add", axes=_XYZ),
        "loss": _Field("1", 0),
        "finger_speed": _Field("m/s", 5),
        "grip_lead": _Field("m", 0.1),
        "finger_lag": _Field("s", 0),
    },
    "sensing": {
        "camera_rate": _Field("Hz", 25, when="start"),
        "camera_latency": _Field("s", 0),
        "position_noise": _Field("m", 0),
        "position_bias": _Field("m", 0, "add", axes=_XYZ),
        "position_drift": _Field("m", 0, "add", "step", _XYZ),
        "yaw_noise": _Field("rad", 0),
        "rotation_noise": _Field("rad", 0),
        "dropout": _Field("1", 0),
        "occlusion_rate": _Field("1/s", 0),
        "occlusion_duration": _Field("s", 0, when="interval"),
        "gripper_radius": _Field("m", 0),
        "camera_range": _Field("m", 100),
        "grip_noise": _Field("m", 0, "add", "step", _XYZ),
        "grip_bias": _Field("m", 0, "add", axes=_XYZ),
        "grip_drift": _Field("m", 0, "add", "step", _XYZ),
        "grip_latency": _Field("s", 0),
        "grip_velocity_noise": _Field("m/s", 0, "add", "step", _XYZ),
        "finger_noise": _Field("m", 0, "add", "step", _FINGERS),
        "finger_velocity_noise": _Field("m/s", 0, "add", "step", _FINGERS),
        "joint_noise": _Field("rad", 0, "add", "step"),
        "joint_velocity_noise": _Field("rad/s", 0, "add", "step"),
        "rotation_bias": _Field("rad", 0, "add", axes=_XYZ),
        "fingertip_noise": _Field("m", 0, "add", "step", _TIPS),
        "fingertip_bias": _Field("m", 0, "add", axes=_TIPS),
    },
    "timing": {"lateness_rate": _Field("1/s", np.inf)},
    "pushes": {
        "rate": _Field("1/s", 0),
        "force": _Field("N", 0, when="interval"),
        "duration": _Field("s", 0, when="interval"),
    },
    "rendering": {
        "camera_position": _Field("m", 0, "add", axes=_XYZ),
        "camera_rotation": _Field("deg", 0, "add"),
        "field_of_view": _Field("deg", 0, "add"),
        "light_position": _Field("m", 0, "add", axes=_XYZ),
        "light_intensity": _Field("1", 1, "scale"),
        "colors": _Field("1", 0),
        "textures": _Field("1", 0),
        "distractors": _Field("1", 0),
        "distractor_size": _Field("m", 0, axes=_XYZ),
    },
}
"""Of each section, what is drawn. What is left out is no draw: it says how others act."""
_OBJECT_FIELDS = ("position_", "rotation_", "yaw_", "occlusion_", "camera_", "dropout", "gripper_radius")


def describe(preset: RandomizationPreset, model: mujoco.MjModel, has_object: bool) -> list[Line]:
    """What a preset randomises in a task.

    Args:
        preset: what is described.
        model: of the task, as compiled.
        has_object: whether the task has one; without, nothing is said of it.

    Raises:
        ConfigurationError: an element that the model lacks, or a value that would be impossible in it.
    """
    lines = [_physics_line(bound) for bound in bind(model, preset.physics)]
    if has_object and preset.object_yaw.low != preset.object_yaw.high:
        lines.append(_line("placement", "object_yaw", _Field("rad", 0, "add"), preset.object_yaw))
    if has_object and preset.finger_gap.high:
        lines.append(_line("placement", "finger_gap", _Field("m", 0), preset.finger_gap))
    for section, fields in FIELDS.items():
        config = getattr(preset, section)
        for name, value in _active(section, config, fields, has_object):
            # A hand's object is seen in every control period.
            if name == "camera_rate" and (preset.nominal_fraction == 1.0 or not model.nmocap):
                continue
            field = fields[name]
            if section == "actuation" and field.axes:
                field = dataclasses.replace(field, axes=_motion(model))
            lines.append(_line(section, name, field, value))
    return lines


def _motion(model: mujoco.MjModel) -> tuple[str, ...]:
    """What an action moves: a gripper that is dragged along each axis, or joints with an actuator each."""
    return _XYZ if model.nmocap else tuple(model.actuator(index).name for index in range(model.nu))


def _active(section: str, config: Any, fields: dict[str, _Field], has_object: bool) -> Iterator[tuple[str, Any]]:
    """Fields that differ from what is nominal, as far as the task has what they are about."""
    if section == "pushes" and not (has_object and config.rate.high):
        return
    for field in dataclasses.fields(config):
        if field.name not in fields:
            continue
        about_object = section == "sensing" and field.name.startswith(_OBJECT_FIELDS)
        # A hand with an object is seen by its joints alone.
        about_fingertips = section == "sensing" and field.name.startswith("fingertip_")
        value = getattr(config, field.name)
        differs = value != field.default or section == "pushes" or field.name == "camera_rate"
        if differs and (has_object or not about_object) and not (has_object and about_fingertips):
            yield field.name, value


def _physics_line(bound: Bound) -> Line:
    variation = bound.variation
    return Line(
        "physics",
        bound.name,
        (float(bound.nominal.min()), float(bound.nominal.max())),
        bound.parameter.unit,
        variation.low,
        variation.high,
        _distribution(variation),
        bound.operation,
        variation.when,
        bound.elements,
        _components(bound),
    )


def _components(bound: Bound) -> tuple[str, ...]:
    """One for each element that has a draw of its own, and for each axis."""
    elements, axes = bound.shape
    own = [f"{bound.name}[{element}]" for element in bound.elements] if bound.variation.independent else []
    names = own if len(own) == elements else [bound.name]
    return tuple(f"{name}.{axis}" for name in names for axis in _XYZ) if axes > 1 else tuple(names)


def _line(section: str, name: str, field: _Field, value: Any) -> Line:
    deviation = None
    if isinstance(value, Range):
        low, high, distribution = value.low, value.high, _distribution(value)
    elif isinstance(value, tuple):
        low, high, distribution = float(value[0]), float(value[1]), "uniform, whole"
    elif field.operation == "set":
        low, high, distribution = float(value), float(value), "constant"
    else:
        low, high, distribution, deviation = None, None, f"normal, σ {value:g}", float(value)
    return Line(
        section,
        name,
        (field.nominal, field.nominal),
        field.unit,
        low,
        high,
        distribution,
        field.operation,
        field.when,
        components=tuple(f"{name}.{axis}" for axis in field.axes) or (name,),
        deviation=deviation,
    )


def _distribution(value: Range) -> str:
    if value.low == value.high:
        return "constant"
    if value.distribution == "normal":
        return f"normal, mean {value.center:g}, σ {value.deviation:g}"
    if value.distribution == "choice":
        return f"choice of {', '.join(f'{option:g}' for option in value.values)}"
    return value.distribution
