"""ROS domains for tests: several processes run them side by side, and their nodes must not meet."""

from contextlib import ExitStack

from her_robot.evaluation.side_by_side import reserved_domains

_HELD = ExitStack()


def new_domain() -> int:
    """A domain that no other process has while this one lasts."""
    return _HELD.enter_context(reserved_domains(1))[0]
