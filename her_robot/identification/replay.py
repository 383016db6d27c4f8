"""The recorded commands, replayed by the simulated arm in many short segments that begin at measured states.

Segments are independent of each other, so MuJoCo rolls them out in threads. What is measured at a segment's beginning
has noise; its effect dies away in the first moments, which are not compared.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from her_robot.contract import contract_of
from her_robot.identification.parameters import Dynamics
from her_robot.identification.recording import ArmRecording
from her_robot.robot.calibration import load_markers
from her_robot.robot.profile import RobotProfile
from her_robot.sim.robot import SimulatedRobotConfig
from her_robot.sim.scene import compile_scene
from her_robot.sim.trajectory import TrajectoryFollower

SEGMENT_S = 1.0
"""Length of a segment."""
SETTLING_S = 0.15
"""Its beginning, which is not compared: three of the shipped servos' time constants."""
_TASK = "fetch_reach"
"""The scene with the least in it; nothing is touched."""
_GRID_S = 0.001
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Reference:
    """What the arm was told, were there no delay; on a fine grid of times."""

    times: np.ndarray
    """(k,) [s]."""
    positions: np.ndarray
    """(k, n) [rad]."""
    velocities: np.ndarray
    """(k, n) [rad/s]."""
    known_from: float
    """From here on it does not depend on how the arm was moving when the recording began [s]."""

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities (..., n) at times (...)."""
        joints = range(self.positions.shape[1])
        return (
            np.stack([np.interp(times, self.times, self.positions[:, j]) for j in joints], axis=-1),
            np.stack([np.interp(times, self.times, self.velocities[:, j]) for j in joints], axis=-1),
        )


@dataclass(frozen=True)
class Segment:
    """A piece of a recording."""

    recording: ArmRecording
    reference: Reference
    first: int
    """Index of the joint state that it begins with."""
    compared: np.ndarray
    """Indices of the joint states that are compared, (m,)."""

    @property
    def begin(self) -> float:
        """[s]."""
        return float(self.recording.times[self.first])


def reference_of(recording: ArmRecording) -> Reference | None:
    """What the arm's controller makes of its commands; None where there are none to follow."""
    follower = TrajectoryFollower(recording.positions[0])
    commands = [command for command in recording.commands if command.times[-1] > command.received]
    if not commands:
        return None
    first = commands[0]
    times = np.arange(recording.times[0], recording.times[-1] + _GRID_S, _GRID_S)
    references, pending = [], list(reversed(commands))
    for time in times:
        while pending and pending[-1].received <= time + _ROUNDING:
            command = pending.pop()
            follower.follow(command.received, command.times, command.positions, command.velocities)
        references.append(follower.reference(time))
    positions, velocities = (np.array(values) for values in zip(*references, strict=True))
    known_from = float(first.times[first.times > first.received][0])
    return Reference(times, positions, velocities, known_from)


def cut(recording: ArmRecording, longest_delay: float) -> list[Segment]:
    """Segments of `SEGMENT_S` whose compared parts follow each other without gaps.

    Args:
        recording: to be cut.
        longest_delay: of commands [s]; before it is over, nothing is known of what the arm follows.
    """
    reference = reference_of(recording)
    if reference is None:
        return []
    segments, times = [], recording.times
    known = np.searchsorted(times, reference.known_from + longest_delay)
    begin = times[known] if known < times.size else np.inf
    while begin + SEGMENT_S <= times[-1] + _ROUNDING:
        first = int(np.searchsorted(times, begin + _ROUNDING)) - 1
        end = times[first] + SEGMENT_S + _ROUNDING
        compared = np.flatnonzero((times > begin + SETTLING_S + _ROUNDING) & (times <= end))
        segments.append(Segment(recording, reference, first, compared))
        begin = times[compared[-1]] - SETTLING_S
    return segments


class Replay:
    """Simulates segments with any parameters of the arm."""

    def __init__(self, config: SimulatedRobotConfig, profile: RobotProfile, segments: Sequence[Segment]) -> None:
        """
        Args:
            config: of the simulated robot; its model serves, with parameters of each replay's own.
            profile: of the recorded robot, in the same order of joints as the recording.
            segments: what to replay.
        """
        contract, markers = contract_of(_TASK), load_markers(config.calibration, _TASK)
        self._model = compile_scene(config.scene, contract, profile.for_task(_TASK), markers, 64, 64)
        self._model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
        joints = [self._model.joint(profile.model.prefix + name) for name in profile.joint_names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dofs = np.array([joint.dofadr[0] for joint in joints])
        self._actuators = np.array([self._model.actuator(joint.name).id for joint in joints])
        threads = min(os.cpu_count() or 1, len(segments))
        self._rollout = Rollout(nthread=threads)
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]
        self._segments = segments
        self.samples_per_segment = np.array([s.compared.size for s in segments])
        self._set_up()
        self.measured_positions, self.measured_velocities = (
            np.concatenate([getattr(s.recording, kind)[s.compared] for s in segments])
            for kind in ("positions", "velocities")
        )
        """At all compared joint states, (m, n) [rad] and [rad/s]."""

    @property
    def timestep(self) -> float:
        """One step of physics [s]."""
        return self._model.opt.timestep

    def simulate(self, dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
        """Positions [rad] and velocities [rad/s] at all compared joint states, (m, n).

        Servos that physics in steps cannot represent, as they would swing up from one to the next, give infinities.
        """
        rate = (dynamics.damping + dynamics.viscous_friction) / dynamics.armature
        if np.any(rate * self.timestep > 2.0):
            infinite = np.full_like(self.measured_positions, np.inf)
            return infinite, infinite
        self._set(dynamics)
        after = np.empty((*self._times.shape, self._initial.shape[1]))
        self._rollout.rollout(self._model, self._data, self._initial, self._controls(dynamics), state=after)
        states = np.concatenate([self._initial[:, None], after], axis=1)
        rows, steps, part = self._samples
        found = (1 - part) * states[rows, steps] + part * states[rows, np.minimum(steps + 1, states.shape[1] - 1)]
        # Of a state, time comes first, then positions, then velocities.
        return found[:, 1 + self._qpos], found[:, 1 + self._model.nq + self._dofs]

    def close(self) -> None:
        """End the threads."""
        self._rollout.close()

    def _set_up(self) -> None:
        model, segments = self._model, self._segments
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self._initial = np.zeros((len(segments), size))
        self._initial[:, 1 : 1 + model.nq] = model.qpos0
        for row, s in enumerate(segments):
            self._initial[row, 1 + self._qpos] = s.recording.positions[s.first]
            self._initial[row, 1 + model.nq + self._dofs] = s.recording.velocities[s.first]
        steps = np.arange(round(SEGMENT_S / self.timestep))
        self._times = np.array([s.begin for s in segments])[:, None] + steps * self.timestep
        elapsed = np.concatenate([s.recording.times[s.compared] - s.begin for s in segments]) / self.timestep
        whole = np.floor(elapsed + 1e-6).astype(int)
        rows = np.repeat(np.arange(len(segments)), self.samples_per_segment)
        self._samples = rows, whole, np.maximum(elapsed - whole, 0.0)[:, None]

    def _controls(self, dynamics: Dynamics) -> np.ndarray:
        """What the servos are told, (segments, steps, actuators); as the simulated robot does it."""
        controls = np.zeros((*self._times.shape, self._model.nu))
        for row, (segment, times) in enumerate(zip(self._segments, self._times, strict=True)):
            position, velocity = segment.reference.at(times - dynamics.command_delay)
            controls[row][:, self._actuators] = position + dynamics.damping / dynamics.stiffness * velocity
        return controls

    def _set(self, dynamics: Dynamics) -> None:
        model = self._model
        model.dof_armature[self._dofs] = dynamics.armature
        model.dof_frictionloss[self._dofs] = dynamics.friction_loss
        model.dof_damping[self._dofs] = dynamics.viscous_friction
        model.actuator_gainprm[self._actuators, 0] = dynamics.stiffness
        model.actuator_biasprm[self._actuators, 1] = -dynamics.stiffness
        model.actuator_biasprm[self._actuators, 2] = -dynamics.damping
        # How soft the constraint of dry friction is derives from inertias.
        mujoco.mj_setConst(model, self._data[0])
