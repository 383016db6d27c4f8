"""Between a Shadow Hand's own joints and the contract's: names, order, signs, and the two joints of one tendon.

A finger's middle and distal joint hang on one tendon, so the hand can command no more than their sum, "J0". In the
simulation that policies are trained in, an actuator drives the middle joint and a tendon drags the distal one along:
what is commanded for the middle joint, times a gain, is the sum that the hand is told.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from her_robot.contract.hand import (
    ACTUATED,
    ACTUATOR_RANGES,
    ACTUATOR_TIME,
    COUPLED,
    COUPLED_JOINTS,
    DRAGGED,
    JOINTS,
)
from her_robot.robot.hand_profile import OTHER_HAND, HandProfile
from her_robot.robot.safety import JointLimits

FloatSequence = Sequence[float] | np.ndarray
"""Of a message, or of our own."""
ACTUATORS = tuple(ACTUATOR_RANGES)
"""The actuated joints, in the order of the action."""
_MIDDLE = ACTUATED[COUPLED]
"""Index in `JOINTS` of the middle joint of each pair; that of the distal one is `DRAGGED`."""


class HandJoints:
    """The map of one hand."""

    def __init__(self, profile: HandProfile, joint_offsets: Mapping[str, float] | None = None) -> None:
        """
        Args:
            profile: of the hand.
            joint_offsets: added to what the encoders say, by the hand's name of the joint [rad].
        """
        offsets = joint_offsets or {}
        configs = [profile.joints[name] for name in JOINTS]
        self._profile, self._gain = profile, profile.coupling_gain
        self._names = profile.joint_names
        by_pair = {pair: name for name, pair in profile.coupled.items()}
        self._sums = [by_pair[self._names[m], self._names[d]] for m, d in zip(_MIDDLE, DRAGGED, strict=True)]
        self._sign = np.array([config.sign for config in configs])
        self._offset = np.array([config.offset - offsets.get(config.name, 0.0) for config in configs])
        self._low, self._high = np.array([config.position for config in configs]).T
        self._velocity = np.array([config.velocity for config in configs])
        self._acceleration = np.array([config.acceleration for config in configs])
        everything = [*self._names, *self._sums]
        self._as_sum = np.array([name in profile.command_names for name in self._sums])
        self._commanded = [everything.index(name) for name in profile.command_names]

    def limits(self) -> JointLimits:
        """Of what is commanded, in the order of `ACTUATORS`: those of the hand, within the ranges of the action."""
        low, high = np.array(list(ACTUATOR_RANGES.values())).T
        rates = []
        for limit in (self._velocity, self._acceleration):
            rate = limit[ACTUATED]
            rate[COUPLED] = np.minimum(limit[_MIDDLE], limit[DRAGGED] / (self._gain - 1.0))
            rates.append(rate)
        return JointLimits(np.maximum(low, self._low[ACTUATED]), np.minimum(high, self._high[ACTUATED]), *rates)

    def read(
        self, names: Sequence[str], positions: FloatSequence, velocities: FloatSequence = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a hand reports, as the contract has it: positions (24,) [rad] and velocities (24,) [rad/s].

        Velocities are not a number where the hand does not say. Joints whose names begin otherwise than the hand's,
        such as those of an arm that carries it, are ignored.

        Args:
            names: of the joints, in any order. Two coupled joints may be there as one, their sum.
            positions: [rad].
            velocities: [rad/s]; none, or one for each name.

        Raises:
            ValueError: another hand, joints missing or too many, or a position that is not finite.
        """
        if len(positions) != len(names):
            raise ValueError(f"joint states have {len(positions)} positions for {len(names)} names")
        rates = velocities if len(velocities) == len(names) else [np.nan] * len(names)
        reported = dict(zip(names, zip(positions, rates, strict=True), strict=True))
        self._check_names(reported)
        bad = [name for name in (*self._names, *self._sums) if not np.isfinite(reported.get(name, (0.0,))[0])]
        if bad:
            raise ValueError(f"joint states are not finite: {', '.join(bad)}")
        for index, name in enumerate(self._sums):
            middle, distal = (self._names[joints[index]] for joints in (_MIDDLE, DRAGGED))
            if middle not in reported or distal not in reported:
                reported[middle], reported[distal] = self._shared(index, *reported[name])
        values, rates = np.array([reported[name] for name in self._names], np.float64).T
        return self._sign * (values - self._offset), self._sign * rates

    def actuated(self, positions: np.ndarray) -> np.ndarray:
        """What would be commanded for the hand to be where it is (..., 20) [rad], of joint positions (..., 24)."""
        actuated = positions[..., ACTUATED]
        actuated[..., COUPLED] = self.middle_of(positions[..., _MIDDLE] + positions[..., DRAGGED])
        return actuated

    def to_hand(self, targets: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What to tell the hand's controllers, in the order of the profile's `command_names`.

        Args:
            targets: of the actuators (..., 20) [rad].
            rates: at which the targets move (..., 20) [rad/s].

        Returns:
            Positions (..., n) [rad] and velocities (..., n) [rad/s].
        """
        positions, velocities = (np.zeros((*targets.shape[:-1], len(JOINTS))) for _ in range(2))
        positions[..., ACTUATED], velocities[..., ACTUATED] = targets, rates
        even = (self._gain - 1.0) * targets[..., COUPLED]
        distal_rates = np.where(even < self._high[DRAGGED], (self._gain - 1.0) * rates[..., COUPLED], 0.0)
        positions[..., DRAGGED], velocities[..., DRAGGED] = np.minimum(even, self._high[DRAGGED]), distal_rates
        positions, velocities = self._sign * positions + self._offset, self._sign * velocities
        positions, velocities = (
            np.concatenate([values, values[..., _MIDDLE] + values[..., DRAGGED]], axis=-1)
            for values in (positions, velocities)
        )
        return positions[..., self._commanded], velocities[..., self._commanded]

    def reported(self, positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a hand reports whose joints are at `positions` (24,) [rad], and move at `velocities` (24,) [rad/s]: in
        its own convention, in the order of the profile's `joint_names`."""
        return self._sign * positions + self._offset, self._sign * velocities

    def driven(self, positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a hand's motors are told by commands (n,) in the order of `command_names`: positions (20,) [rad] and
        velocities (20,) [rad/s] in the order of `ACTUATORS`, those of coupled pairs being of the sum of both joints."""
        joints = len(JOINTS)
        found = np.zeros((2, joints + len(self._sums)))
        found[:, self._commanded] = positions, velocities
        found[0] -= [*self._offset, *(self._offset[_MIDDLE] + self._offset[DRAGGED])]
        told, sums = self._sign * found[:, :joints], found[:, joints:]
        driven = told[:, ACTUATED]
        driven[:, COUPLED] = np.where(self._as_sum, sums, told[:, _MIDDLE] + told[:, DRAGGED])
        return driven[0], driven[1]

    def middle_of(self, sums: np.ndarray) -> np.ndarray:
        """The middle joints' part of sums (..., 4) [rad]. Where one of two joints is at the end of its range, the other
        has the rest."""
        return np.minimum(np.maximum(sums / self._gain, sums - self._high[DRAGGED]), self._high[_MIDDLE])

    def _shared(self, index: int, position: float, rate: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Position and rate of the middle and the distal joint, of their sum as the hand reports it."""
        offset = self._offset[[_MIDDLE[index], DRAGGED[index]]]
        sums = np.full(len(_MIDDLE), position - offset.sum())
        middle = float(self.middle_of(sums)[index])
        return (middle + offset[0], rate / self._gain), (sums[index] - middle + offset[1], rate - rate / self._gain)

    def _check_names(self, reported: Mapping[str, object]) -> None:
        prefix = self._profile.prefix
        other = OTHER_HAND.get(prefix, "")
        pairs = {name: self._profile.coupled[name] for name in self._sums}
        alone = {joint for name, pair in pairs.items() if name in reported for joint in pair}
        missing = [name for name in self._names if name not in reported and name not in alone]
        if len(missing) == len(self._names) and any(other and name.startswith(other) for name in reported):
            raise ValueError(f"joint states are of the other hand: {other}* where the profile has {prefix}*")
        if missing:
            raise ValueError(f"joint states lack {', '.join(missing)}")
        known = {*self._names, *self._sums}
        extra = [name for name in reported if name.startswith(prefix) and name not in known]
        if extra:
            raise ValueError(
                f"joint states have {', '.join(extra)}, which the profile {self._profile.name!r} has not: a hand of "
                "another kind?"
            )


class SlowSprings:
    """Where joints of the simulation would be on the way to their targets: its springs are slower than a hand's servos,
    and a policy that has learnt to wait for them swings where nothing waits."""

    def __init__(self, period: float) -> None:
        """
        Args:
            period: between two targets [s].
        """
        self._share = 1.0 - np.exp(-period / ACTUATOR_TIME)
        self._reached = np.zeros(len(ACTUATORS))

    def start(self, positions: np.ndarray) -> None:
        """Begin with the actuated joints where they are measured to be (20,) [rad]."""
        self._reached = positions.copy()

    def advance(self, targets: np.ndarray) -> np.ndarray:
        """How far joints have come towards targets (20,) [rad] in one more period, (20,) [rad]."""
        self._reached = self._reached + self._share * (targets - self._reached)
        return self._reached


class TendonPlay:
    """Where a hand's coupled joints are to be commanded to be where those of the simulation would be.

    There the tendon between a middle and a distal joint has play: the distal joint stays where it is until the middle
    one has taken up the slack. This is that joint, without friction and mass.
    """

    def __init__(self, profile: HandProfile, joints: HandJoints) -> None:
        self._joints = joints
        self._ratio, self._play = profile.coupling_gain - 1.0, profile.coupling_play
        self._high = np.array([profile.joints[name].position for name in COUPLED_JOINTS.values()])[:, 1]
        self._distal = np.zeros(len(COUPLED_JOINTS))

    def start(self, positions: np.ndarray) -> None:
        """Begin with the distal joints where they are measured to be, of joint positions (24,) [rad]."""
        self._distal = positions[DRAGGED].copy()

    def advance(self, targets: np.ndarray) -> np.ndarray:
        """Targets (20,) [rad] by which the hand bends each pair as far as `targets` (20,) [rad] bend it in the
        simulation."""
        middle = targets[COUPLED]
        even = self._ratio * middle
        self._distal = np.clip(np.clip(self._distal, even - self._play, even + self._play), 0.0, self._high)
        adjusted = targets.copy()
        adjusted[COUPLED] = self._joints.middle_of(middle + self._distal)
        return adjusted
