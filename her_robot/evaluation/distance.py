"""Distances to a goal as people read them: positions [m], orientations [rad], or poses in multiples of a tolerance."""

from her_robot.contract import Contract


def distance_key(contract: Contract) -> str:
    """Under which name JSON holds the final distance of an episode, with its unit."""
    return f"final_distance_{contract.distance_unit}"


def written(distance: float | None, contract: Contract, digits: int | None = None) -> str:
    """A distance with its unit; positions in millimetres.

    Args:
        distance: [contract.distance_unit]; None is written as a dash.
        contract: of the task.
        digits: after the point, of positions; default: one below 10 cm.
    """
    if distance is None:
        return "–"
    if contract.distance_unit == "m":
        digits = int(distance < 0.1) if digits is None else digits
        return f"{1000 * distance:.{digits}f} mm"
    return f"{distance:.3f} rad" if contract.distance_unit == "rad" else f"{distance:.2f} tolerances"
