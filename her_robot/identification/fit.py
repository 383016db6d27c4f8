"""The fit: which parameters make the replayed arm move as the recorded one did, how sure that is, and where it is not.

Nonlinear least squares over positions and velocities of many short segments, each joint and kind weighted by how far
its residuals scatter. A weak prior (`parameters`) keeps what the recording does not tell near its start; a parameter
counts as identified where the recording narrows that prior to a tenth. Every fourth segment takes no part in the fit
and judges it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from her_robot.errors import HerRobotError, RecordingError
from her_robot.identification.parameters import (
    LONGEST_DELAY_S,
    Dynamics,
    Parameter,
    choose_parameters,
    dynamics_at,
)
from her_robot.identification.recording import GOOD_RECORDING, ArmRecording
from her_robot.identification.replay import SEGMENT_S, Replay, Segment, cut
from her_robot.robot.profile import RobotProfile
from her_robot.sim.robot import SimulatedRobotConfig

IDENTIFIED_PART = 0.1
"""A parameter is identified if the standard deviation after the fit is at most this part of the prior's."""

_STILL = 0.005
"""A segment in which no joint moves farther tells nothing [rad]."""
_LEAST_MOTION = 0.02
"""A joint that never moves farther within a segment keeps its start [rad]."""
_FEWEST_SEGMENTS, _MOST_SEGMENTS = 8, 60
_HELD_OUT = 4
_FIRST_SCATTER = 1e-3, 2e-2
"""Assumed of positions [rad] and velocities [rad/s] before the first fit."""
_LEAST_SCATTER = 1e-4, 1e-3
"""No encoder is trusted beyond this [rad], [rad/s]."""
_DELAYS_S = np.arange(0.0, 0.2, 0.025)
_DIFFERENCE = 1e-3
"""Step of the difference quotients, in fit coordinates."""
_LARGE_LOADING = 0.3
"""A parameter with a larger part of a flat direction, which is of length 1, belongs to it."""
_CALM_PART = 0.25
"""Of segments, whose scatter is taken for noise."""
_MOST_NAMES = 3


@dataclass(frozen=True)
class Estimate:
    """What is known of one parameter."""

    name: str
    """One of `parameters.UNITS`."""
    joint: str | None
    """None: of all joints, or of the arm's controller."""
    start: float
    """Before the fit, in the unit of the parameter, as the others."""
    value: float
    low: float
    """Of the 95 % interval."""
    high: float
    identified: bool
    remark: str
    """Why it is not."""

    @property
    def label(self) -> str:
        return self.name if self.joint is None else f"{self.name} of {self.joint}"


@dataclass(frozen=True)
class Errors:
    """Root mean squares of simulated minus measured, by joint."""

    position: np.ndarray
    """(n,) [rad]."""
    velocity: np.ndarray
    """(n,) [rad/s]."""


@dataclass(frozen=True)
class Identification:
    """The outcome."""

    estimates: tuple[Estimate, ...]
    flat_directions: tuple[tuple[str, ...], ...]
    """Labels of parameters that can change together without any effect on this motion."""
    still_joints: dict[str, float]
    """Joints that hardly moved and keep their start, and how far they moved at most within a segment [rad]."""
    dynamics: Dynamics
    held_out_start: Errors
    """Of held-out segments, with the parameters from before the fit."""
    held_out: Errors
    """With the fitted ones."""
    noise: Errors
    """Of the measurement alone, estimated from how samples differ from their neighbours where the arm moves calmly."""
    segments: int
    held_out_segments: int
    shared: bool
    """One value for all joints."""
    held_out_times: np.ndarray
    """Of held-out joint states, (m,) [s]; not increasing where the recording has several parts."""
    held_out_measured: np.ndarray
    """Positions (m, n) [rad]."""
    held_out_simulated: np.ndarray
    """Positions (m, n) [rad]."""


def identify(
    parts: Sequence[ArmRecording],
    config: SimulatedRobotConfig,
    profile: RobotProfile,
    shared: bool = False,
    fixed: Collection[str] = (),
    on_progress: Callable[[str], None] = lambda _: None,
) -> Identification:
    """Fit a simulated robot to a recording.

    Args:
        parts: of the recording.
        config: of the simulated robot to start from.
        profile: of the recorded robot.
        shared: one value of each parameter for all joints, rather than one for each.
        fixed: names of parameters that keep their start.
        on_progress: called with what is being done.

    Raises:
        RecordingError: too little motion; the message says what a good recording has.
        HerRobotError: the simulated robot cannot be simulated as it is.
    """
    segments = _thinned(_moving_segments(parts))
    moved = np.max([np.ptp(s.recording.positions[s.compared], axis=0) for s in segments], axis=0)
    still = {name: float(m) for name, m in zip(profile.joint_names, moved, strict=True) if m < _LEAST_MOTION}
    moving = np.flatnonzero(moved >= _LEAST_MOTION)
    if not moving.size:
        raise RecordingError(f"no joint moves by more than {moved.max():.3f} rad within 1 s. {GOOD_RECORDING}")
    start = Dynamics.of(config, profile)
    parameters = choose_parameters(start, [int(joint) for joint in moving], shared, fixed)
    fitted = [segment for i, segment in enumerate(segments) if i % _HELD_OUT != _HELD_OUT - 1]
    held_out = segments[_HELD_OUT - 1 :: _HELD_OUT]
    replay, judge = Replay(config, profile, fitted), Replay(config, profile, held_out)
    try:
        z, covariance, information = _Fit(replay, start, parameters, on_progress).run()
        dynamics = dynamics_at(start, parameters, z)
        flat = _flat_directions(information)
        return Identification(
            estimates=_estimates(parameters, z, covariance, flat, profile),
            flat_directions=tuple(
                tuple(_label(parameters[i], profile) for i in direction.members)
                for direction in flat
                if len(direction.members) > 1
            ),
            still_joints=still,
            dynamics=dynamics,
            held_out_start=_errors(judge, start),
            held_out=_errors(judge, dynamics),
            noise=_noise(segments),
            segments=len(fitted),
            held_out_segments=len(held_out),
            shared=shared,
            held_out_times=np.concatenate([s.recording.times[s.compared] for s in held_out]),
            held_out_measured=judge.measured_positions,
            held_out_simulated=judge.simulate(dynamics)[0],
        )
    finally:
        replay.close()
        judge.close()


class _Fit:
    """Least squares in fit coordinates."""

    def __init__(
        self,
        replay: Replay,
        start: Dynamics,
        parameters: Sequence[Parameter],
        on_progress: Callable[[str], None],
    ) -> None:
        self._replay, self._start, self._parameters = replay, start, parameters
        self._on_progress = on_progress
        joints = replay.measured_positions.shape[1]
        self._scatter = np.repeat(_FIRST_SCATTER, joints)

    def run(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit coordinates (p,), their covariance (p, p), and the information that the recording gives (p, p)."""
        z = self._nearest_delay()
        # The first fit is for the weights of the second.
        for name, evaluations in (("first", 8), ("weighted", 40)):
            z = self._solve(z, name, evaluations)
            self._scatter = self._scatter_at(z)
        self._on_progress("judging")
        return z, *self._certainty(z)

    def _nearest_delay(self) -> np.ndarray:
        """The start, with the best of some delays: far from the right one, a fit would match the wrong swings."""
        z = np.zeros(len(self._parameters))
        if not np.isfinite(self._residuals(z)).all():
            raise HerRobotError(
                "the simulated robot to start from has servos that swing up by themselves: damping over armature is "
                f"above {2.0 / self._replay.timestep:.0f} per second"
            )
        delays = [i for i, parameter in enumerate(self._parameters) if parameter.name == "command_delay"]
        if not delays:
            return z
        parameter = self._parameters[delays[0]]
        candidates = np.tile(z, (_DELAYS_S.size, 1))
        candidates[:, delays[0]] = (_DELAYS_S - parameter.start) / parameter.spread
        self._on_progress("looking for the delay")
        return min(candidates, key=lambda candidate: float(np.sum(self._residuals(candidate) ** 2)))

    def _solve(self, z: np.ndarray, name: str, evaluations: int) -> np.ndarray:
        low, high = np.array([parameter.bounds() for parameter in self._parameters]).T

        def residuals(z: np.ndarray) -> np.ndarray:
            found = self._residuals(z)
            self._on_progress(f"{name} fit: residuals {np.sqrt(np.mean(found**2)):.2f} of the scatter assumed")
            # The prior counts as one more measurement of each parameter: 0, give or take 1.
            return np.append(found, z)

        def jacobian(z: np.ndarray) -> np.ndarray:
            return np.vstack([self._jacobian(z), np.eye(z.size)])

        limits = {"bounds": (low, high), "max_nfev": evaluations}
        return least_squares(residuals, z, jacobian, xtol=1e-4, ftol=1e-5, **limits).x  # type: ignore[arg-type]

    def _residuals(self, z: np.ndarray) -> np.ndarray:
        """(2 m n,), in units of the scatter."""
        return (self._differences(z) / self._scatter).ravel()

    def _differences(self, z: np.ndarray) -> np.ndarray:
        """Simulated minus measured, positions beside velocities, (m, 2 n)."""
        positions, velocities = self._replay.simulate(dynamics_at(self._start, self._parameters, z))
        return np.hstack([positions - self._replay.measured_positions, velocities - self._replay.measured_velocities])

    def _jacobian(self, z: np.ndarray) -> np.ndarray:
        """(2 m n, p)."""
        here = self._residuals(z)
        return np.stack([(self._residuals(z + step) - here) / _DIFFERENCE for step in _DIFFERENCE * np.eye(z.size)], 1)

    def _scatter_at(self, z: np.ndarray) -> np.ndarray:
        joints = self._scatter.size // 2
        return np.maximum(np.sqrt(np.mean(self._differences(z) ** 2, axis=0)), np.repeat(_LEAST_SCATTER, joints))

    def _certainty(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Covariance and information.

        Residuals of a model that is not quite right go together within a segment, and so tell less than their number:
        the sandwich over segments accounts for that. Few segments make it too small; the plain covariance is a floor.
        """
        residuals, jacobian = self._residuals(z), self._jacobian(z)
        information = jacobian.T @ jacobian
        plain = np.linalg.inv(information + np.eye(z.size))
        ends = np.cumsum(self._replay.samples_per_segment)[:-1] * self._scatter.size
        scores = np.array([j.T @ r for j, r in zip(np.split(jacobian, ends), np.split(residuals, ends), strict=True)])
        sandwich = plain @ (scores.T @ scores + np.eye(z.size)) @ plain
        widening = np.sqrt(np.maximum(np.diag(sandwich) / np.diag(plain), 1.0))
        return widening[:, None] * plain * widening, information


def _moving_segments(parts: Sequence[ArmRecording]) -> list[Segment]:
    segments = [segment for part in parts for segment in cut(part, LONGEST_DELAY_S)]
    moving = [s for s in segments if np.ptp(s.recording.positions[s.compared], axis=0).max() > _STILL]
    if len(moving) < _FEWEST_SEGMENTS:
        raise RecordingError(
            f"the arm moves in {len(moving)} of {len(segments)} pieces of {SEGMENT_S:g} s that follow commands; at "
            f"least {_FEWEST_SEGMENTS} are needed. {GOOD_RECORDING}"
        )
    return moving


def _thinned(segments: list[Segment]) -> list[Segment]:
    """At most `_MOST_SEGMENTS`, spread evenly: more tell little more."""
    if len(segments) <= _MOST_SEGMENTS:
        return segments
    return [segments[i] for i in np.linspace(0, len(segments) - 1, _MOST_SEGMENTS).round().astype(int)]


@dataclass(frozen=True)
class _FlatDirection:
    """A direction of fit coordinates about which the recording says little."""

    deviations: np.ndarray
    """What it contributes to the standard deviation of each parameter, (p,)."""
    members: tuple[int, ...]
    """Parameters that make it up, by index."""


def _flat_directions(information: np.ndarray) -> list[_FlatDirection]:
    values, vectors = np.linalg.eigh(information)
    deviations = 1.0 / np.sqrt(1.0 + np.maximum(values, 0.0))
    return [
        _FlatDirection(deviation * np.abs(vector), tuple(np.flatnonzero(np.abs(vector) > _LARGE_LOADING).tolist()))
        for deviation, vector in zip(deviations, vectors.T, strict=True)
        if deviation > IDENTIFIED_PART
    ]


def _estimates(
    parameters: Sequence[Parameter],
    z: np.ndarray,
    covariance: np.ndarray,
    flat: Sequence[_FlatDirection],
    profile: RobotProfile,
) -> tuple[Estimate, ...]:
    deviations = np.sqrt(np.diag(covariance))
    found = []
    for i, parameter in enumerate(parameters):
        low, high = np.clip(z[i] + 1.96 * deviations[i] * np.array([-1.0, 1.0]), *parameter.bounds())
        found.append(
            Estimate(
                name=parameter.name,
                joint=profile.joint_names[parameter.joints[0]] if len(parameter.joints) == 1 else None,
                start=parameter.start,
                value=parameter.value(z[i]),
                low=parameter.value(low),
                high=parameter.value(high),
                identified=bool(deviations[i] <= IDENTIFIED_PART),
                remark="" if deviations[i] <= IDENTIFIED_PART else _why_not(i, parameters, flat, profile),
            )
        )
    return tuple(found)


def _why_not(index: int, parameters: Sequence[Parameter], flat: Sequence[_FlatDirection], profile: RobotProfile) -> str:
    flattest = max(flat, key=lambda direction: direction.deviations[index], default=None)
    if flattest is None or flattest.deviations[index] < IDENTIFIED_PART / 2:
        return "the fit is too loose to tell"
    names = [_label(parameters[i], profile) for i in flattest.members if i != index]
    if not names:
        return "this motion hardly depends on it"
    others = f" and {len(names) - _MOST_NAMES} others" if len(names) > _MOST_NAMES else ""
    return f"known only together with {', '.join(names[:_MOST_NAMES])}{others}"


def _label(parameter: Parameter, profile: RobotProfile) -> str:
    if len(parameter.joints) != 1:
        return parameter.name
    return f"{parameter.name} of {profile.joint_names[parameter.joints[0]]}"


def _errors(replay: Replay, dynamics: Dynamics) -> Errors:
    positions, velocities = replay.simulate(dynamics)
    return Errors(
        np.sqrt(np.mean((positions - replay.measured_positions) ** 2, axis=0)),
        np.sqrt(np.mean((velocities - replay.measured_velocities) ** 2, axis=0)),
    )


def _noise(segments: Sequence[Segment]) -> Errors:
    """From third differences, in which a calm motion all but vanishes: of noise s, they have 20 s^2 of variance."""

    def scatter(kind: str) -> np.ndarray:
        differences = [np.diff(getattr(s.recording, kind)[s.compared], 3, axis=0) for s in segments]
        deviations = [np.median(np.abs(d), axis=0) / 0.6745 / np.sqrt(20.0) for d in differences]
        return np.quantile(deviations, _CALM_PART, axis=0)

    return Errors(scatter("positions"), scatter("velocities"))
