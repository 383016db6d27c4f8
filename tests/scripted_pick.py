"""A pick-and-place policy written by hand, in the place of a trained one, and a loop without ROS to run it in."""

import numpy as np

from her_robot.contract import contract_of
from her_robot.evaluation.deployed_loop import DeployedLoop
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.guide import guide_pick


class ScriptedPick(PolicyBundle):
    """The guide of pick and place as a policy; a function of what is observed alone."""

    def __init__(self):
        super().__init__(contract_of("fetch_pick_and_place"), {}, {})

    def act(self, observation, desired_goal, memory=None):
        return guide_pick(self.contract, observation[None], desired_goal[None])[0].astype(np.float32)


class LoopWithoutRos(DeployedLoop):
    """Simulated robot, camera images, estimator and controller, as the nodes connect them, in one process."""

    def final_distance(self, seed, steps=100, on_step=lambda loop, command: None):
        """The true distance to the goal at the end of an episode [m], or inf where the arm was stopped before."""
        for command, _ in self.play(seed, steps):
            on_step(self, command)
            if self.controller.stopped:
                return np.inf
        truth = self.robot.ground_truth()
        return float(np.linalg.norm(truth.achieved_goal - truth.goal))
