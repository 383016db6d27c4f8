"""Where the files that are not code lie: `config/`, `calibration/`, `launch/`, `policies/`.

In a checkout they stand beside the package; installed, under `share/her_robot` of the Python prefix (pip) or of the
ament prefix (colcon).
"""

import os
import sys
import sysconfig
from pathlib import Path

from her_robot.errors import HerRobotError, UnknownNameError


def share_directory() -> Path:
    """The folder that holds `config/`, `calibration/`, `launch/` and `policies/`.

    Raises:
        HerRobotError: none is found; the message lists where it was looked for.
    """
    candidates = list(_candidates())
    for candidate in candidates:
        if (candidate / "config").is_dir() and (candidate / "policies").is_dir():
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise HerRobotError(f"her_robot's data files were not found; looked in {looked}. Reinstall the package.")


def named_file(folder: str, name: str, kind: str) -> Path:
    """`folder/name.yaml` among the shipped files, or `name` itself where it is a path to a file.

    Raises:
        UnknownNameError: neither; the message lists the shipped names.
    """
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        return Path(name)
    directory = share_directory() / folder
    path = directory / f"{name}.yaml"
    if path.is_file():
        return path
    raise UnknownNameError(kind, name, (found.stem for found in directory.glob("*.yaml")), where=str(directory))


def _candidates():
    yield Path(__file__).resolve().parents[1]
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / "her_robot"
    yield Path(sysconfig.get_path("data")) / "share" / "her_robot"
    yield Path(sys.prefix) / "share" / "her_robot"
