"""Printed markers on the bodies of a model: they can be seen, and neither weigh nor touch."""

import mujoco
import numpy as np

from her_robot.domain_rand.rendering import PRINT_PREFIX
from her_robot.robot.fiducials import face_image
from her_robot.robot.markers import ObjectPrints, face_rotation

PIXELS_PER_METER = 8000
"""Of the faces of objects."""
_PLATE_THICKNESS = 0.0002
"""A plate's middle lies in the surface that it is printed on, so half of this stands out [m]."""
_PAPER = np.array([0.95, 0.95, 0.95, 1.0])


def dress_object(spec: mujoco.MjSpec, body: mujoco.MjsBody, geom: mujoco.MjsGeom, markers: ObjectPrints) -> None:
    """White, with all faces that have markers printed; sites by which Gymnasium-Robotics shows things are hidden."""
    geom.material, geom.rgba = "", _PAPER
    for site in body.sites:
        site.rgba[3] = 0.0
    for face in markers.object.faces:
        image = face_image(markers, face, round(markers.object.size * PIXELS_PER_METER))
        add_print(spec, body, face, image, markers.object.size, markers.object.center_of(face), face_rotation(face))


def add_print(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    image: np.ndarray,
    size: float,
    center: np.ndarray,
    rotation: np.ndarray,
) -> None:
    """A thin plate with a grey image on it, upright along the plate's y."""
    pixels = np.repeat(image[:, :, None], 3, axis=2)
    texture = spec.add_texture(name=PRINT_PREFIX + name, type=mujoco.mjtTexture.mjTEXTURE_2D)
    texture.height, texture.width, texture.nchannel = *image.shape, 3
    texture.data = np.ascontiguousarray(pixels).tobytes()
    material = spec.add_material(name=PRINT_PREFIX + name, emission=0.4, specular=0.0, shininess=0.0, reflectance=0.0)
    textures = list(material.textures)
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name
    material.textures = textures
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[size / 2, size / 2, _PLATE_THICKNESS / 2],
        pos=center,
        quat=quaternion,
        material=material.name,
        contype=0,
        conaffinity=0,
        mass=0.0,
    )


def print_materials(model: mujoco.MjModel) -> list[str]:
    """Names of the materials that the markers are printed with."""
    names = (model.material(index).name for index in range(model.nmat))
    return [name for name in names if name.startswith(PRINT_PREFIX)]
