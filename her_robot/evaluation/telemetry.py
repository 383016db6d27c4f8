"""What the deployed nodes report of themselves during an episode."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

_COUNTS = ("clamped", "holds", "estops")
_STAGE_PREFIX, _AGE_SUFFIX = "latency_ms.", "_age_s"

Status = Mapping[str, str]
"""Keys and values of a node's newest diagnostic message."""


@dataclass(frozen=True)
class Telemetry:
    """One episode as the nodes saw it."""

    clamped: int = 0
    """Commands of the running policy that exceeded a limit. The way to the look pose and home does not count."""
    holds: int = 0
    """Times that the arm began to hold, from activation on."""
    estops: int = 0
    """Times that a stop was latched, from activation on."""
    deadline_misses: int = 0
    """Control periods that took longer than they last, from activation on."""
    latency_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Of each control period of the running policy, by stage; `camera`: of each image."""
    age_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """How old goal, object and joint states were in each control period of the running policy."""


class TelemetryLog:
    """Collects the telemetry of one episode."""

    def __init__(self, policy: Status) -> None:
        """`policy`: the policy node's last status before the episode; its counts go on from there."""
        self._before = self._before_running = self._last = dict(policy)
        self._camera: Status | None = None
        self._latency_ms: dict[str, list[float]] = {}
        self._age_s: dict[str, list[float]] = {}

    def add(self, policy: Status, camera: Status) -> None:
        """Take in both nodes' status after one control period."""
        self._last = policy
        if policy.get("phase") != "running" and not self._latency_ms:
            self._before_running = policy
        if policy.get("phase") == "running":
            self._add_running(policy, camera)

    def result(self) -> Telemetry:
        """What was collected."""
        before = {"clamped": self._before_running, "holds": self._before, "estops": self._before}
        counts = {name: int(self._last.get(name, 0)) - int(before[name].get(name, 0)) for name in _COUNTS}
        return Telemetry(
            **counts,
            deadline_misses=int(self._last.get("deadline_misses", 0)),
            latency_ms={stage: tuple(values) for stage, values in self._latency_ms.items()},
            age_s={name: tuple(values) for name, values in self._age_s.items()},
        )

    def _add_running(self, policy: Status, camera: Status) -> None:
        if camera is not self._camera and "processing_ms" in camera:
            self._camera = camera
            self._latency_ms.setdefault("camera", []).append(float(camera["processing_ms"]))
        for key, value in policy.items():
            if key.startswith(_STAGE_PREFIX):
                self._latency_ms.setdefault(key.removeprefix(_STAGE_PREFIX), []).append(float(value))
            elif key.endswith(_AGE_SUFFIX) and isfinite(float(value)):
                self._age_s.setdefault(key.removesuffix(_AGE_SUFFIX), []).append(float(value))
        self._latency_ms.setdefault("sensor_to_command", []).append(float(policy["sensor_to_command_ms"]))
