"""Training configurations: presets load, mistakes are refused by name."""

import pytest

from her_robot import resources
from her_robot.contract import CONTRACTS
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.policy.config import load_config


@pytest.mark.parametrize("task", CONTRACTS)
def test_every_task_has_a_preset_and_takes_the_published_one(task):
    assert load_config(task, None, []).task == task
    published = load_config(task, "published", [])
    assert published.agent.polyak == 0.95
    assert published.agent.action_l2 == 1.0
    assert published.network.hidden_sizes == (256, 256, 256)
    assert published.relabel.future == 0.8
    assert (published.exploration.noise, published.exploration.random_action) == (0.2, 0.3)
    # 19 workers, 2 episodes and batches of 256 each; 50 epochs of 50 cycles.
    assert (published.num_envs, published.batch_size) == (19 * 2, 19 * 256)
    assert published.total_steps == 50 * 50 * 38 * 50


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("agent.gama=0.9", r"unknown key 'gama'; did you mean 'gamma'"),
        ("agent.gamma=high", r"agent: gamma: expected float, found 'high'"),
        ("agent.gamma=1.5", r"agent.gamma must lie between 0 and 1"),
        ("num_envs=0", r"num_envs must be above 0"),
        ("relabel.future=2", r"relabel.future must lie in \[0, 1\]"),
        ("relabel.final=0.5", r"relabel \(their sum\) must lie in \[0, 1\], found 1.3"),
        ("agent.algorithm=ppo", r"'ppo' is not one of ddpg, td3, sac"),
        ("agent.n_step=0", r"n_step must be above 0"),
        ("device=tpu", r"'tpu' is not one of cpu, cuda"),
        ("buffer_steps=10", r"buffer_steps is 10; one cycle"),
        ("episode_steps=-1", r"episode_steps must not be negative, found -1"),
        ("network.hidden_sizes=[]", r"hidden_sizes must be positive"),
        ("agent.gamma.x=1", r"'gamma' is a value, not a section"),
        ("gamma", r"expected key=value"),
    ],
)
def test_wrong_overrides(override, message):
    with pytest.raises(ConfigurationError, match=message):
        load_config("fetch_push", None, [override])


def test_a_guide_only_where_there_is_one():
    with pytest.raises(ConfigurationError, match=r"fetch_reach has no guide; tasks with one: fetch_push, fetch_pick"):
        load_config("fetch_reach", None, ["exploration.guided_episodes=0.5"])


@pytest.mark.parametrize(
    "override",
    [
        "network.positions=relative",
        "network.positions=reach",
        "replay.mirrored=true",
        "exploration.approach_episodes=0.5",
    ],
)
def test_what_knows_a_table_is_refused_for_the_hand(override):
    with pytest.raises(ConfigurationError, match=r"is for a gripper at a table, and hand_block is a task of the hand"):
        load_config("hand_block", None, [override])


@pytest.mark.parametrize(
    ("task", "overrides", "message"),
    [
        ("hand_reach", ["network.nearest_side=true"], r"is for an object that .*; hand_reach has none"),
        ("hand_block", ["network.nearest_side=true", "network.goal_difference=false"], r"goal_difference must be true"),
        ("fetch_slide", ["network.goal_difference=false"], r"positions is reach: network.goal_difference must be true"),
        ("hand_reach", ["agent.imitation=1", "agent.imitation_of=guide"], r"hand_reach has no guide"),
        (
            "hand_reach",
            ["agent.imitation=1", "agent.imitation_of=hindsight", "network.recurrent=lstm"],
            r"must be guide",
        ),
        ("fetch_push", ["exploration.continued_episodes=0.5"], r"is for tasks of the hand, and fetch_push is one of a"),
        ("hand_reach", ["exploration.continued_episodes=1.5"], r"continued_episodes must lie in \[0, 1\], found 1.5"),
        ("fetch_push", ["replay.tolerance=1.5"], r"replay.tolerance must lie in \[0, 1\], found 1.5"),
        ("fetch_push", ["replay.tolerance=0"], r"replay.tolerance must be above 0"),
        ("hand_reach", ["exploration.hold_steps=0"], r"exploration.hold_steps must be above 0"),
    ],
)
def test_what_does_not_go_together(task, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        load_config(task, None, overrides)


def test_variants_take_the_preset_of_their_task():
    variant = load_config("hand_egg_rotate_touch", None, [])
    assert variant.task == "hand_egg_rotate_touch"
    assert variant.replay.end_when_lost
    assert load_config("hand_reach_relative", None, ["total_steps=9"]).total_steps == 9


def test_unknown_task_and_preset():
    with pytest.raises(UnknownNameError, match="did you mean 'fetch_push'"):
        load_config("fetch_psh", None, [])
    with pytest.raises(UnknownNameError, match=r"unknown training preset 'publish'.*published"):
        load_config("fetch_push", "publish", [])


def test_a_configuration_for_another_task():
    path = resources.share_directory() / "config" / "train" / "fetch_reach.yaml"
    with pytest.raises(ConfigurationError, match="is for task 'fetch_reach', not 'fetch_push'"):
        load_config("fetch_push", str(path), [])


@pytest.mark.parametrize(
    "override", ["network.asymmetric=true", "adr.enabled=true", "exploration.continued_episodes=0.5"]
)
def test_what_the_simulation_on_a_gpu_does_not_know_is_refused(override):
    with pytest.raises(ConfigurationError, match="is not known to sim=warp yet"):
        load_config("fetch_push", None, ["sim=warp", override])
