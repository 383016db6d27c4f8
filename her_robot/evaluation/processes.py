"""Node processes: started together, watched, and stopped without leaving any behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from her_robot.errors import LoopError

_TERM_S = 3.0
_LOG_TAIL_LINES = 15


class NodeProcesses:
    """The nodes of one loop, each a Python module with a log file of its own."""

    def __init__(
        self, log_directory: Path, environment: Mapping[str, str], package: str = "her_robot.ros_nodes"
    ) -> None:
        """
        Args:
            log_directory: logs go to `<node>.log` in here.
            environment: variables to set for the nodes, beside this process's own.
            package: where the nodes' modules are.
        """
        self._package = package
        self._logs = log_directory
        # Nodes end with this process, however it ends (`her_robot.ros_nodes.running`).
        parent = {"HER_ROBOT_PARENT": str(os.getpid())}
        self._environment = {**os.environ, **environment, **parent, "PYTHONUNBUFFERED": "1"}
        self._processes: dict[str, subprocess.Popen] = {}
        self._parameters: dict[str, Mapping[str, object]] = {}

    def start(self, node: str, parameters: Mapping[str, object]) -> None:
        """Start the module of `node` with ROS parameters."""
        self._parameters[node] = parameters
        arguments = [sys.executable, "-m", f"{self._package}.{node}", "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ["-p", f"{name}:={text}"]
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def kill(self, node: str) -> None:
        """Kill a running node without warning, as a crash would. It is no longer watched."""
        process = self._processes.pop(node)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, node: str) -> None:
        """Start a killed node again, as it was started first."""
        self.start(node, self._parameters[node])

    def check(self) -> None:
        """
        Raises:
            LoopError: a node has ended; the message holds the end of its log.
        """
        for node, process in self._processes.items():
            if process.poll() is not None:
                raise LoopError(f"{node} ended with status {process.returncode}. {self.log_tail(node)}")

    def log_tail(self, node: str) -> str:
        """Where the log of a node is, and its last lines."""
        path = self._logs / f"{node}.log"
        lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if path.is_file() else []
        return "\n  ".join([f"Its log ({path}) ends with:", *lines])

    def stop(self) -> None:
        """Ask all nodes to end, and make those that do not."""
        for attempt in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [process for process in self._processes.values() if process.poll() is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, attempt)
            deadline = time.monotonic() + _TERM_S
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        self._processes.clear()
