"""Policy bundles: the same actions as the network, and refusal of whatever does not match."""

import json
import shutil

import numpy as np
import pytest

from her_robot import resources
from her_robot.contract import CONTRACTS, FETCH_CONTRACTS
from her_robot.errors import BundleError, UnknownNameError
from her_robot.policy.bundle import PolicyBundle, shipped_bundle
from her_robot.policy.config import load_config
from her_robot.policy.export import export_bundle
from her_robot.policy.learner import Learner
from her_robot.policy.replay import Episodes

NETWORK = ["network.hidden_sizes=[32, 16]", "network.layer_norm=true", "network.goal_difference=true"]


def _learner(*overrides, task="fetch_push", steps=50):
    config = load_config(task, "published", [*NETWORK, *overrides])
    contract = CONTRACTS[task]
    learner = Learner(contract, config)
    rng = np.random.default_rng(0)
    learner.take_in(
        Episodes(
            rng.normal(size=(4, steps + 1, contract.observation_size)).astype(np.float32),
            rng.normal(size=(4, steps + 1, contract.goal_size)).astype(np.float32),
            rng.normal(size=(4, contract.goal_size)).astype(np.float32),
            rng.uniform(-1, 1, (4, steps, contract.action_size)).astype(np.float32),
        )
    )
    return learner, config


@pytest.fixture
def bundle_directory(tmp_path):
    from her_robot.domain_rand.preset import load_preset

    learner, config = _learner()
    export_bundle(learner, config, load_preset("robot_loop")).save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    "override",
    [
        "network.layer_norm=false",
        "network.positions=relative",
        "network.goal_difference=false",
        "agent.algorithm=td3",
        "agent.algorithm=sac",
    ],
)
def test_acts_as_the_network_does(tmp_path, override):
    from her_robot.domain_rand.preset import load_preset

    learner, config = _learner(override)
    export_bundle(learner, config, load_preset("none")).save(tmp_path)
    bundle = PolicyBundle.load(tmp_path, "fetch_push")
    rng = np.random.default_rng(1)
    observation, goal = rng.normal(size=(9, 25)), rng.normal(size=(9, 3))
    acted = learner.policy().act(observation, goal, learner.policy().memory())
    np.testing.assert_allclose(bundle.act(observation, goal), acted, atol=1e-5)
    np.testing.assert_allclose(bundle.act(observation[0], goal[0]), bundle.act(observation, goal)[0], atol=1e-6)


@pytest.mark.parametrize("override", ["network.nearest_side=true", "network.goal_reach=5"])
def test_a_block_as_the_network_does(tmp_path, override):
    from her_robot.domain_rand.preset import load_preset

    task = "hand_block_rotate_z"
    learner, config = _learner(override, task=task, steps=100)
    export_bundle(learner, config, load_preset("none")).save(tmp_path)
    bundle = PolicyBundle.load(tmp_path, task)
    rng = np.random.default_rng(1)
    observation, goal = rng.normal(size=(50, bundle.contract.observation_size)), rng.normal(size=(50, 7))
    acted = learner.policy().act(observation, goal, learner.policy().memory())
    np.testing.assert_allclose(bundle.act(observation, goal), acted, atol=1e-4)
    np.testing.assert_allclose(bundle.act(observation[0], goal[0]), bundle.act(observation, goal)[0], atol=1e-5)


@pytest.fixture
def remembering(tmp_path):
    """A learner whose policy remembers, and the folder of its bundle."""
    from her_robot.domain_rand.preset import load_preset

    learner, config = _learner("network.history=3", "network.positions=relative")
    export_bundle(learner, config, load_preset("none")).save(tmp_path / "remembering")
    return learner, tmp_path / "remembering"


def _differing_actions(bundle, policy, steps=8):
    """Largest difference between a bundle and a policy over two episodes that they play from the same observations."""
    rng, worst = np.random.default_rng(2), 0.0
    memories = bundle.memory(), policy.memory()
    for _ in range(2):
        goal = rng.normal(size=(5, 3))
        for memory in memories:
            memory.reset()
        for observation in rng.normal(size=(steps, 5, 25)):
            actions = bundle.act(observation, goal, memories[0]), policy.act(observation, goal, memories[1])
            worst = max(worst, np.abs(actions[0] - actions[1]).max())
    return worst


def test_remembers_as_the_network_does(remembering):
    learner, directory = remembering
    bundle = PolicyBundle.load(directory, "fetch_push")
    assert bundle.remembers.history == 3
    assert bundle.tensors["golden.observation"].shape == (4, 50, 25)
    assert _differing_actions(bundle, learner.policy()) < 1e-5
    # The memory has a part in it.
    observation, goal = np.zeros(25), np.zeros(3)
    memory = bundle.memory()
    first, second = (bundle.act(observation, goal, memory) for _ in range(2))
    assert not np.array_equal(first, second)
    memory.reset()
    np.testing.assert_array_equal(bundle.act(observation, goal, memory), first)


def test_a_policy_that_remembers_is_not_run_without_its_memory(remembering):
    bundle = PolicyBundle.load(remembering[1])
    with pytest.raises(ValueError, match=r"give act\(\) the same memory\(\)"):
        bundle.act(np.zeros(25), np.zeros(3))


def test_what_is_remembered_must_be_said_and_known(remembering):
    _, directory = remembering
    assert json.loads((directory / "policy.json").read_text())["memory"]["history"] == 3
    for memory, message in [(None, "expected a mapping"), ({"dreams": 2}, "unknown key 'dreams'")]:
        _edit(directory, memory=memory)
        _rehash(directory)
        with pytest.raises(BundleError, match=rf"policy.json: memory: {message}"):
            PolicyBundle.load(directory)
    _edit(directory, memory={"history": 2})
    _rehash(directory)
    with pytest.raises(BundleError, match="the tensors do not make a policy"):
        PolicyBundle.load(directory)


def test_one_that_remembers_nothing_is_read_by_earlier_versions(bundle_directory):
    content = json.loads((bundle_directory / "policy.json").read_text())
    assert content["format_version"] == 1
    assert "memory" not in content


def test_the_card_says_how_it_was_made(bundle_directory):
    card = PolicyBundle.load(bundle_directory).card
    assert card["training"]["task"] == "fetch_push"
    assert card["randomization"]["physics"]["object_mass"]["distribution"] == "log_uniform"
    assert "mujoco" in card["versions"]


def test_wrong_sizes_are_refused(bundle_directory):
    bundle = PolicyBundle.load(bundle_directory)
    with pytest.raises(ValueError, match=r"sizes \(24, 3\); fetch_push has \(25, 3\)"):
        bundle.act(np.zeros(24), np.zeros(3))


def _edit(directory, **changes):
    path = directory / "policy.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _rehash(directory):
    from her_robot.policy.bundle import _content_hash

    path = directory / "policy.json"
    content = json.loads(path.read_text())
    content["sha256"] = _content_hash(content)
    path.write_text(json.dumps(content))


def test_another_task_is_refused(bundle_directory):
    with pytest.raises(BundleError, match="a policy for fetch_push, not for fetch_reach"):
        PolicyBundle.load(bundle_directory, "fetch_reach")


def test_altered_json_is_refused(bundle_directory):
    _edit(bundle_directory, versions={"mujoco": "0.1"})
    with pytest.raises(BundleError, match="altered since it was written"):
        PolicyBundle.load(bundle_directory)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated_tensors_are_refused(bundle_directory, keep):
    path = bundle_directory / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="truncated or altered"):
        PolicyBundle.load(bundle_directory)


def test_truncated_json_is_refused(bundle_directory):
    path = bundle_directory / "policy.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(BundleError, match="truncated or not JSON"):
        PolicyBundle.load(bundle_directory)


def test_another_version_is_refused(bundle_directory):
    _edit(bundle_directory, format_version=99)
    with pytest.raises(BundleError, match="format version 99, this her_robot reads version 1 and 2"):
        PolicyBundle.load(bundle_directory)


def test_another_contract_is_refused_with_the_field(bundle_directory):
    contract = json.loads((bundle_directory / "policy.json").read_text())["contract"]
    _edit(bundle_directory, contract={**contract, "control_period": 0.05})
    _rehash(bundle_directory)
    with pytest.raises(BundleError, match=r"another contract:\n  control_period: expected 0.04, found 0.05"):
        PolicyBundle.load(bundle_directory)


def test_a_golden_trace_that_differs_is_refused(bundle_directory):
    import hashlib

    import safetensors.numpy

    path = bundle_directory / "policy.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["layer2.bias"] = tensors["layer2.bias"] + 0.5
    path.write_bytes(safetensors.numpy.save(tensors))
    _edit(bundle_directory, tensors_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    _rehash(bundle_directory)
    with pytest.raises(BundleError, match="the golden trace is off by"):
        PolicyBundle.load(bundle_directory)


def test_a_missing_bundle_says_what_one_is(tmp_path):
    with pytest.raises(BundleError, match=r"a policy bundle is a folder with policy\.json"):
        PolicyBundle.load(tmp_path / "nowhere")


@pytest.mark.parametrize("task", [*FETCH_CONTRACTS, "hand_reach", "hand_block_rotate_z"])
def test_shipped_bundles_load_and_carry_their_measurements(task):
    bundle = PolicyBundle.load(shipped_bundle(task), task)
    success = bundle.card["success"]
    assert success["episodes"] >= 200
    assert success["success_ci95"][0] <= success["success_rate"] <= success["success_ci95"][1]
    assert min(success["seeds"]) >= 1_000_000
    assert "policy" not in success
    assert bundle.card["command"].startswith("her-robot train")
    assert bundle.card["run"]["wall_s"] > 0


def test_unknown_task_and_missing_shipment(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="fetch_reach"):
        shipped_bundle("fetch_fly")
    shutil.copytree(resources.share_directory() / "config", tmp_path / "config")
    (tmp_path / "policies").mkdir()
    monkeypatch.setattr(resources, "share_directory", lambda: tmp_path)
    with pytest.raises(BundleError, match="train one with `her-robot train fetch_push`"):
        shipped_bundle("fetch_push")
