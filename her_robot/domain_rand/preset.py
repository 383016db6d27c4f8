"""A randomisation preset: all that is randomised in training, read from `config/randomization/`."""

from dataclasses import dataclass, field

from her_robot import configuration, resources
from her_robot.domain_rand.actuation import ActuationConfig
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.pushes import PushConfig
from her_robot.domain_rand.rendering import RenderingConfig
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.domain_rand.timing import TimingConfig
from her_robot.domain_rand.variation import Variation, check_variations
from her_robot.errors import ConfigurationError


@dataclass(frozen=True)
class RandomizationPreset:
    """What of an episode is drawn anew, in every environment by itself."""

    nominal_fraction: float = 1.0
    """Share of episodes that are not randomised at all, 0 to 1."""
    physics: dict[str, Variation] = field(default_factory=dict)
    """Ranges by parameter; `her_robot.domain_rand.parameters.PARAMETERS` lists names and units. An entry of another
    name says which `parameter` it varies."""
    object_yaw: Range = Range(0.0, 0.0)
    """The object's heading at the start of an episode [rad]."""
    finger_gap: Range = Range(0.0, 0.0)
    """How far a gripper's fingers are apart at the start of an episode, 0 to 0.1 [m]; those of Gymnasium-Robotics are
    closed."""
    actuation: ActuationConfig = ActuationConfig()
    """What happens to an action before the gripper moves."""
    sensing: SensingConfig = SensingConfig()
    """What happens to a state before the policy sees it."""
    timing: TimingConfig = TimingConfig()
    """How long control periods last."""
    pushes: PushConfig = PushConfig()
    """Forces on the object."""
    rendering: RenderingConfig = RenderingConfig()
    """How scenes look to a camera. Training renders nothing; simulated robots do."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.nominal_fraction <= 1.0:
            raise ValueError(f"nominal_fraction must lie in [0, 1], found {self.nominal_fraction}")
        if not 0.0 <= self.finger_gap.low <= self.finger_gap.high <= 0.1:
            raise ValueError(f"finger_gap must lie in [0, 0.1], found [{self.finger_gap.low}, {self.finger_gap.high}]")
        check_variations(self.physics)


def load_preset(name: str) -> RandomizationPreset:
    """A shipped preset by name, or one from a YAML file by its path.

    Raises:
        UnknownNameError: no such preset; the message lists those there are.
        ConfigurationError: the file holds something else.
    """
    path = resources.named_file("config/randomization", name, "randomization preset")
    try:
        preset = configuration.load(RandomizationPreset, path)
    except ConfigurationError as error:
        message = str(error)
        raise ConfigurationError(message if str(path) in message else f"{path}: {message}") from None
    # How scenes look is drawn by simulated robots, in which no episode is nominal.
    if preset.nominal_fraction == 1.0 and preset != RandomizationPreset(rendering=preset.rendering):
        raise ConfigurationError(
            f"{path}: nominal_fraction is 1, so that nothing of the rest would ever be drawn; give the share of "
            "episodes that are not to be randomised, such as nominal_fraction: 0"
        )
    return preset
