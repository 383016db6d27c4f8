"""An identified robot as files that others read: a simulated robot, and a randomisation preset around it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from her_robot import configuration
from her_robot.contract import CONTROL_PERIOD_S
from her_robot.domain_rand.preset import load_preset
from her_robot.identification.fit import Identification
from her_robot.robot.profile import RobotProfile
from her_robot.sim.robot import SimulatedRobotConfig


def write_simulated_robot(
    path: Path, identification: Identification, config: SimulatedRobotConfig, profile: RobotProfile, source: str
) -> None:
    """The simulated robot `config` with what was identified, and noise as measured; for `her-robot evaluate`.

    Args:
        path: to be written.
        identification: the outcome of a fit that started from `config`.
        config: of the simulated robot.
        profile: names of the joints.
        source: what was recorded, for the comment on top.
    """
    robot = replace(
        identification.dynamics.applied_to(config, profile, identification.shared),
        encoder_noise=float(f"{np.median(identification.noise.position):.3g}"),
        velocity_noise=float(f"{np.median(identification.noise.velocity):.3g}"),
    )
    unknown = [estimate.label for estimate in identification.estimates if not estimate.identified]
    unknown += [f"all of {joint}" for joint in identification.still_joints]
    comment = [f"A simulated robot that moves as in {source}. Fields and units: docs/simulated_robot.md"]
    comment += [f"Not identified: {label}" for label in unknown]
    _write(path, comment, configuration.to_mapping(robot))


def write_preset(path: Path, identification: Identification, base: str, source: str) -> None:
    """The preset `base` with the ranges that the recording tells, for `train --set randomization=FILE`.

    Args:
        path: to be written.
        identification: the outcome of a fit.
        base: shipped preset, or path of one.
        source: what was recorded, for the comment on top.

    Raises:
        HerRobotError: no such base, or one that cannot be read.
    """
    data = configuration.to_mapping(load_preset(base))
    comment = [f"Preset {Path(base).stem}, with what was identified from {source}:"]
    for keys, range_of in _RANGES.items():
        value = range_of(identification)
        if value is None:
            comment.append(f"  {keys}: not identified, as before")
            continue
        *sections, last = keys.split(".")
        section = data
        for name in sections:
            section = section[name]
        section[last] = value
        comment.append(f"  {keys}")
    _write(path, comment, data)


def _delay_steps(identification: Identification) -> list[int] | None:
    """Control periods around the 95 % interval of the delay."""
    delay = next((e for e in identification.estimates if e.name == "command_delay"), None)
    if delay is None or not delay.identified:
        return None
    return [int(np.floor(delay.low / CONTROL_PERIOD_S)), int(np.ceil(delay.high / CONTROL_PERIOD_S))]


_RANGES: dict[str, Callable[[Identification], Any]] = {"actuation.delay_steps": _delay_steps}
"""Entries of a preset and what the recording says of them: a value as YAML has it, or None."""


def _write(path: Path, comment: list[str], data: dict[str, Any]) -> None:
    configuration.write_atomically(path, "".join(f"# {line}\n" for line in comment) + configuration.dump_yaml(data))
