"""Parts of a preset's ranges: hand-computed limits, and episodes that are drawn from them."""

from dataclasses import replace

import numpy as np
import pytest

from her_robot.contract import CONTRACTS
from her_robot.domain_rand.actuation import ActuationConfig
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.narrowing import Narrowing
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.domain_rand.pushes import PushConfig
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.domain_rand.timing import TimingConfig
from her_robot.domain_rand.variation import Variation
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.tasks import fetch_task

PRESET = RandomizationPreset(
    nominal_fraction=0.5,
    physics={
        "object_mass": Variation(0.25, 4.0, distribution="log_uniform"),
        "kept": Variation(0.5, 1.0, parameter="friction", when="step"),
        "table_height": Variation(-0.01, 0.01, distribution="normal", deviation=0.02),
    },
    object_yaw=Range(-0.4, 0.4),
    actuation=ActuationConfig(delay_steps=(0, 4), noise=0.1, bias=0.1),
    sensing=SensingConfig(camera_latency=Range(distribution="choice", values=(0.0, 0.1)), dropout=Range(0.0, 0.2)),
    timing=TimingConfig(Range(100.0, 200.0)),
    pushes=PushConfig(Range(0.0, 10.0), force=Range(1.0, 2.0)),
)


def _narrowing(preset=PRESET, task="fetch_push"):
    return Narrowing(preset, fetch_task(task).model, CONTRACTS[task].has_object)


def test_what_is_narrowed_and_where_it_is_nominal():
    narrowing = _narrowing()
    positions = dict(zip(narrowing.names, narrowing.nominal.tolist(), strict=True))
    assert positions == {
        "physics.object_mass": 0.5,
        "physics.table_height": 0.5,
        "placement.object_yaw": 0.5,
        "actuation.delay_steps": 0.0,
        "sensing.dropout": 0.0,
        "timing.lateness_rate": 1.0,
        "pushes.rate": 0.0,
    }


def test_hand_computed_limits():
    narrowing = _narrowing()
    limits = narrowing.limits(np.tile([0.25, 0.75], (7, 1)))
    assert limits["physics.object_mass"] == pytest.approx((0.5, 2.0))
    assert limits["physics.table_height"] == pytest.approx((-0.005, 0.005))
    assert limits["placement.object_yaw"] == pytest.approx((-0.2, 0.2))
    assert limits["actuation.delay_steps"] == (1, 3)
    assert limits["timing.lateness_rate"] == (125.0, 175.0)


def test_the_whole_is_the_preset_itself():
    for preset in (PRESET, load_preset("robot_loop"), load_preset("peng2017"), load_preset("nominal")):
        narrowing = _narrowing(preset)
        assert narrowing.preset(np.tile([0.0, 1.0], (len(narrowing.names), 1))) == preset


def test_a_part_leaves_the_rest_and_can_be_one_value():
    narrowing = _narrowing()
    parts = np.tile([0.0, 0.5], (7, 1))
    parts[0] = 1.0
    found = narrowing.preset(parts, nominal_fraction=0.0)
    assert found.nominal_fraction == 0.0
    assert (found.physics["object_mass"].low, found.physics["object_mass"].high) == (4.0, 4.0)
    assert found.physics["kept"] == PRESET.physics["kept"]
    assert found.sensing.camera_latency == PRESET.sensing.camera_latency
    assert (found.actuation.noise, found.pushes.force) == (0.1, Range(1.0, 2.0))
    table = found.physics["table_height"]
    assert (table.low, table.high, table.center, table.deviation) == (-0.01, 0.0, 0.0, 0.01)
    assert list(found.physics) == list(PRESET.physics), "the order in which draws are applied"


def test_rows_draw_from_presets_of_their_own():
    narrowing = _narrowing()
    env = BatchedGoalEnv("fetch_push", num_envs=3, num_threads=1, randomization=PRESET)
    lightest, heaviest = (np.tile([end, end], (7, 1)) for end in (0.0, 1.0))
    env.set_presets(
        [narrowing.preset(lightest, 0.0), narrowing.preset(heaviest, 0.0), replace(PRESET, nominal_fraction=1.0)]
    )
    env.reset(seed=0)
    assert [drawn["physics"]["object_mass"] for drawn in env.drawn[:2]] == [0.25, 4.0]
    assert [drawn["actuation"]["delay_steps"] for drawn in env.drawn[:2]] == [0, 4]
    assert [drawn["sensing"]["dropout"] for drawn in env.drawn[:2]] == [0.0, 0.2]
    assert [drawn["timing"]["lateness_rate"] for drawn in env.drawn[:2]] == [100.0, 200.0]
    assert [drawn["pushes"]["rate"] for drawn in env.drawn[:2]] == [0.0, 10.0]
    assert [drawn["placement"]["object_yaw"] for drawn in env.drawn[:2]] == [-0.4, 0.4]
    assert env.drawn[2] == {}
    models = [row.model for row in env.simulation.rows]
    masses = [float(model.body_mass[model.body("object0").id]) for model in models]
    np.testing.assert_allclose(np.array(masses) / masses[2], [0.25, 4.0, 1.0])
    # The scale of what a critic may know stays that of the whole preset.
    column = env.parameter_names.index("physics.object_mass")
    np.testing.assert_allclose(env.parameters[:, column], [-1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="1 presets for 3 environments"):
        env.set_presets([PRESET])
    env.close()


def test_the_whole_preset_for_each_row_draws_what_it_drew_before():
    drawn = []
    for given in (False, True):
        env = BatchedGoalEnv("fetch_push", 4, 1, load_preset("robot_loop"))
        if given:
            env.set_presets([load_preset("robot_loop")] * 4)
        env.reset(seed=1)
        env.reset()
        drawn.append(env.drawn)
        env.close()
    assert drawn[0] == drawn[1]


def test_a_choice_has_no_parts():
    with pytest.raises(ValueError, match="a choice has no parts"):
        Range(distribution="choice", values=(1.0, 2.0)).part(0.0, 0.5)
