"""The compiled scene: what was taken from Gymnasium-Robotics' model, what was changed, what can be seen."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from her_robot import configuration
from her_robot.contract import FETCH_CONTRACTS, contract_of
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.robot.calibration import load_markers
from her_robot.robot.profile import load_profile
from her_robot.sim.scene import OBJECT, JointControlConfig, SceneConfig, compile_scene, table_top
from her_robot.sim.tasks import fetch_task

TASKS = tuple(FETCH_CONTRACTS)
CONFIG = SceneConfig(object_mass=0.7, friction=0.6, table_height_offset=0.02, finger_mass=0.2)


def scene(task: str, config: SceneConfig = CONFIG) -> mujoco.MjModel:
    profile = load_profile("fetch").for_task(task)
    return compile_scene(config, contract_of(task), profile, load_markers("fetch_sim", task), 64, 48)


def bodies_of(model: mujoco.MjModel, contact) -> set[str]:
    return {model.body(model.geom_bodyid[geom]).name for geom in contact.geom}


@pytest.fixture(scope="module", params=TASKS)
def model(request):
    return scene(request.param)


@pytest.fixture(scope="module")
def push():
    return scene("fetch_push")


def test_nothing_drags_the_gripper(model):
    assert model.neq == 0
    assert "robot0:mocap" not in {model.body(i).name for i in range(model.nbody)}
    assert model.nmocap == 1
    assert model.body("goal_tile").mocapid[0] == 0


def test_arm_and_fingers_are_servos_and_all_else_is_fixed(model):
    profile = load_profile("fetch")
    expected = [f"robot0:{name}" for name in (*profile.joint_names, *profile.gripper.joints)]
    assert [model.actuator(i).name for i in range(model.nu)] == expected
    joints = {model.joint(i).name for i in range(model.njnt)} - {f"{OBJECT}:joint"}
    assert joints == set(expected)


@pytest.mark.parametrize("task", TASKS)
def test_at_home_the_robot_stands_and_grips_where_the_contract_says(task):
    contract, profile, model = contract_of(task), load_profile("fetch").for_task(task), scene(task, SceneConfig())
    data = mujoco.MjData(model)
    for name, position in zip(profile.joint_names, profile.home[task], strict=True):
        data.joint(f"robot0:{name}").qpos[:] = position
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.body("robot0:base_link").xpos, contract.base_position, atol=1e-9)
    np.testing.assert_allclose(data.body("robot0:base_link").xmat, np.eye(3).ravel(), atol=1e-9)
    grip = data.site("robot0:grip").xpos
    np.testing.assert_allclose(grip[:2], contract.home_grip_position[:2], atol=1e-3)
    # In the push environments the fingers begin 2.5 mm within the table; a robot had better not.
    assert -1e-5 < grip[2] - contract.home_grip_position[2] < 0.01
    assert not any(contact.dist < 0 for contact in data.contact if OBJECT not in bodies_of(model, contact))
    pointing_down = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]
    np.testing.assert_allclose(data.site("robot0:grip").xmat.reshape(3, 3), pointing_down, atol=5e-3)


def test_links_are_those_of_gymnasium_robotics(push):
    nominal = fetch_task("fetch_push").model
    for name in ("robot0:shoulder_lift_link", "robot0:forearm_roll_link", "robot0:gripper_link"):
        np.testing.assert_array_equal(push.body(name).mass, nominal.body(name).mass)
        np.testing.assert_array_equal(push.body(name).inertia, nominal.body(name).inertia)
    np.testing.assert_array_equal(push.geom(OBJECT).size, nominal.geom(OBJECT).size)
    assert push.opt.timestep == nominal.opt.timestep == 0.002


def test_what_the_configuration_says_is_in_the_model(push):
    assert push.body(OBJECT).mass[0] == pytest.approx(0.7)
    # A cube's moment of inertia is m a^2 / 6, the prints on it weigh nothing.
    np.testing.assert_allclose(push.body(OBJECT).inertia, 0.7 * 0.05**2 / 6)
    assert push.body("robot0:r_gripper_finger_link").mass[0] == pytest.approx(0.2)
    assert table_top(push) == pytest.approx(0.42)
    touching = (push.geom_contype | push.geom_conaffinity).astype(bool)
    floor = push.geom("floor0").id
    assert all(push.geom_friction[i, 0] == 0.6 for i in np.flatnonzero(touching) if i != floor)


def test_only_the_hand_the_object_and_what_it_stands_on_can_touch(push):
    touching = np.flatnonzero(push.geom_contype | push.geom_conaffinity)
    hand = {f"robot0:{name}" for name in ("wrist_roll_link", "gripper_link")}
    hand |= {f"robot0:{side}_gripper_finger_link" for side in ("r", "l")}
    assert {push.body(push.geom_bodyid[i]).name for i in touching} == hand | {OBJECT, "table0", "world"}


def test_servo_gains_are_those_configured():
    control = JointControlConfig(stiffness=2000.0, damping=90.0, armature=0.8, friction_loss=0.2)
    model = scene("fetch_reach", replace(CONFIG, joint_control=control))
    servo = model.actuator("robot0:elbow_flex_joint")
    assert servo.gainprm[0] == 2000.0
    np.testing.assert_array_equal(servo.biasprm[:3], [0.0, -2000.0, -90.0])
    dof = model.joint("robot0:elbow_flex_joint").dofadr[0]
    assert (model.dof_armature[dof], model.dof_frictionloss[dof], model.dof_damping[dof]) == (0.8, 0.2, 0.0)


def test_single_servos_may_differ():
    control = JointControlConfig(stiffness=900.0, damping=30.0, viscous_friction=4.0)
    model = scene("fetch_reach", replace(CONFIG, servos={"elbow_flex_joint": control}))
    assert model.actuator("robot0:elbow_flex_joint").gainprm[0] == 900.0
    assert model.actuator("robot0:wrist_flex_joint").gainprm[0] == CONFIG.joint_control.stiffness
    assert model.joint("robot0:elbow_flex_joint").damping[0] == 4.0
    assert model.joint("robot0:wrist_flex_joint").damping[0] == 0.0
    with pytest.raises(UnknownNameError, match="unknown joint 'elbow_joint'; did you mean 'elbow_flex_joint'"):
        scene("fetch_reach", replace(CONFIG, servos={"elbow_joint": control}))


def test_the_puck_slides_as_in_gymnasium_robotics_but_for_the_configured_factor():
    model, nominal = scene("fetch_slide"), fetch_task("fetch_slide").model
    assert model.geom(OBJECT).friction[0] == pytest.approx(0.6 * nominal.geom(OBJECT).friction[0])
    np.testing.assert_array_equal(model.geom(OBJECT).size, nominal.geom(OBJECT).size)
    assert table_top(model) == pytest.approx(0.42)


def test_fingers_have_a_largest_force():
    finger = scene("fetch_pick_and_place", replace(CONFIG, finger_force=25.0)).actuator("robot0:r_gripper_finger_joint")
    np.testing.assert_array_equal(finger.forcerange, [-25.0, 25.0])
    assert finger.forcelimited


@pytest.mark.parametrize("field", ["object_mass", "friction", "finger_mass", "finger_force"])
def test_impossible_values_are_refused_by_name(field):
    with pytest.raises(ConfigurationError, match=f"robot.yaml: {field} must be above 0, found -1"):
        configuration.build(SceneConfig, {field: -1.0}, "robot.yaml")
    with pytest.raises(ConfigurationError, match="joint_control: stiffness must be above 0"):
        configuration.build(SceneConfig, {"joint_control": {"stiffness": 0.0}}, "robot.yaml")
