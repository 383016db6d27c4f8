from dataclasses import replace

import numpy as np
import pytest

from her_robot.contract import FETCH_CONTRACTS, contract_of
from her_robot.robot.calibration import load_calibration
from her_robot.robot.marker_bodies import rotation_about_z
from her_robot.robot.markers import face_rotation
from her_robot.robot.scene_estimate import EstimatorConfig, SceneEstimator
from her_robot.sim.robot import ARMS, SimulatedRobot

TABLE_HEIGHT, HALF_CUBE = 0.40, 0.025


@pytest.fixture(scope="module")
def calibration():
    return load_calibration("fetch_sim")


@pytest.fixture
def scene(calibration, synthetic_scene):
    return synthetic_scene(calibration)


@pytest.fixture
def push(calibration):
    return SceneEstimator(calibration, contract_of("fetch_push"))


@pytest.fixture
def reach(calibration):
    return SceneEstimator(calibration, contract_of("fetch_reach"))


def cube_at(x: float, y: float, yaw: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x, y, TABLE_HEIGHT + HALF_CUBE]), rotation_about_z(yaw)


def tile_at(x: float, y: float, yaw: float = -0.5) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x, y, TABLE_HEIGHT]), rotation_about_z(yaw)


def pitched(angle):
    """Leaning back, towards the robot."""
    return np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])


def test_object_and_goal_are_where_they_are(push, scene):
    random = np.random.default_rng(0)
    for k in range(10):
        push.reset()
        cube = cube_at(random.uniform(0.52, 0.82), random.uniform(-0.15, 0.0), random.uniform(-np.pi, np.pi))
        tile = tile_at(random.uniform(0.52, 0.82), random.uniform(0.1, 0.15), random.uniform(-np.pi, np.pi))
        estimate = push.process(scene.render(cube, tile), float(k))
        np.testing.assert_allclose(estimate.object.position, cube[0], atol=0.0005)
        np.testing.assert_allclose(estimate.object.rotation, cube[1], atol=np.deg2rad(1.0))
        np.testing.assert_allclose(estimate.goal.position, tile[0] + [0, 0, HALF_CUBE], atol=0.0005)
        error = estimate.object.position - cube[0]
        assert np.all(np.abs(error) < 5 * np.sqrt(np.diag(estimate.object.covariance)[:3]))
    assert push.counts["object"].seen == push.counts["goal"].seen == 10


@pytest.mark.parametrize(
    ("face", "yaw"), [("top", 0.7), ("back", 0.3), ("front", np.pi - 0.3), ("left", np.pi / 2), ("right", -np.pi / 2)]
)
def test_any_one_face_is_enough(calibration, synthetic_scene, face, yaw):
    cube_markers = calibration.markers.object
    one_face = replace(cube_markers, faces={face: cube_markers.faces[face]})
    calibration = replace(calibration, markers=replace(calibration.markers, object=one_face))
    cube = cube_at(0.66, 0.04, yaw)
    image = synthetic_scene(calibration).render(cube)
    estimate = SceneEstimator(calibration, contract_of("fetch_push")).process(image, 0.0)
    assert estimate.object is not None
    np.testing.assert_allclose(estimate.object.position, cube[0], atol=0.002)
    np.testing.assert_allclose(estimate.object.rotation, cube[1], atol=np.deg2rad(3.0))


def test_goal_is_seen_under_the_object_that_reached_it(push, scene):
    estimate = push.process(scene.render(cube_at(0.66, 0.0), tile_at(0.66, 0.0)), 0.0)
    np.testing.assert_allclose(estimate.goal.position, estimate.object.position, atol=0.001)


def test_floating_goal_is_the_centre_of_the_tile(reach, scene):
    random = np.random.default_rng(0)
    for k in range(8):
        reach.reset()
        position = random.uniform([0.52, -0.15, 0.43], [0.8, 0.15, 0.68])
        rotation = pitched(random.uniform(0.0, 0.8)) @ rotation_about_z(random.uniform(-np.pi, np.pi))
        estimate = reach.process(scene.render(tile_pose=(position, rotation)), float(k))
        assert estimate.object is None
        np.testing.assert_allclose(estimate.goal.position, position, atol=0.002)
        np.testing.assert_allclose(estimate.goal.rotation, rotation, atol=np.deg2rad(3.0))


def test_nothing_in_sight_is_missed(push, scene):
    image = scene.render()
    image[200:300, 200:300] = 0
    estimate = push.process(image, 0.0)
    assert estimate.outcomes == {"object": "missed", "goal": "missed"}
    assert estimate.object is None
    assert estimate.goal is None
    assert push.marker_counts[0].missed == 1


def test_what_is_off_the_table_is_rejected(push, scene):
    estimate = push.process(scene.render(cube_at(0.60, 0.37)), 0.0)
    assert estimate.outcomes["object"] == "off the table"
    assert estimate.object is None
    assert push.counts["object"].rejected == {"off the table": 1}
    assert push.marker_counts[0].rejected == {"off the table": 1}


def test_a_leaning_object_is_rejected(push, scene):
    position, _ = cube_at(0.66, 0.0)
    outcome = push.process(scene.render((position, pitched(0.5))), 0.0).outcomes["object"]
    assert outcome in ("not upright", "reprojection error")


@pytest.mark.parametrize("task", ["fetch_push", "fetch_pick_and_place"])
@pytest.mark.parametrize("side", ["front", "back", "left", "right", "bottom"])
def test_a_cube_that_fell_is_seen_where_it_lies_until_it_stands_again(synthetic_scene, task, side):
    calibration = load_calibration("fetch_sim", task)
    estimator, scene = SceneEstimator(calibration, contract_of(task)), synthetic_scene(calibration)
    position, upright = cube_at(0.66, 0.04, 0.5)
    # The side that is on top now.
    fallen = rotation_about_z(0.5) @ face_rotation(side).T
    for time, rotation in enumerate((upright, fallen, fallen, upright)):
        estimate = estimator.process(scene.render((position, rotation)), float(time))
        assert estimate.outcomes["object"] == "seen"
        np.testing.assert_allclose(estimate.object.position, position, atol=0.001)
        np.testing.assert_allclose(estimate.object.rotation, rotation, atol=np.deg2rad(2.0))


def test_one_marker_in_two_places_is_rejected(push, scene):
    left, right = scene.render(cube_at(0.66, 0.1)), scene.render(cube_at(0.66, -0.1))
    both = np.concatenate([left[:, :320], right[:, 320:]], axis=1)
    assert push.process(both, 0.0).outcomes["object"] == "one marker seen twice"


def test_a_jump_is_believed_when_it_repeats(push, scene):
    here, there = scene.render(cube_at(0.6, 0.0)), cube_at(0.75, 0.1)
    outcomes = [push.process(here, 0.0).outcomes["object"]]
    outcomes += [push.process(scene.render(there), 0.02 * k).outcomes["object"] for k in (1, 2, 3)]
    assert outcomes == ["seen", "jumped", "jumped", "seen"]


def test_reset_forgets_the_last_pose(push, scene):
    push.process(scene.render(cube_at(0.6, 0.0)), 10.0)
    push.reset()
    assert push.process(scene.render(cube_at(0.75, 0.1)), 1.0).outcomes["object"] == "seen"
    assert push.counts["object"].seen == 2


def test_goal_is_filtered_and_object_is_not(push, synthetic_scene, calibration):
    scene = synthetic_scene(calibration, noise=6.0)
    positions = []
    for k in range(12):
        estimate = push.process(scene.render(cube_at(0.6 + 0.003 * k, -0.1), tile_at(0.7, 0.1)), k / 15)
        positions.append((estimate.object.position, estimate.goal.position))
    objects, goals = (np.array(column) for column in zip(*positions, strict=True))
    np.testing.assert_allclose(objects[:, 0], 0.6 + 0.003 * np.arange(12), atol=0.001)
    assert np.ptp(goals[6:], axis=0).max() < 0.0003


def test_unusable_images_and_a_turned_head_give_no_pose(push, scene, calibration):
    image = scene.render(cube_at(0.66, 0.0), tile_at(0.7, 0.1))
    calibrated = calibration.hand_eye.joint_positions
    cases = [
        (image[:240], calibrated, "image not as calibrated"),
        (image // 10, calibrated, "image too dark"),
        (image, {}, "torso_lift_joint not measured"),
        (image, calibrated | {"head_tilt_joint": 0.0}, "head_tilt_joint not as calibrated"),
    ]
    for k, (bad, joint_positions, problem) in enumerate(cases):
        estimate = push.process(bad, float(k), joint_positions)
        assert estimate.problem == problem
        assert estimate.object is None
        assert estimate.goal is None
        assert estimate.outcomes == {"object": problem, "goal": problem}
    assert push.process(image, 3.0, calibrated).problem == "image not newer than the last"
    assert push.process(image, 4.0, calibrated).object is not None
    assert sum(push.counts["object"].rejected.values()) == 5


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_poses_agree_with_the_simulated_robot(task):
    calibration = load_calibration("fetch_sim", task)
    robot = SimulatedRobot(ARMS.load("fetch"), task, seed=0)
    estimator, base = SceneEstimator(calibration, robot.contract), np.array(robot.contract.base_position)
    seen = 0
    for seed in range(15):
        robot.reset(seed)
        estimator.reset()
        truth = robot.ground_truth()
        if truth.goal[2] < TABLE_HEIGHT + 0.01:  # the tile is in the table
            continue
        seen += 1
        estimate = estimator.process(robot.render(), robot.time)
        assert set(estimate.outcomes.values()) == {"seen"}
        assert estimate.goal is not None
        np.testing.assert_allclose(estimate.goal.position + base, truth.goal, atol=0.0015)
        if truth.object_position is not None and truth.object_quaternion is not None:
            assert estimate.object is not None
            np.testing.assert_allclose(estimate.object.position + base, truth.object_position, atol=0.001)
            w, _, _, z = truth.object_quaternion
            np.testing.assert_allclose(estimate.object.rotation, rotation_about_z(2 * np.arctan2(z, w)), atol=0.02)
    robot.close()
    assert seen >= 10


@pytest.fixture
def pick(calibration):
    return SceneEstimator(load_calibration("fetch_sim", "fetch_pick_and_place"), contract_of("fetch_pick_and_place"))


@pytest.fixture
def pick_scene(synthetic_scene):
    return synthetic_scene(load_calibration("fetch_sim", "fetch_pick_and_place"))


def test_an_object_in_the_air_is_where_it_is(pick, pick_scene):
    random = np.random.default_rng(0)
    for k in range(10):
        pick.reset()
        position = random.uniform([0.52, -0.15, 0.46], [0.8, 0.15, 0.80])
        rotation = pitched(random.uniform(-0.05, 0.05)) @ rotation_about_z(random.uniform(-0.3, 0.3))
        estimate = pick.process(pick_scene.render((position, rotation)), float(k))
        assert estimate.object is not None, estimate.outcomes
        np.testing.assert_allclose(estimate.object.position, position, atol=0.004)
        np.testing.assert_allclose(estimate.object.rotation, rotation, atol=np.deg2rad(4.0))
        error = estimate.object.position - position
        assert np.all(np.abs(error) < 6 * np.sqrt(np.diag(estimate.object.covariance)[:3]))


def test_one_face_is_enough_in_the_air_too(synthetic_scene):
    calibration = load_calibration("fetch_sim", "fetch_pick_and_place")
    for face in ("top", "back"):
        markers = calibration.markers.object
        one_face = replace(calibration.markers, object=replace(markers, faces={face: markers.faces[face]}))
        own = replace(calibration, markers=one_face)
        cube = np.array([0.66, 0.04, 0.55]), rotation_about_z(0.1)
        estimate = SceneEstimator(own, contract_of("fetch_pick_and_place")).process(
            synthetic_scene(own).render(cube), 0.0
        )
        assert estimate.object is not None, (face, estimate.outcomes)
        np.testing.assert_allclose(estimate.object.position, cube[0], atol=0.006)


def test_on_the_table_the_height_is_known(pick, pick_scene):
    for k, height in enumerate((0.0, 0.003)):
        cube = cube_at(0.66, 0.04)[0] + [0.0, 0.0, height], rotation_about_z(0.3)
        estimate = pick.process(pick_scene.render(cube, tile_at(0.7, 0.12)), float(k))
        assert estimate.object.position[2] == TABLE_HEIGHT + HALF_CUBE
        np.testing.assert_allclose(estimate.goal.position, [0.7, 0.12, TABLE_HEIGHT + HALF_CUBE], atol=0.001)


@pytest.mark.parametrize("height", [0.026, 0.2, 0.45])
def test_a_tile_in_the_air_is_the_goal_itself(pick, pick_scene, height):
    tile = np.array([0.7, 0.1, TABLE_HEIGHT + height]), rotation_about_z(0.4)
    estimate = pick.process(pick_scene.render(tile_pose=tile), 0.0)
    np.testing.assert_allclose(estimate.goal.position, tile[0], atol=0.002)


def test_an_object_that_leans_far_is_rejected_in_the_air_too(pick, pick_scene):
    image = pick_scene.render((np.array([0.66, 0.0, 0.6]), pitched(0.7)))
    assert pick.process(image, 0.0).outcomes["object"] == "not upright"


def test_tally_adds_up(push, scene):
    push.process(scene.render(cube_at(0.66, 0.0)), 0.0)
    push.process(scene.render(cube_at(0.60, 0.37), tile_at(0.7, 0.1)), 1.0)
    push.refuse(2.0, "encoding")
    tally = push.tally()
    assert (tally["seen"], tally["missed"], tally["rejected"]) == (2, 1, 3)
    assert tally["object.rejected.off the table"] == tally["object.rejected.encoding"] == 1
    for name in ("object", "goal", "marker_0", "marker_13"):
        assert tally[f"{name}.seen"] + tally[f"{name}.missed"] + tally[f"{name}.rejected"] == 3


@pytest.mark.parametrize(
    ("name", "value"), [("jump_repeats", 0), ("pixel_noise", -1.0), ("goal_time_constant", np.nan)]
)
def test_impossible_configuration_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        EstimatorConfig(**{name: value})
