"""Which collisions of the robot's own links need no looking for at present.

Where the arm is unfolded over the table, only gripper, fingers, base, table, floor and object can touch anything. The
links of arm, head and torso then cost two fifths of a physics step and give no contact. Their collisions are switched
off for a control period that begins in such a posture, and are on in any other: a policy that explores does run the
arm into the head, or the elbow into the table. What is left out would have given no contact, so that a trajectory stays
the same bit by bit. The base keeps its collisions: it stands on the floor, and that contact has a part in every step.

The limits were found from 115 000 control periods of wandering arms in all tasks, where the nearest contact
begins 0.1 rad, 3 cm or more beyond them, the motion within the period included.
"""

import mujoco
import numpy as np

_KEPT_LINKS = ("base_link", "gripper_link", "r_gripper_finger_link", "l_gripper_finger_link")
_ARM_LIMITS = {
    "shoulder_pan_joint": (-0.75, 0.75),
    "upperarm_roll_joint": (-1.2, 1.2),
    "elbow_flex_joint": (-0.2, 2.2),
    "forearm_roll_joint": (-1.2, 1.2),
    "wrist_flex_joint": (0.25, 2.1),
}
"""Joint angles of the unfolded arm, lowest and highest [rad]."""
_SHOULDER_LIFT = (-1.0, 0.25)
"""The lift of a shoulder that is clear of torso and head exceeds the first, and by the second more for each radian of
pan: an upper arm that is turned aside meets the torso earlier."""
_HEAD_JOINTS = ("head_pan_joint", "head_tilt_joint")
_HEAD_TOLERANCE = 0.02
"""The head must still look ahead [rad]; an arm that ran into it leaves it turned."""
_LOWEST_GRIP = 0.36
"""A lower gripper is beside the table, and the wrist may touch its edge; world z [m]. The table's top is at 0.40."""
_NEAREST_OBJECT = 0.33
"""An object nearer to the base than this may lie against the robot; x from the base's origin [m]."""
_HIGHEST_OBJECT = 0.06
"""An object higher above the grip position than this may touch the wrist [m]."""


class ArmCollisions:
    """Decides for postures, and switches models. One for all models that share a compiled form."""

    def __init__(self, model: mujoco.MjModel, base_x: float) -> None:
        """
        Args:
            model: with all collisions on; not changed.
            base_x: world x of the robot's base link [m].
        """

        def address(joint: str) -> int:
            return int(model.joint(f"robot0:{joint}").qposadr[0])

        self._nearest_object = base_x + _NEAREST_OBJECT
        self._limited = np.array([address(joint) for joint in _ARM_LIMITS])
        self._low, self._high = np.array(list(_ARM_LIMITS.values())).T
        self._pan, self._lift = address("shoulder_pan_joint"), address("shoulder_lift_joint")
        self._head = np.array([address(joint) for joint in _HEAD_JOINTS])
        self._head_ahead = model.qpos0[self._head]
        self.geoms = np.flatnonzero([_is_needless(model, geom) for geom in range(model.ngeom)])
        """Geoms whose collisions are switched."""
        self._masks = {True: _masks(model, np.arange(0)), False: _masks(model, self.geoms)}

    def needed(self, qpos: np.ndarray, grip: np.ndarray, obj: np.ndarray | None) -> np.ndarray:
        """Whether the links could touch anything within the next control period.

        Args:
            qpos: generalised positions (n, nq).
            grip: grip position, world frame (n, 3) [m].
            obj: position of the object, world frame (n, 3) [m]; None in tasks without.

        Returns:
            boolean (n,)
        """
        arm = qpos[:, self._limited]
        clear = ((arm > self._low) & (arm < self._high)).all(axis=1)
        lowest, slope = _SHOULDER_LIFT
        clear &= qpos[:, self._lift] > lowest + slope * np.abs(qpos[:, self._pan])
        clear &= (np.abs(qpos[:, self._head] - self._head_ahead) < _HEAD_TOLERANCE).all(axis=1)
        clear &= grip[:, 2] > _LOWEST_GRIP
        if obj is not None:
            clear &= (obj[:, 0] > self._nearest_object) & (obj[:, 2] < grip[:, 2] + _HIGHEST_OBJECT)
        return ~clear

    def switch(self, model: mujoco.MjModel, on: bool) -> None:
        """Have the links of `model` collide, or not."""
        for field, mask in self._masks[on].items():
            getattr(model, field)[:] = mask


def _is_needless(model: mujoco.MjModel, geom: int) -> bool:
    """Whether this is a link of the robot other than those that are kept."""
    name = model.body(model.geom_bodyid[geom]).name
    return name.startswith("robot0:") and name.removeprefix("robot0:") not in _KEPT_LINKS


def _masks(model: mujoco.MjModel, off: np.ndarray) -> dict[str, np.ndarray]:
    """The collision masks of a model's geoms, and of its bodies for the broad phase, with the geoms `off` set to 0."""
    masks = {}
    for kind in ("contype", "conaffinity"):
        masks[f"geom_{kind}"] = geoms = getattr(model, f"geom_{kind}").copy()
        geoms[off] = 0
        masks[f"body_{kind}"] = bodies = np.zeros_like(getattr(model, f"body_{kind}"))
        np.bitwise_or.at(bodies, model.geom_bodyid, geoms)
    return masks
