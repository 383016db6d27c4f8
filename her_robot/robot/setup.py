"""Which robot, simulated robot and calibration a task is done with, where nothing else is asked for."""

from dataclasses import dataclass

from her_robot.contract import Contract, HandContract


@dataclass(frozen=True)
class Setup:
    """Names of configurations."""

    robot: str
    """Profile in config/robots/."""
    simulated_robot: str
    """In config/simulated_robots/, of a hand in config/simulated_hands/."""
    calibration: str
    """Folder in calibration/."""


_FETCH = Setup("fetch", "fetch", "fetch_sim")
_HAND = Setup("shadow_hand", "shadow_hand", "shadow_hand_sim")


def default_setup(contract: Contract) -> Setup:
    """What fits the contract's robot."""
    return _HAND if isinstance(contract, HandContract) else _FETCH
