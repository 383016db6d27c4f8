"""An identification as a table, as JSON and as a picture."""

import io
from typing import Any

from rich.console import Console
from rich.table import Table

from her_robot.identification.fit import Errors, Identification
from her_robot.identification.parameters import UNITS
from her_robot.robot.profile import RobotProfile

_PLOTTED_SAMPLES = 600


def summary(identification: Identification, profile: RobotProfile) -> dict[str, Any]:
    """What `--json` promises; positions in rad, velocities in rad/s."""
    return {
        "robot": profile.name,
        "shared": identification.shared,
        "segments": {"fitted": identification.segments, "held_out": identification.held_out_segments},
        "parameters": [
            {
                "name": estimate.name,
                "joint": estimate.joint,
                "unit": UNITS[estimate.name],
                "start": estimate.start,
                "value": estimate.value,
                "ci95": [estimate.low, estimate.high],
                "identified": estimate.identified,
                "remark": estimate.remark,
            }
            for estimate in identification.estimates
        ],
        "flat_directions": [list(direction) for direction in identification.flat_directions],
        "still_joints": identification.still_joints,
        "held_out_error": {
            "before": _by_joint(identification.held_out_start, profile),
            "after": _by_joint(identification.held_out, profile),
        },
        "measurement_noise": _by_joint(identification.noise, profile),
    }


def print_identification(console: Console, identification: Identification, profile: RobotProfile) -> None:
    """Parameters with their intervals, what is not identified and why, and errors on held-out segments."""
    table = Table(box=None, padding=(0, 2))
    for column in ("parameter", "joint", "before", "identified", "95 % interval", "unit", ""):
        table.add_column(column, justify="left" if column in ("parameter", "joint", "unit", "") else "right")
    for e in identification.estimates:
        style = "" if e.identified else "dim"
        interval = f"{e.low:.4g} ... {e.high:.4g}"
        remark = e.remark if e.identified else f"not identified: {_short(e.remark, e.joint)}"
        joint = e.joint or ("" if e.name == "command_delay" else "all")
        table.add_row(e.name, joint, f"{e.start:.4g}", f"{e.value:.4g}", interval, UNITS[e.name], remark, style=style)
    console.print(table)
    for joint, moved in identification.still_joints.items():
        console.print(
            f"{joint} moved by {moved:.3f} rad within 1 s at most: too little, its parameters stay as they were"
        )
    console.print()
    console.print(_error_table(identification, profile))
    console.print(
        f"errors: r.m.s. over {identification.held_out_segments} held-out segments of 1 s, which the fit over "
        f"{identification.segments} others has not seen"
    )


def plot(identification: Identification, profile: RobotProfile) -> bytes:
    """A PNG: measured and simulated positions of each joint in held-out segments, and their difference."""
    from matplotlib.figure import Figure

    rows = min(_PLOTTED_SAMPLES, len(identification.held_out_times))
    measured, simulated = identification.held_out_measured[:rows], identification.held_out_simulated[:rows]
    figure = Figure(figsize=(11, 1.9 * len(profile.joints)), dpi=90, layout="constrained")
    axes = figure.subplots(len(profile.joints), 2, sharex=True)
    for joint, (name, (motion, error)) in enumerate(zip(profile.joint_names, axes, strict=True)):
        motion.plot(measured[:, joint], color="black", linewidth=1.2, label="measured")
        motion.plot(simulated[:, joint], color="#c1443c", linewidth=1.0, linestyle="--", label="simulated")
        error.plot(1000 * (simulated - measured)[:, joint], color="#2a9d8f", linewidth=0.8)
        motion.set_ylabel(f"{name}\n[rad]", fontsize=8)
        error.set_ylabel("error [mrad]", fontsize=8)
        for ax in (motion, error):
            ax.grid(alpha=0.3)
            ax.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("joint state of held-out segments, one segment after the other", fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _error_table(identification: Identification, profile: RobotProfile) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("held-out error")
    for column in ("before", "after", "noise [mrad]", "before", "after", "noise [mrad/s]"):
        table.add_column(column, justify="right")
    errors = identification.held_out_start, identification.held_out, identification.noise
    for joint, name in enumerate(profile.joint_names):
        positions = [f"{1000 * e.position[joint]:.2f}" for e in errors]
        velocities = [f"{1000 * e.velocity[joint]:.1f}" for e in errors]
        table.add_row(name, *positions, *velocities)
    return table


def _by_joint(errors: Errors, profile: RobotProfile) -> dict[str, dict[str, float]]:
    return {
        name: {"position": float(position), "velocity": float(velocity)}
        for name, position, velocity in zip(profile.joint_names, errors.position, errors.velocity, strict=True)
    }


def _short(remark: str, joint: str | None) -> str:
    """Without the name of the joint that the row is about."""
    return remark.replace(f" of {joint}", "") if joint else remark
