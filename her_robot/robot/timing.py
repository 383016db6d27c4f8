"""How punctual a control loop is."""


class LoopTiming:
    """Latencies of the last control tick, and deadlines missed so far. Times are of one steady clock [s]."""

    def __init__(self, period: float) -> None:
        """A tick that computes, or waits for its sensors, longer than `period` [s] has missed its deadline."""
        self._period = period
        self.deadline_misses = 0
        self.computing_ms = 0.0
        """From the tick to its command [ms]."""
        self.sensor_to_command_ms = 0.0
        """From the arrival of the newest joint states to the command [ms]."""

    def reset(self) -> None:
        """Begin to count anew."""
        self.deadline_misses = 0

    def record(self, begun: float, finished: float, sensor_to_command: float) -> None:
        """Take in one tick."""
        self.computing_ms = 1e3 * (finished - begun)
        self.sensor_to_command_ms = 1e3 * sensor_to_command
        self.deadline_misses += max(finished - begun, sensor_to_command) > self._period
