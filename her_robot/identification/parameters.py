"""What is identified: the parameters of the arm's servos and the delay of commands, and the coordinates of a fit.

In fit coordinates z every parameter starts at 0, and a step of 1 is as far from there as one would expect it to be
without any recording (the prior's standard deviation). Parameters above 0 are logarithmic: value = start exp(s z).
Those that may be 0 (frictions, delay) are linear: value = start + s z.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.robot.profile import RobotProfile
from her_robot.sim.robot import SimulatedRobotConfig
from her_robot.sim.scene import JointControlConfig

UNITS = {
    "stiffness": "Nm/rad",
    "damping": "Nms/rad",
    "armature": "kg m^2",
    "friction_loss": "Nm",
    "viscous_friction": "Nms/rad",
    "command_delay": "s",
}
"""Of what can be identified, as `JointControlConfig` and `SimulatedRobotConfig` name it."""

_LOGARITHMIC = ("stiffness", "damping", "armature")
_PRIOR_LOG = np.log(3.0)
"""95 % of robots are within a factor of 9 of the start."""
_PRIOR_DEFLECTION = 5e-4
"""Dry friction leaves a servo of the start's stiffness this far from its reference [rad]."""
_PRIOR_VISCOUS = 0.2
"""Viscous friction over the start's damping."""
_PRIOR_DELAY = 0.02
LONGEST_DELAY_S = 0.3
"""Of commands."""


@dataclass(frozen=True)
class Dynamics:
    """One value a joint, in the profile's order; all but the delay (n,), units of `UNITS`."""

    stiffness: np.ndarray
    damping: np.ndarray
    armature: np.ndarray
    friction_loss: np.ndarray
    viscous_friction: np.ndarray
    command_delay: float

    @staticmethod
    def of(config: SimulatedRobotConfig, profile: RobotProfile) -> "Dynamics":
        """Those of a simulated robot."""
        servos = [config.scene.servo(name) for name in profile.joint_names]
        values = {f.name: np.array([getattr(s, f.name) for s in servos]) for f in fields(JointControlConfig)}
        return Dynamics(**values, command_delay=config.command_delay)

    def applied_to(self, config: SimulatedRobotConfig, profile: RobotProfile, shared: bool) -> SimulatedRobotConfig:
        """`config` with these values, to five digits.

        Args:
            config: of the simulated robot that they were identified from.
            profile: names of the joints.
            shared: all joints have the same values, and are written once.
        """
        values = asdict(self)
        delay = _rounded(values.pop("command_delay"))
        servos = [
            JointControlConfig(**{name: _rounded(of_joints[joint]) for name, of_joints in values.items()})
            for joint in range(len(profile.joints))
        ]
        if shared:
            scene = replace(config.scene, joint_control=servos[0], servos={})
        else:
            scene = replace(config.scene, servos=dict(zip(profile.joint_names, servos, strict=True)))
        return replace(config, scene=scene, command_delay=delay)


@dataclass(frozen=True)
class Parameter:
    """One number to be fitted."""

    name: str
    """One of `UNITS`."""
    joints: tuple[int, ...]
    """Joints that it belongs to; none for the delay."""
    start: float
    """Value before the fit."""
    spread: float
    """Standard deviation of the prior: of the logarithm, or in the parameter's unit."""

    @property
    def is_logarithmic(self) -> bool:
        return self.name in _LOGARITHMIC

    def value(self, z: float) -> float:
        """In the parameter's unit, at a fit coordinate."""
        return float(self.start * np.exp(self.spread * z) if self.is_logarithmic else self.start + self.spread * z)

    def bounds(self) -> tuple[float, float]:
        """Lowest and highest fit coordinate."""
        if self.is_logarithmic:
            return -np.log(1000.0) / self.spread, np.log(1000.0) / self.spread
        highest = LONGEST_DELAY_S if self.name == "command_delay" else np.inf
        return -self.start / self.spread, (highest - self.start) / self.spread


def choose_parameters(
    start: Dynamics, moving: Sequence[int], shared: bool, fixed: Collection[str] = ()
) -> tuple[Parameter, ...]:
    """The parameters to fit.

    Args:
        start: values before the fit.
        moving: joints whose motion tells something.
        shared: one value for all joints, rather than one for each.
        fixed: names of those that keep their start.

    Raises:
        UnknownNameError: a name in `fixed` that is none of `UNITS`.
        ConfigurationError: all are fixed.
    """
    for name in fixed:
        if name not in UNITS:
            raise UnknownNameError("parameter", name, UNITS, where="--fix")
    groups = [tuple(range(start.stiffness.size))] if shared else [(joint,) for joint in moving]
    chosen = [
        Parameter(name, group, *_start_and_spread(start, name, group[0]))
        for group in groups
        for name in UNITS
        if name != "command_delay" and name not in fixed
    ]
    if "command_delay" not in fixed:
        chosen.append(Parameter("command_delay", (), *_start_and_spread(start, "command_delay", 0)))
    if not chosen:
        raise ConfigurationError("--fix leaves no parameter to identify")
    return tuple(chosen)


def dynamics_at(start: Dynamics, parameters: Sequence[Parameter], z: np.ndarray) -> Dynamics:
    """`start` with the parameters at fit coordinates z (p,)."""
    values = asdict(start)
    for parameter, coordinate in zip(parameters, z, strict=True):
        value = parameter.value(coordinate)
        if parameter.joints:
            values[parameter.name][list(parameter.joints)] = value
        else:
            values[parameter.name] = value
    return Dynamics(**values)


def _start_and_spread(start: Dynamics, name: str, joint: int) -> tuple[float, float]:
    if name == "command_delay":
        return start.command_delay, _PRIOR_DELAY
    spreads = {
        "friction_loss": _PRIOR_DEFLECTION * start.stiffness[joint],
        "viscous_friction": _PRIOR_VISCOUS * start.damping[joint],
    }
    return float(getattr(start, name)[joint]), float(spreads.get(name, _PRIOR_LOG))


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
