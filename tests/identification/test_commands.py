"""`her-robot identify` from a bag to the files that others read."""

import json

import pytest
import yaml
from recorded_robot import DELAY_S, SERVO

from her_robot.cli import main
from her_robot.domain_rand.preset import load_preset
from her_robot.sim.robot import ARMS, SimulatedRobot


def test_from_a_recording_to_a_simulated_robot_and_a_preset(recorded, profile, tmp_path, capsys):
    names = {"--json": "fit.json", "--plot": "fit.png", "--simulated-robot": "robot.yaml", "--out": "preset.yaml"}
    written = [text for option, name in names.items() for text in (option, str(tmp_path / name))]
    held = ["--fix", "armature", "--fix", "viscous_friction"]
    assert main(["identify", "--bag", str(recorded(True)), "--shared", *held, *written]) == 0
    output = capsys.readouterr().out
    assert "held-out segments" in output

    found = json.loads((tmp_path / "fit.json").read_text())
    parameters = {entry["name"]: entry for entry in found["parameters"]}
    assert parameters.keys() == {"stiffness", "damping", "friction_loss", "command_delay"}
    assert parameters["stiffness"]["unit"] == "Nm/rad"
    low, high = parameters["command_delay"]["ci95"]
    assert low < parameters["command_delay"]["value"] < high
    errors = found["held_out_error"]
    assert errors["after"]["elbow_flex_joint"]["position"] < 0.3 * errors["before"]["elbow_flex_joint"]["position"]
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")

    robot = ARMS.load(str(tmp_path / "robot.yaml"))
    assert robot.scene.joint_control.stiffness == pytest.approx(SERVO.stiffness, rel=0.1)
    assert robot.scene.joint_control.armature == 1.0
    assert robot.command_delay == pytest.approx(DELAY_S, abs=3e-3)
    assert robot.encoder_noise == pytest.approx(3e-4, rel=0.3)
    SimulatedRobot(robot, "fetch_reach").close()

    preset, base = load_preset(str(tmp_path / "preset.yaml")), load_preset("robot_loop")
    assert preset.actuation.delay_steps == (0, 1)
    assert (preset.physics, preset.sensing) == (base.physics, base.sensing)


def test_the_motion_to_record_is_a_message(profile, tmp_path, capsys):
    path = tmp_path / "motion.yaml"
    assert main(["identify", "--excite", str(path), "--duration", "45"]) == 0
    assert "ros2 bag record" in capsys.readouterr().out
    # A longer argument could not be handed to `ros2 topic pub`.
    assert path.stat().st_size < 128 * 1024
    message = yaml.safe_load(path.read_text())
    assert message["joint_names"] == list(profile.joint_names)
    assert {len(point["positions"]) for point in message["points"]} == {7}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--bag FILE is needed"),
        (["--bag", "nowhere.mcap"], "nowhere.mcap: not an MCAP file or a rosbag2 folder"),
        (["--bag", "nowhere.mcap", "--robot", "fetsch"], "unknown robot 'fetsch'; did you mean 'fetch'"),
        (["--bag", "nowhere.mcap", "--start", "ferch"], "unknown simulated robot 'ferch'; did you mean 'fetch'"),
        (["--excite", "motion.yaml", "--duration", "100"], "--duration is 100 s; it must be from 10 to 45 s"),
    ],
)
def test_wrong_input(arguments, message, capsys):
    assert main(["identify", *arguments]) == 2
    assert message in capsys.readouterr().err
