"""What one parameter does by itself is told apart from what another does."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from her_robot.domain_rand.preset import load_preset
from her_robot.policy.bundle import PolicyBundle, shipped_bundle

example = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "examples" / "randomization_effects.py")))


def test_every_entry_of_peng_but_noise_changes_the_motion():
    policy = PolicyBundle.load(shipped_bundle("fetch_push"), "fetch_push")
    nominal = example.play(policy, None, 4)
    changes = {}
    for name, part in example.parts(load_preset("peng2017")):
        again = example.play(policy, part, 4, nominal.actions)
        changes[name] = np.abs(again.grip - nominal.grip).max()
    assert changes.pop("`sensing`") == 0.0
    assert len(changes) == 9
    assert min(changes.values()) > 1e-6
