"""Known parameters are found again, from the messages of a simulated robot that has them."""

from dataclasses import replace

import numpy as np
import pytest
from recorded_robot import DELAY_S, SERVO, altered_robot, play

from her_robot.errors import RecordingError
from her_robot.identification.bag import read_recording
from her_robot.identification.fit import identify
from her_robot.identification.parameters import UNITS
from her_robot.sim.robot import ARMS

START = ARMS.load("fetch")
TRUE = {**SERVO.__dict__, "command_delay": DELAY_S}


def test_without_noise_every_parameter_is_found(recorded, profile):
    found = identify(read_recording(recorded(False), profile), START, profile, shared=True)
    assert {estimate.name for estimate in found.estimates} == set(UNITS)
    for estimate in found.estimates:
        assert estimate.identified, estimate
        assert estimate.value == pytest.approx(TRUE[estimate.name], rel=5e-3), estimate
    assert found.held_out.position.max() < 1e-5
    assert found.held_out_start.position.min() > 2e-3
    assert (found.flat_directions, found.still_joints) == ((), {})


def test_with_noise_errors_are_as_large_as_they_are_said_to_be(recorded, profile):
    """Encoders of 0.3 mrad and 3 mrad/s, 8.5 s."""
    found = identify(read_recording(recorded(True), profile), START, profile, shared=True)
    for estimate in found.estimates:
        assert estimate.identified, estimate
        half_width = (estimate.high - estimate.low) / 2
        assert abs(estimate.value - TRUE[estimate.name]) < 2 * half_width, estimate
    errors = {e.name: e.value / TRUE[e.name] - 1 for e in found.estimates}
    assert abs(errors["command_delay"]) < 0.05
    assert max(abs(errors[name]) for name in ("stiffness", "damping", "friction_loss")) < 0.05
    assert abs(errors["armature"]) < 0.3
    # What is left is the encoders' noise, which is known from the recording alone.
    np.testing.assert_allclose(found.held_out.position, 3e-4, rtol=0.15)
    np.testing.assert_allclose(found.noise.position, 3e-4, rtol=0.3)
    np.testing.assert_allclose(found.held_out.velocity, 3e-3, rtol=0.15)


def test_what_a_motion_cannot_tell_is_named(profile, tmp_path):
    """Two joints move. Of the wrist, whose links weigh next to nothing, only ratios of the servo's parameters show."""
    moving = ("shoulder_pan_joint", "wrist_roll_joint")
    robot = altered_robot(noisy=True)
    robot = replace(robot, scene=replace(robot.scene, joint_control=replace(SERVO, viscous_friction=0.0)))
    bag = play(robot, 8.5, joints=moving).write(tmp_path / "bag")
    found = identify(read_recording(bag, profile), START, profile, fixed=["viscous_friction"])
    assert set(found.still_joints) == set(profile.joint_names) - set(moving)
    estimates = {(e.name, e.joint): e for e in found.estimates}
    assert len(estimates) == 2 * 4 + 1
    assert estimates["command_delay", None].identified
    wrist = {name: estimates[name, "wrist_roll_joint"] for name in ("stiffness", "damping", "armature")}
    for name, estimate in wrist.items():
        assert not estimate.identified
        assert estimate.remark.startswith("known only together with ")
        assert estimate.low < TRUE[name] < estimate.high
    for name in ("damping", "armature"):
        ratio = wrist[name].value / wrist["stiffness"].value
        assert ratio == pytest.approx(TRUE[name] / TRUE["stiffness"], rel=0.15)
    ratios = {f"{name} of wrist_roll_joint" for name in wrist}
    assert any(ratios <= set(direction) for direction in found.flat_directions)
    # The shoulder carries the arm, whose inertia is known: that tells the size.
    shoulder = estimates["stiffness", "shoulder_pan_joint"]
    assert shoulder.low < TRUE["stiffness"] < shoulder.high
    assert shoulder.high / shoulder.low < 0.5 * wrist["stiffness"].high / wrist["stiffness"].low
    # Joints that did not move keep what they had.
    np.testing.assert_array_equal(found.dynamics.stiffness[1:6], START.scene.joint_control.stiffness)


def test_a_recording_that_tells_nothing_is_refused(profile, tmp_path):
    robot = altered_robot(noisy=True)
    still = play(robot, 3.0, joints=("none",)).write(tmp_path / "still")
    with pytest.raises(RecordingError, match=r"moves in 0 of \d+ pieces of 1 s .* A good recording has 20 to 60 s"):
        identify(read_recording(still, profile), START, profile)
    short = play(robot, 3.0).write(tmp_path / "short")
    with pytest.raises(RecordingError, match="at least 8 are needed"):
        identify(read_recording(short, profile), START, profile)
