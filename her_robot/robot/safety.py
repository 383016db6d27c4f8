"""The last thing between a policy and the motors: whatever is asked for, what is sent keeps the limits.

Commands are joint positions and velocities for the end of the coming control period, and a braking point after it: an
arm that hears nothing more comes to rest. Where a limit is in the way of a motion, the whole motion is scaled, so that
the tool keeps its direction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class JointLimits:
    """Limits of n joints."""

    position_low: np.ndarray
    """(n,) [rad]; -inf for a continuous joint."""
    position_high: np.ndarray
    """(n,) [rad]; inf for a continuous joint."""
    velocity: np.ndarray
    """(n,) [rad/s]."""
    acceleration: np.ndarray
    """(n,) [rad/s^2]."""


@dataclass(frozen=True)
class JointCommand:
    """A trajectory of two points: where to be after one control period, and where to come to rest."""

    times: np.ndarray
    """From now, (2,) [s]."""
    positions: np.ndarray
    """(2, n) [rad]."""
    velocities: np.ndarray
    """(2, n) [rad/s]; zero at the second point."""
    clamped: bool
    """Whether what was asked for exceeded a limit."""


_TINY = 1e-12
_PARTS = (1.0, 0.75, 0.5, 0.25)
"""Of a motion that may not be made in full, the parts that are tried before braking."""


class SafetyFilter:
    """Keeps a reference for the joints that never leaves their limits."""

    def __init__(self, limits: JointLimits, period: float, together: bool = True) -> None:
        """
        Args:
            limits: of the joints.
            period: control period [s].
            together: whether a joint's limit slows down all of them, so that a tool keeps its direction; otherwise each
                joint goes as fast as it may by itself, as fingers do.
        """
        self._limits = limits
        self._period = period
        self._scaled = _scaled if together else _clipped
        self._positions: np.ndarray | None = None
        self._velocities = np.zeros_like(limits.velocity)
        self._stopped = ""
        self.clamped = 0
        """Commands that exceeded a limit."""
        self.stops = 0
        """Times that a stop was latched."""

    @property
    def positions(self) -> np.ndarray:
        """The reference (n,) [rad]."""
        if self._positions is None:
            raise RuntimeError("the safety filter has no reference yet; call start() with measured positions")
        return self._positions.copy()

    @property
    def started(self) -> bool:
        """Whether there is a reference."""
        return self._positions is not None

    @property
    def moving(self) -> bool:
        """Whether the reference has not come to rest."""
        return bool(np.any(np.abs(self._velocities) > 1e-9))

    @property
    def stop_reason(self) -> str:
        """Why the arm is stopped; empty if it is not."""
        return self._stopped

    def start(self, measured: np.ndarray) -> None:
        """Take measured positions (n,) [rad] as the reference, at rest."""
        self._positions = np.array(measured, dtype=np.float64)
        self._velocities = np.zeros_like(self._positions)

    def stop(self, reason: str) -> None:
        """Latch a stop: nothing but braking is sent until `rearm`."""
        if not self._stopped:
            self.stops += 1
        self._stopped = reason or "stopped"

    def rearm(self) -> None:
        """Release a latched stop. What still moves goes on braking until it is told otherwise."""
        self._stopped = ""

    def move(self, velocities: np.ndarray, may_rest: Callable[[np.ndarray], bool] = lambda _: True) -> JointCommand:
        """Move with these velocities (n,) [rad/s] for one period, as far as the limits allow. Not finite: brake.

        Args:
            velocities: asked for (n,) [rad/s].
            may_rest: whether the arm may come to rest at joint positions (n,) [rad]. Of a motion that would end where
                it may not, only a part is made; where no part is allowed, the arm brakes.
        """
        if self._stopped or not np.isfinite(velocities).all():
            return self.brake()
        limits, period = self._limits, self._period
        allowed = self._scaled(velocities, limits.velocity)
        change = self._scaled(allowed - self._velocities, limits.acceleration * period)
        reachable = self._before_position_limits(self._velocities + change)
        braked = self._braked()
        candidates = (braked + part * (reachable - braked) for part in _PARTS)
        reachable = next((candidate for candidate in candidates if may_rest(self._reach(candidate)[1])), braked)
        clamped = not np.allclose(reachable, velocities, rtol=0.0, atol=1e-6)
        self.clamped += clamped
        return self._advance(reachable, clamped)

    def approach(self, target: np.ndarray, speed: float) -> JointCommand:
        """Move straight towards joint positions (n,) [rad] and come to rest there.

        Args:
            target: where to go.
            speed: part of the velocity limits to use.
        """
        error = target - self.positions
        period = self._period
        braking = braking_speed(np.abs(error), self._limits.acceleration, period)
        fastest = np.minimum(np.minimum(speed * self._limits.velocity, braking), np.abs(error) / period)
        return self.move(self._scaled(error / period, fastest))

    def brake(self) -> JointCommand:
        """Slow down as fast as the limits allow, and stay."""
        return self._advance(self._braked(), clamped=False)

    def _braked(self) -> np.ndarray:
        """Velocities (n,) [rad/s] after one period of braking: all joints by the same part, so that the tool keeps
        its way."""
        braking_time = np.max(np.abs(self._velocities) / self._limits.acceleration)
        return self._velocities * max(0.0, 1.0 - self._period / max(braking_time, self._period))

    def _before_position_limits(self, velocities: np.ndarray) -> np.ndarray:
        """Velocities from which every joint can still brake before its position limits."""
        limits, period = self._limits, self._period
        return np.clip(
            velocities,
            -braking_speed(self.positions - limits.position_low, limits.acceleration, period),
            braking_speed(limits.position_high - self.positions, limits.acceleration, period),
        )

    def _reach(self, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Positions (n,) [rad] after one period and at rest after braking, and how long the braking takes [s]."""
        limits = self._limits
        # A joint that was found outside of its limits may come back as slowly as it likes, but not go farther out.
        low = np.minimum(limits.position_low, self.positions)
        high = np.maximum(limits.position_high, self.positions)
        reached = np.clip(self.positions + velocities * self._period, low, high)
        braking_time = float(np.max(np.abs(velocities) / limits.acceleration))
        return reached, np.clip(reached + velocities * braking_time / 2, low, high), braking_time

    def _advance(self, velocities: np.ndarray, clamped: bool) -> JointCommand:
        reached, rest, braking_time = self._reach(velocities)
        self._positions, self._velocities = reached, velocities
        return JointCommand(
            times=np.array([self._period, self._period + max(braking_time, self._period)]),
            positions=np.stack([reached, rest]),
            velocities=np.stack([velocities, np.zeros_like(velocities)]),
            clamped=clamped,
        )


def braking_speed(room: np.ndarray, deceleration: np.ndarray | float, period: float) -> np.ndarray:
    """Largest speed (n,) [m/s or rad/s] from which braking, a period from now, ends within `room` (n,) [m or rad]."""
    step = deceleration * period
    return np.sqrt(np.square(step) + 2 * deceleration * np.maximum(room, 0.0)) - step


def _scaled(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Values (n,) scaled by one factor, so that none exceeds its limit (n,); a limit of 0 is one of a value of 0."""
    excess = np.max(np.abs(values) / np.maximum(limits, _TINY))
    return values / excess if excess > 1.0 else values


def _clipped(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Values (n,) each within its limit (n,)."""
    return np.clip(values, -limits, limits)
