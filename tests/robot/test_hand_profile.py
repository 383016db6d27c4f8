"""The profile of the hand, and what is refused of one."""

import numpy as np
import pytest
import yaml

from her_robot.contract.hand import ACTUATOR_RANGES, JOINTS
from her_robot.errors import ConfigurationError
from her_robot.resources import share_directory
from her_robot.robot.hand_joints import HandJoints
from her_robot.robot.hand_profile import compile_hand, load_hand_profile


@pytest.fixture(scope="module")
def profile():
    return load_hand_profile("shadow_hand")


@pytest.fixture
def changed(tmp_path):
    """Writes the shipped profile with one thing changed, and gives its path."""

    def write(change):
        data = yaml.safe_load((share_directory() / "config/robots/shadow_hand.yaml").read_text())
        change(data)
        path = tmp_path / "hand.yaml"
        path.write_text(yaml.safe_dump(data))
        return str(path)

    return write


def test_joints_are_those_of_the_contract_and_all_are_commanded(profile):
    assert tuple(profile.joints) == JOINTS
    assert profile.prefix == "rh_"
    assert sorted(profile.command_names) == sorted(profile.joint_names)
    assert [len(controller.joints) for controller in profile.controllers] == [22, 2]


def test_the_model_fits(profile):
    model = compile_hand(profile.model)
    for name in JOINTS:
        low, high = profile.joints[name].position
        assert low < high
        # The hand's ranges are about those of the model, or wider.
        model_low, model_high = model.joint(f"robot0:{name}").range
        assert low <= model_low + 0.04, name
        assert high >= model_high - 0.01, name


def test_limits_are_within_the_ranges_of_the_action(profile):
    limits = HandJoints(profile).limits()
    low, high = np.array(list(ACTUATOR_RANGES.values())).T
    assert (limits.position_low >= low).all()
    assert (limits.position_high <= high).all()
    # The distal joint of a coupled pair moves faster than the middle one.
    coupled = list(ACTUATOR_RANGES).index("FFJ1")
    assert limits.velocity[coupled] == pytest.approx(2.0 / 1.142)
    assert limits.velocity[coupled - 1] == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["joints"].pop("LFJ4"), "joints: missing LFJ4"),
        (lambda data: data["joints"].update(FFJ5=data["joints"]["FFJ3"]), "no joint 'FFJ5'; did you mean"),
        (lambda data: data["joints"]["FFJ3"].update(name="rh_MFJ4"), "more than one is named rh_MFJ4"),
        (lambda data: data["joints"]["FFJ3"].update(sign=2), "sign of rh_FFJ4 must be 1 or -1"),
        (lambda data: data["joints"]["FFJ3"].update(position=None), "joints.FFJ3: position limits are needed"),
        (lambda data: data["coupled"].pop("rh_FFJ0"), "coupled: expected the pairs"),
        (lambda data: data.update(coupling_gain=0.9), "coupling_gain must be above 1, found 0.9"),
        (lambda data: data["controllers"].pop(), "controllers: none takes rh_WRJ2, rh_WRJ1"),
        (lambda data: data["controllers"][1]["joints"].append("rh_FFJ0"), "more than one takes rh_FFJ1, rh_FFJ2"),
        (lambda data: data["controllers"][1]["joints"].append("rh_WRJ3"), "no joint 'rh_WRJ3'; did you mean"),
        (lambda data: data.update(home={"FFJ0": 0.1}), "home: the contract has no joint 'FFJ0'"),
        (lambda data: data["model"].update(base_body="robot0:forarm"), "no body 'robot0:forarm'; did you mean"),
        (lambda data: data["model"].update(prefix="rh_"), "no joint 'rh_WRJ1'"),
        (lambda data: data.update(timing={"object_timeout": 0.0}), "timing: object_timeout must be above 0"),
        (lambda data: data.update(motion={"lead": -0.35}), "motion: lead must be above 0, found -0.35"),
        (lambda data: data.update(motion={"goal_margin": -0.1}), "motion: goal_margin must not be negative"),
    ],
)
def test_what_does_not_make_a_hand_is_refused_by_name(changed, change, message):
    with pytest.raises(ConfigurationError, match=message):
        load_hand_profile(changed(change))


def test_an_arm_is_no_hand():
    with pytest.raises(ConfigurationError, match=r"fetch.yaml: not a hand"):
        load_hand_profile("fetch")


def test_sums_may_be_commanded_in_place_of_two_joints(changed):
    def change(data):
        taken = data["controllers"][0]["joints"]
        data["controllers"][0]["joints"] = [name for name in taken if name not in ("rh_FFJ1", "rh_FFJ2")] + ["rh_FFJ0"]

    profile = load_hand_profile(changed(change))
    positions, velocities = HandJoints(profile).to_hand(np.full(20, 0.5), np.full(20, 0.1))
    index = profile.command_names.index("rh_FFJ0")
    assert (positions[index], velocities[index]) == pytest.approx((2.142 * 0.5, 2.142 * 0.1))
