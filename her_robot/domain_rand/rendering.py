"""How a scene looks to a camera: where the camera stands, light, colours, textures, and things that are in the way.

Numbers worth knowing are those of Tobin et al. 2017 (arXiv 1703.06907). Looks are applied to the model as it was
compiled, so they never accumulate. Prints (fiducial markers) keep their look: they are read, not recognised.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from her_robot.domain_rand.distribution import Range

PRINT_PREFIX = "print_"
"""Materials of prints are named so."""
TEXTURE_PREFIX = "look_"
"""Textures that are painted anew are named so; `add_textures` adds one for each material."""
_TEXTURE_SIZE = 64
"""Width and height of a random texture [px]."""
_SHAPES = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
)
_PLACES_TRIED = 50


@dataclass(frozen=True)
class RenderingConfig:
    """All of it is drawn once an episode."""

    camera_position: Range = Range(0.0, 0.0)
    """Shift of the camera, each axis of the body it is on [m]."""
    camera_rotation: Range = Range(0.0, 0.0)
    """Turn of the camera about a random axis [deg]."""
    field_of_view: Range = Range(0.0, 0.0)
    """Added to the vertical field of view [deg]."""
    light_position: Range = Range(0.0, 0.0)
    """Shift of each light, each axis [m]."""
    light_intensity: Range = Range(1.0, 1.0)
    """Factor on what lights, and the one at the camera, give; drawn for each."""
    colors: Range = Range(0.0, 0.0)
    """Weight of a random colour in each material's own, 0 to 1, drawn for each."""
    textures: float = 0.0
    """Probability that a material gets a random texture (plain, gradient, checks, stripes or noise), and the sky a
    random colour."""
    distractors: tuple[int, int] = (0, 0)
    """Fewest and most things that lie about on the table and belong to no task."""
    distractor_size: Range = Range(0.01, 0.03)
    """Half of their width, each axis [m]."""

    def __post_init__(self) -> None:
        if self.light_intensity.low < 0:
            raise ValueError(f"light_intensity must not be negative, found {self.light_intensity.low}")
        if not 0.0 <= self.colors.low <= self.colors.high <= 1.0:
            raise ValueError(f"colors must lie in [0, 1], found [{self.colors.low}, {self.colors.high}]")
        if not 0.0 <= self.textures <= 1.0:
            raise ValueError(f"textures is a probability, found {self.textures}")
        if not 0 <= self.distractors[0] <= self.distractors[1]:
            raise ValueError(f"distractors {list(self.distractors)} must be 0 <= low <= high")
        if self.distractor_size.low <= 0:
            raise ValueError(f"distractor_size must stay above 0, found {self.distractor_size.low}")


@dataclass(frozen=True)
class Distractor:
    """A thing that is seen and cannot be touched."""

    shape: mujoco.mjtGeom
    size: np.ndarray
    """Half widths (3,) [m]."""
    position: np.ndarray
    """World frame (3,) [m]."""
    yaw: float
    """[rad]."""
    color: np.ndarray
    """r, g, b, a, 0 to 1."""


@dataclass(frozen=True)
class Table:
    """Where distractors may lie, and where not."""

    low: np.ndarray
    """Smallest x and y, world frame (2,) [m]."""
    high: np.ndarray
    """Largest x and y (2,) [m]."""
    top: float
    """World z [m]."""
    kept_clear: tuple[tuple[np.ndarray, float], ...] = ()
    """Places (2,) [m] and the radius around each in which nothing may lie [m]."""


def add_textures(spec: mujoco.MjSpec) -> None:
    """Give each material that has no texture of its own a white one that can be painted; it looks as before."""
    for material in list(spec.materials):
        if material.name.startswith(PRINT_PREFIX) or any(material.textures):
            continue
        texture = spec.add_texture(name=TEXTURE_PREFIX + material.name, type=mujoco.mjtTexture.mjTEXTURE_2D)
        texture.width = texture.height = _TEXTURE_SIZE
        texture.nchannel = 3
        texture.data = np.full((_TEXTURE_SIZE, _TEXTURE_SIZE, 3), 255, np.uint8).tobytes()
        textures = list(material.textures)
        textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name
        material.textures = textures


class Appearance:
    """The looks of one model."""

    def __init__(self, config: RenderingConfig, model: mujoco.MjModel, camera: str) -> None:
        """
        Args:
            config: what may differ.
            model: as compiled; changed by `draw`.
            camera: name of the camera that is moved.
        """
        self._config, self._model = config, model
        self.drawn: dict[str, np.ndarray] = {}
        """What was drawn last, by field of the configuration."""
        self._camera = model.camera(camera).id
        self._nominal = {field: getattr(model, field).copy() for field in _FIELDS}
        self._headlight = {part: getattr(model.vis.headlight, part).copy() for part in ("ambient", "diffuse")}
        self._materials = [i for i in range(model.nmat) if not model.material(i).name.startswith(PRINT_PREFIX)]
        self._textures = {i: _pixels(model, i).copy() for i in range(model.ntex) if _is_painted(model, i)}

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Give the model another look; returns the textures that were painted."""
        self.drawn = self._move_camera(rng) | self._light(rng) | self._color(rng)
        return self._paint(rng)

    def scatter(self, rng: np.random.Generator, table: Table) -> list[Distractor]:
        """Things on a table; fewer than asked for where there is no room."""
        low, high = self._config.distractors
        things = []
        for _ in range(rng.integers(low, high + 1) if high else 0):
            size = self._config.distractor_size.sample(rng, 3)
            place = _free_place(rng, table, float(np.linalg.norm(size)))
            shape = _SHAPES[rng.integers(len(_SHAPES))]
            color = np.append(rng.random(3), 1.0)
            yaw = float(rng.uniform(-np.pi, np.pi))
            if place is not None:
                height = _height(shape, size)
                things.append(Distractor(shape, size, np.array([*place, table.top + height]), yaw, color))
        return things

    def _move_camera(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        config, model, camera = self._config, self._model, self._camera
        shift, axis = config.camera_position.sample(rng, 3), rng.standard_normal(3)
        angle, wider = config.camera_rotation.sample(rng), config.field_of_view.sample(rng)
        turn, turned = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, axis / np.linalg.norm(axis), float(np.deg2rad(angle)))
        mujoco.mju_mulQuat(turned, self._nominal["cam_quat"][camera], turn)
        model.cam_pos[camera] = self._nominal["cam_pos"][camera] + shift
        model.cam_quat[camera] = turned
        model.cam_fovy[camera] = self._nominal["cam_fovy"][camera] + wider
        return {"camera_position": shift, "camera_rotation": angle, "field_of_view": wider}

    def _light(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        config, model = self._config, self._model
        shifts = config.light_position.sample(rng, (model.nlight, 3))
        intensity = config.light_intensity.sample(rng, model.nlight + 1)
        model.light_pos[:] = self._nominal["light_pos"] + shifts
        model.light_diffuse[:] = self._nominal["light_diffuse"] * intensity[:-1, None]
        for part, nominal in self._headlight.items():
            getattr(model.vis.headlight, part)[:] = nominal * intensity[-1]
        return {"light_position": shifts, "light_intensity": intensity}

    def _color(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        weights = self._config.colors.sample(rng, len(self._materials))
        colors = rng.random((len(self._materials), 3))
        own = self._nominal["mat_rgba"][self._materials, :3]
        self._model.mat_rgba[self._materials, :3] = (1 - weights)[:, None] * own + weights[:, None] * colors
        return {"colors": weights}

    def _paint(self, rng: np.random.Generator) -> list[int]:
        for texture, nominal in self._textures.items():
            pixels = _pixels(self._model, texture)
            pixels[:] = nominal
            if rng.random() < self._config.textures:
                is_sky = self._model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX
                pixels[:] = rng.integers(0, 256, 3) if is_sky else _pattern(rng).reshape(-1, 3)
        return list(self._textures) if self._config.textures else []


_FIELDS = ("cam_pos", "cam_quat", "cam_fovy", "light_pos", "light_diffuse", "mat_rgba")


def _free_place(rng: np.random.Generator, table: Table, radius: float) -> np.ndarray | None:
    """A place (2,) on the table for a thing of that radius [m]; None where there is no room."""
    for _ in range(_PLACES_TRIED):
        place = rng.uniform(table.low + radius, table.high - radius)
        if all(np.linalg.norm(place - center) >= clear + radius for center, clear in table.kept_clear):
            return place
    return None


def _height(shape: mujoco.mjtGeom, size: np.ndarray) -> float:
    """Of the centre of a thing that lies on a table [m]."""
    if shape == mujoco.mjtGeom.mjGEOM_SPHERE:
        return float(size[0])
    if shape == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return float(size[1])
    return float(size[0] + size[1]) if shape == mujoco.mjtGeom.mjGEOM_CAPSULE else float(size[2])


def _is_painted(model: mujoco.MjModel, texture: int) -> bool:
    is_sky = model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX
    return is_sky or model.texture(texture).name.startswith(TEXTURE_PREFIX)


def _pixels(model: mujoco.MjModel, texture: int) -> np.ndarray:
    """View of a texture's data, (n, 3) RGB."""
    start, count = model.tex_adr[texture], model.tex_height[texture] * model.tex_width[texture] * 3
    return model.tex_data[start : start + count].reshape(-1, 3)


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """A random texture (n, n, 3) uint8."""
    n = _TEXTURE_SIZE
    first, second = rng.integers(0, 256, (2, 3))
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    kind, pitch = rng.integers(5), rng.integers(2, n // 2)
    if kind == 0:
        blend = np.zeros((n, n))
    elif kind == 1:
        blend = (x if rng.random() < 0.5 else y) / (n - 1)
    elif kind == 2:
        blend = (x // pitch + y // pitch) % 2
    elif kind == 3:
        blend = (x if rng.random() < 0.5 else y) // pitch % 2
    else:
        blend = rng.random((n, n))
    return ((1 - blend[..., None]) * first + blend[..., None] * second).astype(np.uint8)
