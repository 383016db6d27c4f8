"""The command line: it teaches, and says what is wrong without a traceback."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import torch
from constant_policy import constant_bundle

from her_robot.cli import main
from her_robot.contract import CONTRACTS, HAND_OPTIONS


def _run(capsys, *arguments):
    status = main(arguments)
    output = capsys.readouterr()
    return status, output.out, output.err


def test_help_imports_nothing_heavy():
    code = "import sys; from her_robot.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'mujoco', 'cv2', 'rclpy', 'gymnasium') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "her-robot demo" in result.stdout
    assert result.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "command",
    [
        "tasks",
        "train",
        "demonstrate",
        "evaluate",
        "randomization",
        "compare",
        "robots",
        "faults",
        "demo",
        "identify",
        "bench",
    ],
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: her-robot" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["env", "update", "train", "latency"])
def test_every_benchmark_has_help_and_writes_json(what, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", what, "--help"])
    assert ended.value.code == 0
    assert "--json FILE" in capsys.readouterr().out


def test_the_device_is_one_of_two(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "fetch_reach", "--device", "tpu"])
    assert ended.value.code == 2
    assert "invalid choice: 'tpu'" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(capsys, tmp_path):
    status, _, err = _run(capsys, "train", "fetch_reach", "--device", "cuda", "--out", str(tmp_path / "run"))
    assert status == 2
    assert "device is cuda, but PyTorch sees no GPU" in err


def test_tasks_as_json(capsys, tmp_path):
    status, out, _ = _run(capsys, "tasks", "--json", str(tmp_path / "tasks.json"))
    assert status == 0
    assert "FetchPush-v4" in out
    written = json.loads((tmp_path / "tasks.json").read_text())
    assert written.keys() == {**CONTRACTS, **HAND_OPTIONS}.keys()
    assert sum(term["size"] for term in written["fetch_push"]["observation"]) == 25


@pytest.mark.parametrize(("command", "name"), [("robots", "miscalibrated_camera"), ("faults", "clock_ahead")])
def test_robots_and_faults_are_listed(command, name, capsys):
    status, out, _ = _run(capsys, command)
    assert status == 0
    assert name in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "fetch_pushh"], "unknown task 'fetch_pushh'; did you mean 'fetch_push'"),
        (["evaluate", "fetch_push", "--policy", "/nowhere"], "a policy bundle is a folder"),
        (["evaluate", "fetch_reach", "--episodes", "0"], "--episodes is 0; at least 1"),
        (["evaluate", "fetch_reach", "--seed", "-3"], "--seed is -3"),
        (
            ["evaluate", "fetch_reach", "--randomize", "nonne"],
            "unknown randomization preset 'nonne'; did you mean 'none'",
        ),
        (["evaluate", "fetch_reach", "--loop", "ros", "--randomize", "none"], "belong to --loop sim"),
        (["evaluate", "hand_egg_rotate", "--loop", "ros"], "no simulated robot has this object yet; --loop sim"),
        (
            ["evaluate", "fetch_reach", "--loop", "ros", "--episode-steps", "0", "--report", "REPORT"],
            "--episode-steps is 0",
        ),
        (["evaluate", "fetch_reach", "--at-least", "90"], "--at-least is 90; it must lie between 0 and 1"),
        (["compare", "/nowhere.json", "/nowhere.json"], "/nowhere.json: cannot be read"),
        (["evaluate", "fetch_reach", "--robots", "all"], "--robots and --faults belong to --loop ros"),
        (["evaluate", "fetch_reach", "--loop", "ros", "--robots", "hevy_object"], "did you mean 'heavy_object'"),
        (["evaluate", "hand_reach", "--loop", "ros", "--robots", "sticky"], "unknown simulated hand 'sticky'"),
        (
            ["evaluate", "hand_reach", "--loop", "ros", "--faults", "camera_late"],
            "--faults camera_late: nothing looks at a camera in hand_reach",
        ),
        (
            ["evaluate", "fetch_reach", "--loop", "ros", "--robots", "laggy", "--severity", "3"],
            "severity is 3; it must",
        ),
        (["evaluate", "fetch_reach", "--loop", "ros", "--faults", "clock_ahed"], "did you mean 'clock_ahead'"),
        (
            ["evaluate", "fetch_reach", "--loop", "ros", "--jobs", "0", "--report", "REPORT"],
            "--jobs is 0; it must lie in 1 ... 32",
        ),
        (
            ["evaluate", "fetch_reach", "--loop", "ros", "--faults", "all", "--real-time", "--report", "REPORT"],
            "clock_jump: in real time /clock is nobody's to set",
        ),
        (["train", "fetch_fly"], "unknown task 'fetch_fly'"),
        (["train", "fetch_push", "--set", "agent.gama=1"], "unknown key 'gama'; did you mean 'gamma'"),
        (["train", "fetch_push", "--until-success", "95"], "must lie between 0 and 1"),
        (["train", "fetch_push", "--resume", "--out", "/nowhere"], "no checkpoint to resume from"),
        (
            ["train", "hand_egg_rotate", "--config", "demonstrated"],
            "`her-robot demonstrate hand_egg_rotate` makes some",
        ),
        (["train", "hand_egg_rotate", "--demonstrations", "REPORT"], "no demonstrations"),
        (["demonstrate", "fetch_push"], "an object in the hand"),
        (["randomization", "fetch_pus", "--preset", "nominal"], "unknown task 'fetch_pus'; did you mean 'fetch_push'"),
        (
            ["randomization", "fetch_push", "--preset", "peng"],
            "unknown randomization preset 'peng'; did you mean 'peng2017'",
        ),
        (["randomization", "fetch_push", "--preset", "none", "--episodes", "0"], "--episodes is 0; at least 1"),
        (["randomization", "hand_block", "--preset", "dactil"], "'dactil'; did you mean 'dactyl'"),
        (["randomization", "fetch_push", "--preset", "dactyl"], "the model has no actuator 'robot0:A_*'"),
        (["randomization", "hand_block", "--preset", "nominal"], "yaw_noise is not simulated for the hand"),
        (["demo", "fetch_swim"], "unknown task 'fetch_swim'"),
        (["bench", "train", "--budget", "-5"], "--budget is -5 s; it must be above 0"),
        (["bench", "train", "--task", "fetch_psh"], "unknown task 'fetch_psh'; did you mean 'fetch_push'"),
        (["bench", "train", "--config", "fst"], "unknown training preset 'fst'"),
    ],
)
def test_wrong_input(arguments, message, capsys, tmp_path):
    arguments = [str(tmp_path / "report") if argument == "REPORT" else argument for argument in arguments]
    status, _, err = _run(capsys, *arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_malformed_yaml(capsys, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("agent: {gamma: 0.98")
    status, _, err = _run(capsys, "train", "fetch_push", "--config", str(path))
    assert status == 2
    assert f"{path}: malformed YAML" in err


def test_randomization_prints_a_table_and_writes_pictures(capsys, tmp_path):
    arguments = ["randomization", "fetch_push", "--preset", "robot_loop", "--episodes", "40", "--out", str(tmp_path)]
    status, out, _ = _run(capsys, *arguments, "--json", str(tmp_path / "a.json"))
    assert status == 0
    assert all(word in out for word in ("object_mass", "2 kg", "× 0.4 ... 1.5", "log_uniform", "scale", "episode"))
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["episodes"] == 40
    assert 10 < written["randomized_episodes"] < 38
    mass = next(line for line in written["parameters"] if line["name"] == "object_mass")
    assert (mass["low"], mass["high"], mass["elements"]) == (0.4, 1.5, ["object0"])
    drawn = written["drawn"]["physics.object_mass"]
    assert drawn["count"] == written["randomized_episodes"]
    assert 0.4 <= drawn["min"] < drawn["mean"] < drawn["max"] <= 1.5
    for name in ("histograms.png", "scenes.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("task", "parameter"), [("hand_reach", "fingertip_bias"), ("hand_block", "object_size")])
def test_randomization_shows_the_hand(task, parameter, capsys, tmp_path):
    arguments = ["randomization", task, "--preset", "dactyl", "--episodes", "10", "--out", str(tmp_path)]
    status, out, _ = _run(capsys, *arguments, "--json", str(tmp_path / "a.json"))
    assert status == 0
    assert all(word in out for word in (parameter, "link_mass", "26 draws", "± 1.2 m/s^2"))
    drawn = json.loads((tmp_path / "a.json").read_text())["drawn"]
    assert drawn["physics.joint_damping"]["count"] == 24 * 10
    for name in ("histograms.png", "scenes.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_evaluate_writes_json_and_a_report(capsys, tmp_path):
    arguments = ["evaluate", "fetch_reach", "--episodes", "3", "--json", str(tmp_path / "a.json")]
    status, out, _ = _run(capsys, *arguments, "--report", str(tmp_path / "report"))
    assert status == 0
    assert "3 of 3" in out
    summary = json.loads((tmp_path / "a.json").read_text())
    assert summary["episodes"] == 3
    assert (tmp_path / "report" / "index.html").is_file()


def test_a_rate_ends_an_evaluation_and_sets_the_exit_status(capsys, tmp_path):
    arguments = ["evaluate", "fetch_reach", "--at-least", "0.5"]
    files = ["--json", str(tmp_path / "a.json"), "--junit", str(tmp_path / "a.xml")]
    status, out, _ = _run(capsys, *arguments, *files)
    assert status == 0
    assert "above 0.5" in out
    summary = json.loads((tmp_path / "a.json").read_text())
    assert summary["episodes"] == summary["successes"] == 6
    (suite,) = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("7", "0")
    status, out, _ = _run(capsys, *arguments, "--episodes", "2")
    assert status == 3
    assert "not decided" in out


def test_a_policy_that_does_nothing_is_below_and_compares_as_worse(capsys, tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    assert _run(capsys, "evaluate", "fetch_reach", "--episodes", "10", "--json", str(good))[0] == 0
    still = constant_bundle("fetch_reach", (0.0, 0.0, 0.0, 0.0), tmp_path / "still")
    arguments = ["--policy", str(still.path), "--at-least", "0.9", "--json", str(bad)]
    status, out, _ = _run(capsys, "evaluate", "fetch_reach", *arguments)
    assert status == 1
    assert "below 0.9" in out
    status, out, _ = _run(capsys, "compare", str(good), str(bad), "--json", str(tmp_path / "comparison.json"))
    comparison = json.loads((tmp_path / "comparison.json").read_text())
    assert comparison["pairs"] == json.loads(bad.read_text())["episodes"]
    assert comparison["only_second"] == 0
    # Very few episodes were needed to see that it is no good; too few to compare it with another.
    assert status == (1 if comparison["p_value"] < 0.05 else 0)
    assert "ended as soon as its rate was clear" in out
    assert _run(capsys, "compare", str(good), str(good))[0] == 0
