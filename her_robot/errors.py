"""Every error that her_robot raises on purpose.

A message says what was wrong, what would have been valid, and where to look. The command line prints the message alone;
a traceback is for bugs.
"""

import difflib
from collections.abc import Iterable


class HerRobotError(Exception):
    """Base of all deliberate errors."""


class UnknownNameError(HerRobotError):
    """A name that is not in a table: a task, a preset, a robot, a field."""

    def __init__(self, kind: str, name: str, valid: Iterable[str], where: str = "") -> None:
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}unknown {kind} {name!r}{did_you_mean(name, valid)}")


class ConfigurationError(HerRobotError):
    """A configuration or calibration file with a missing, unknown or impossible value."""


class BundleError(HerRobotError):
    """A policy bundle that is damaged, altered, or made for another contract."""


class CheckpointError(HerRobotError):
    """A training checkpoint that cannot be written, read or resumed."""


class TrainingDivergedError(HerRobotError):
    """A loss or a parameter became NaN or infinite."""


class ImprovementError(HerRobotError):
    """The process that improves the actor beside the critics has failed or was killed."""


class ProcessesError(HerRobotError):
    """The processes of a data-parallel run cannot find each other, differ, or have lost one of them."""


class RecordingError(HerRobotError):
    """A recording that tells nothing of a robot: not readable, of another arm, with gaps, or without motion."""


class BackendError(HerRobotError):
    """A simulation backend that is not installed, that cannot run here, or that lacks what a preset asks for."""


class LoopError(HerRobotError):
    """The robot in the loop did not come up, died, or stopped answering."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """The tail of a message: the closest valid name if one is near, then all of them."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{hint} valid: {', '.join(names)}"
