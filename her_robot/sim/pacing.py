"""Keeping a simulated robot's clock beside another one."""

_LARGEST_LAG_S = 0.2


class Pacer:
    """Says how much time a simulated robot has to pass to stay beside a clock.

    Where the two are farther apart than 0.2 s (the machine was too slow or asleep, or the clock was set), the robot
    does not run after it: the offset between them changes.
    """

    def __init__(self, clock: float, robot_time: float) -> None:
        """Begin at present readings of the clock and of the robot's own [s]."""
        self.offset = clock - robot_time
        """Reading of the clock when the robot's is 0 [s]."""
        self.slips = 0
        """Times that the offset changed."""

    def due(self, clock: float, robot_time: float) -> float:
        """Time for the robot to pass now [s], 0 or more."""
        lag = clock - self.offset - robot_time
        if abs(lag) > _LARGEST_LAG_S:
            self.offset += lag
            self.slips += 1
            return 0.0
        return max(lag, 0.0)
