"""Processes are watched, and none is left behind."""

import os
import time

import pytest

from her_robot.errors import LoopError
from her_robot.evaluation.processes import NodeProcesses


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Nodes that are small real programs: `sleeper` runs on and ignores SIGINT, `failing` ends with a message."""
    package = tmp_path / "toy_nodes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sleeper.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    (package / "failing.py").write_text("import sys\nprint('cannot find the camera')\nsys.exit(3)\n")
    monkeypatch.setattr("her_robot.evaluation.processes._TERM_S", 0.5)
    started = NodeProcesses(tmp_path / "logs", {"PYTHONPATH": str(tmp_path)}, "toy_nodes")
    yield started
    started.stop()


def _wait_for(condition):
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_node_that_ends_is_named_with_its_last_words(processes, tmp_path):
    processes.start("sleeper", {})
    processes.check()
    processes.start("failing", {"task": "fetch_push", "flag": True})
    _wait_for(lambda: processes._processes["failing"].poll() is not None)
    with pytest.raises(LoopError, match=r"failing ended with status 3[\s\S]*cannot find the camera"):
        processes.check()


def test_even_a_stubborn_node_is_stopped(processes, tmp_path):
    processes.start("sleeper", {})
    _wait_for(lambda: (tmp_path / "logs" / "sleeper.log").read_text() == "up\n")
    pid = processes._processes["sleeper"].pid
    processes.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_node_is_not_missed_and_starts_again_as_before(processes, tmp_path):
    log = tmp_path / "logs" / "sleeper.log"
    processes.start("sleeper", {"task": "fetch_push"})
    _wait_for(lambda: log.read_text() == "up\n")
    killed = processes._processes["sleeper"]
    processes.kill("sleeper")
    assert killed.poll() == -9
    processes.check()
    processes.restart("sleeper")
    assert processes._processes["sleeper"].args == killed.args
    _wait_for(lambda: log.read_text() == "up\nup\n")
