"""Pictures of the hand show the state that training begins in: object and goal where they are, as large as they are."""

from dataclasses import replace

import numpy as np
import pytest

from her_robot.domain_rand.preset import load_preset
from her_robot.domain_rand.rendering import RenderingConfig
from her_robot.sim.camera import OPTICAL_FROM_GL, CameraConfig
from her_robot.sim.goal_env import GoalEnv
from her_robot.sim.hand_scene import CAMERA
from her_robot.sim.hand_view import HandView

SIZE = 90, 120
# All else that is random in an image.
QUIET = CameraConfig(width=SIZE[1], height=SIZE[0], noise=0.0)


@pytest.fixture
def view(request):
    view = HandView(request.param, replace(load_preset("dactyl"), rendering=RenderingConfig()), QUIET)
    yield view
    view.close()


def _pixel(view, point):
    """Row and column of a point of the world."""
    camera = view.data.camera(CAMERA)
    seen = (camera.xmat.reshape(3, 3) @ OPTICAL_FROM_GL).T @ (point - camera.xpos)
    focal = SIZE[0] / 2 / np.tan(np.deg2rad(view.model.camera(CAMERA).fovy[0]) / 2)
    return SIZE[0] / 2 + focal * seen[1] / seen[2], SIZE[1] / 2 + focal * seen[0] / seen[2]


@pytest.mark.parametrize("view", ["hand_block", "hand_egg_rotate", "hand_pen"], indirect=True)
def test_object_and_goal_are_where_an_episode_has_them(view):
    task = view.contract.task
    env = GoalEnv(task, load_preset("dactyl"))
    for seed in range(2):
        observation, _ = env.reset(seed=seed)
        view.reset(seed)
        pose = np.concatenate([view.data.body("object").xpos, view.data.body("object").xquat])
        np.testing.assert_allclose(pose, observation["achieved_goal"], atol=1e-9)
        aside = [0.0 if view.contract.position_counts else 0.15, 0.0, 0.0]
        np.testing.assert_allclose(view.data.body("target").xpos, observation["desired_goal"][:3] + aside, atol=1e-9)
        size = env.drawn["physics"]["object_size"]
        assert view.model.geom("object").size[0] == pytest.approx(size * view.model.geom("target").size[0])
        for body in ("object", "target"):
            row, column = _pixel(view, view.data.body(body).xpos)
            assert 0 < row < SIZE[0]
            assert 0 < column < SIZE[1]
    env.close()


@pytest.mark.parametrize("view", ["hand_reach"], indirect=True)
def test_an_image_shows_where_fingertips_shall_go(view):
    view.reset(0)
    before = view.render().astype(int)
    goals = np.array([view.data.site(f"target{index}").xpos for index in range(5)])
    tips = np.array([view.data.site(f"robot0:S_{tip}").xpos for tip in ("fftip", "mftip", "rftip", "lftip", "thtip")])
    fingers = np.array([view.data.site(f"finger{index}").xpos for index in range(5)])
    np.testing.assert_allclose(fingers, tips, atol=1e-9)
    # The thumb and a finger meet; the others stay.
    assert sorted(np.linalg.norm(goals - tips, axis=1) > 0.01) == [False, False, False, True, True]
    for index in range(5):
        view.model.site(f"target{index}").rgba[3] = 0.0
    changed = np.argwhere(np.abs(view.render().astype(int) - before).max(axis=2) > 30)
    assert len(changed)
    pixels = np.array([_pixel(view, goal) for goal in goals])
    assert np.linalg.norm(changed[:, None] - pixels, axis=2).min(axis=1).max() < 5.0
