"""The deployed path without ROS, for every kind of robot: does what the policy wants happen?"""

import numpy as np
import pytest

from her_robot.contract import HAND_CONTRACTS, contract_of, goal_distance, term_slice
from her_robot.evaluation.deployed_loop import DeployedLoop
from her_robot.policy.bundle import PolicyBundle, shipped_bundle


@pytest.fixture
def loop(request):
    """A loop with the policy that ships for a task, or one that is given."""
    policy = request.param
    bundle = PolicyBundle.load(shipped_bundle(policy)) if isinstance(policy, str) else policy
    loop = DeployedLoop(bundle)
    yield loop
    loop.close()


class _Recorded(PolicyBundle):
    """Holds a block where it lies, and keeps what it was shown."""

    def __init__(self):
        super().__init__(contract_of("hand_block_rotate_z"), {}, {})
        object.__setattr__(self, "shown", [])

    def act(self, observation, desired_goal, memory=None):
        self.shown.append((observation, desired_goal))
        return np.zeros(self.contract.action_size, np.float32)


@pytest.mark.parametrize("loop", ["fetch_reach", "hand_reach"], indirect=True)
def test_a_goal_comes_nearer(loop):
    begun = loop.robot.ground_truth()
    for command, _ in loop.play(seed=5, steps=40):
        assert command.joints is not None
    truth = loop.robot.ground_truth()
    assert truth.time > begun.time
    assert loop.controller.holds == 0
    achieved, goal = (
        (truth.achieved_goal, truth.goal) if hasattr(truth, "grip_position") else (truth.achieved, truth.goal)
    )
    assert np.linalg.norm(achieved - goal, axis=-1).max() < 0.03


@pytest.mark.parametrize("loop", [_Recorded()], indirect=True)
def test_a_policy_is_shown_how_the_block_lies_and_shall_lie(loop):
    """By three cameras, within what docs/shadow_hand.md says of them, and with the goal's own sign."""
    contract = loop.controller.contract
    played = list(loop.play(seed=2, steps=20))
    assert len(played) == 20
    truth = loop.robot.ground_truth()
    observation, goal = loop.controller.bundle.shown[-1]
    np.testing.assert_allclose(goal, truth.goal, atol=1e-6)
    seen = observation[term_slice(contract, "object_pose")]
    # Of the full task, a tolerance is 10 mm or 0.1 rad.
    assert goal_distance(HAND_CONTRACTS["hand_block"], seen, truth.achieved) < 0.5
    assert len(loop.camera_ms) > 40
