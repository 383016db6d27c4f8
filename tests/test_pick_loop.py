"""From camera images to a lifted block: everything that is deployed but the messages, under a scripted policy."""

import numpy as np
import pytest
from scripted_pick import LoopWithoutRos, ScriptedPick

from her_robot.sim.tasks import make_gymnasium_env


@pytest.fixture(scope="module")
def loop():
    loop = LoopWithoutRos(ScriptedPick())
    yield loop
    loop.close()


def test_the_scripted_policy_is_a_policy_of_the_unmodified_environment():
    env, policy = make_gymnasium_env("FetchPickAndPlace-v4"), ScriptedPick()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        for _ in range(policy.contract.episode_steps):
            observation, _, _, _, info = env.step(policy.act(observation["observation"], observation["desired_goal"]))
        assert info["is_success"], seed


@pytest.mark.parametrize("seed", [3, 5])
def test_blocks_are_lifted_to_goals_that_only_the_camera_has_seen(loop, seed):
    errors = []

    def watch(loop, command):
        truth, seen = loop.robot.ground_truth(), loop.controller.measured.object.state(loop.robot.time)
        if command.phase == "running" and truth.object_position[2] > 0.45:
            errors.append(np.linalg.norm(seen.position[0] - truth.object_position))

    assert loop.final_distance(seed, on_step=watch) < 0.05
    assert loop.robot.ground_truth().goal[2] > 0.45
    assert np.median(errors) < 0.01
    assert loop.controller.holds == 0


def test_a_stop_in_the_air_does_not_drop_the_block(loop):
    def stop_when_lifted(loop, command):
        if loop.robot.ground_truth().object_position[2] > 0.5:
            loop.controller.stop("button pressed")

    loop.final_distance(5, on_step=stop_when_lifted)
    assert loop.controller.stopped
    for _ in range(100):
        loop.tick()
    assert loop.robot.ground_truth().object_position[2] > 0.48
    loop.controller.rearm()
