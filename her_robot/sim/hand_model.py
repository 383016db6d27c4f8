"""The hand's model without what costs time or memory and never has a part in a motion.

Left out are meshes that are only drawn, with textures and lights, and tendons that limit a joint far beyond the joint's
own limits. Whole episodes stay the same bit by bit
(`tests/sim/test_hand.py`). The free body that shows the goal in images stays: without its six degrees of freedom sums
are rounded in another order, and contacts make a difference of it.
"""

import mujoco
import numpy as np

_CLEARANCE = 0.3
"""A tendon is left out if its joint would have to be this far beyond its own limit [rad] for the tendon to act. Limits
are soft, but give by hundredths."""


def trimmed_model(model: mujoco.MjModel, path: str) -> mujoco.MjModel:
    """A task's model again, without what has no effect.

    Args:
        model: with everything; not changed.
        path: of the MJCF that it was compiled from.
    """
    spec = mujoco.MjSpec.from_file(path)
    slack = _slack_tendons(model)
    _delete(spec, [tendon for tendon in spec.tendons if tendon.name in slack])
    _delete(spec, [geom for geom in spec.geoms if _is_decoration(geom)])
    _delete(spec, spec.lights)
    for geom in spec.geoms:
        geom.material = ""
    _delete(spec, spec.materials)
    _delete(spec, spec.textures)
    used = {geom.meshname for geom in spec.geoms}
    _delete(spec, [mesh for mesh in spec.meshes if mesh.name not in used])
    return spec.compile()


def _slack_tendons(model: mujoco.MjModel) -> set[str]:
    """Names of tendons along one joint that could only act far beyond that joint's limits."""
    slack = set()
    for tendon in range(model.ntendon):
        address = model.tendon_adr[tendon]
        if model.tendon_num[tendon] != 1 or model.wrap_type[address] != mujoco.mjtWrap.mjWRAP_JOINT:
            continue
        low, high = np.sort(model.tendon_range[tendon] / model.wrap_prm[address])
        joint_low, joint_high = model.jnt_range[model.wrap_objid[address]]
        if low < joint_low - _CLEARANCE and joint_high + _CLEARANCE < high:
            slack.add(model.tendon(tendon).name)
    return slack


def _is_decoration(geom: mujoco.MjsGeom) -> bool:
    """Whether a geom neither touches anything nor weighs: the inertia of a robot's body is given."""
    weighs = geom.mass != 0.0 and not geom.name.startswith("robot0:V_")
    return geom.contype == 0 and geom.conaffinity == 0 and not weighs


def _delete(spec: mujoco.MjSpec, elements) -> None:
    for element in list(elements):
        spec.delete(element)
