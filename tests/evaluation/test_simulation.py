"""Evaluation in the unmodified environment, and in a randomised one."""

import json

import cv2
import numpy as np
import pytest

from her_robot.domain_rand.preset import load_preset
from her_robot.errors import ConfigurationError
from her_robot.evaluation.episodes import FIRST_SEED
from her_robot.evaluation.film import thumbnail
from her_robot.evaluation.simulation import evaluate_in_simulation, film_episode, last_image
from her_robot.policy.bundle import PolicyBundle, shipped_bundle
from her_robot.sim.goal_env import GoalEnv
from her_robot.sim.tasks import make_gymnasium_env


@pytest.fixture(scope="module")
def reach():
    return PolicyBundle.load(shipped_bundle("fetch_reach"), "fetch_reach")


def test_the_shipped_reach_policy_reaches(reach):
    summary = evaluate_in_simulation(reach, episodes=20).summary()
    assert summary["successes"] == 20
    assert summary["seeds"] == list(range(FIRST_SEED, FIRST_SEED + 20))
    assert summary["environment"] == "FetchReach-v4"
    assert summary["success_ci95"][1] == 1.0
    assert 0 < summary["final_distance"]["p50"] < 0.05


def test_it_is_the_last_step_that_counts(reach):
    evaluation = evaluate_in_simulation(reach, episodes=2, first_seed=7)
    env = make_gymnasium_env("FetchReach-v4")
    for episode in evaluation.episodes:
        observation, _ = env.reset(seed=episode.seed)
        for _ in range(50):
            action = reach.act(observation["observation"], observation["desired_goal"])
            observation, _, _, truncated, info = env.step(action)
        assert truncated
        assert episode.success == bool(info["is_success"])
        distance = np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"])
        assert episode.final_distance == pytest.approx(distance)
        assert len(episode.distances) == 50


def test_randomised(reach):
    evaluation = evaluate_in_simulation(reach, 3, randomization=load_preset("robot_loop_reach"))
    summary = evaluation.summary()
    assert summary["environment"] == "fetch_reach, randomised"
    assert len(evaluation.episodes) == len(summary["drawn"]) == 3
    env = GoalEnv("fetch_reach", load_preset("robot_loop_reach"))
    for seed, drawn in zip(summary["seeds"], summary["drawn"], strict=True):
        env.reset(seed=seed)
        assert env.drawn == drawn
    json.dumps(summary)


def test_video(reach, tmp_path):
    path = tmp_path / "films" / "reach.mp4"
    evaluate_in_simulation(reach, episodes=1, video=path)
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 50
    readable, frame = film.read()
    assert readable
    assert frame.std() > 10


def test_the_gripper_is_followed_where_the_truth_is_known(reach):
    evaluation = evaluate_in_simulation(reach, episodes=1)
    (episode,) = evaluation.episodes
    assert len(episode.grip_positions) == len(episode.distances) == 50
    summary = evaluation.summary()
    assert -4.0 < summary["smoothness"]["p50"] < -1.3
    assert 0.0 < summary["time_to_goal_s"]["p50"] < 1.0
    assert "safety" not in summary
    noisy = evaluate_in_simulation(reach, 1, randomization=load_preset("robot_loop_reach"))
    assert noisy.summary()["smoothness"]["p50"] is None


def test_an_observer_ends_it(reach):
    assert len(evaluate_in_simulation(reach, 9, on_episode=lambda episode: episode.seed > FIRST_SEED).episodes) == 2


def test_an_episode_is_filmed(reach):
    film = film_episode(reach, 3)
    assert (film.seed, len(film.frames), film.frames_per_second) == (3, 50, 25.0)
    last = thumbnail(last_image(reach, 3))
    assert np.abs(last.astype(int) - film.frames[-1]).mean() < 1.0
    assert np.abs(last.astype(int) - film.frames[0]).mean() > 0.05


@pytest.mark.parametrize(("episodes", "seed"), [(0, 5), (3, -1)])
def test_impossible_numbers(reach, episodes, seed):
    with pytest.raises(ConfigurationError):
        evaluate_in_simulation(reach, episodes, seed)
