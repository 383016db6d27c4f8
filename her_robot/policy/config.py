"""How a policy is trained: every knob, with its unit. Presets are in `config/train/`."""

from dataclasses import dataclass, field
from typing import Literal

from her_robot import configuration, resources
from her_robot.contract import FetchContract, contract_of
from her_robot.contract.symmetry import sides_of
from her_robot.domain_rand.automatic import AutomaticConfig
from her_robot.errors import ConfigurationError
from her_robot.policy.guide import GUIDES


@dataclass(frozen=True)
class NetworkConfig:
    """Actor and critic have the same hidden layers."""

    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer."""
    layer_norm: bool = True
    """Normalise each hidden layer before its ReLU."""
    goal_difference: bool = True
    """Show the networks what is missing to the goal beside observation and goal."""
    positions: Literal["absolute", "relative", "reach"] = "absolute"
    """`relative` leaves out the horizontal coordinates of gripper, object and goal, so that what was learnt in one
    place holds in all: networks then see distances alone. `reach` leaves out those of object and goal and keeps the
    gripper's: how fast an arm moves depends on how far out it is. Both need goal_difference."""
    nearest_side: bool = False
    """Name the axes of an object that looks alike from several sides (a block, an egg, a pen), so that they lie nearest
    to the world's: what was learnt with one of them on top holds for all. It needs goal_difference."""
    goal_reach: float = 0.0
    """Show the networks a goal that is farther away than this many times what is still a success as a waypoint on the
    way to it: to turn far is to turn near again and again. 0 shows the goal."""
    history: int = 0
    """How many pairs of observation and action before the present observation the networks see as well: what is still
    under way, where actions or images are late. Each is one control period."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the products between hidden layers in training; `auto` is bfloat16 where the machine is far faster with it."""
    recurrent: Literal["none", "lstm"] = "none"
    """`lstm` gives actor and critics a memory of the whole episode, learned from whole episodes."""
    recurrent_size: int = 64
    """Units of that memory."""
    asymmetric: bool = False
    """Show the critics and a scripted guide, which only training needs, the true state: the critics beside what the
    sensors tell (Pinto et al. 2017) and with what was drawn for the episode, the guide in its stead."""

    @property
    def remembers(self) -> bool:
        """Whether a policy depends on more of its episode than the present."""
        return self.history > 0 or self.recurrent != "none"


@dataclass(frozen=True)
class AgentConfig:
    """The actor-critic; by default DDPG (Lillicrap et al. 2015) as in Plappert et al. 2018, appendix B."""

    algorithm: Literal["ddpg", "td3", "sac"] = "ddpg"
    """`ddpg`, `td3` (Fujimoto et al. 2018) or `sac` (Haarnoja et al. 2018)."""
    learning_rate: float = 1e-3
    """Step size of Adam, for both networks."""
    gamma: float = 0.98
    """Discount for one control period; targets are clipped to [-1 / (1 - gamma), 0]."""
    n_step: int = 1
    """Steps of reward that a target sums before it bootstraps."""
    polyak: float = 0.95
    """Weight that target networks keep when they are updated."""
    target_interval: int = 1
    """Updates between two updates of the target networks."""
    actor_interval: int = 1
    """Updates of the critic between two updates of the actor."""
    actor_averaging: float = 0.0
    """Weight that the average of the actor's parameters keeps at each of its updates. The average is what is measured
    and exported: single actors along the way differ by several points in success. 0 takes the actor as it is."""
    action_l2: float = 1.0
    """Weight of the mean squared action in the actor's loss."""
    target_noise: float = 0.2
    """td3: standard deviation of the noise on target actions."""
    target_noise_clip: float = 0.5
    """td3: that noise is clipped to +- this."""
    temperature: float = 0.1
    """sac: weight of entropy at first; it is tuned from then on."""
    entropy: float = 1.0
    """sac: aim of that tuning, as negative entropy for each action component."""
    imitation: float = 0.0
    """Weight, at first, of the mean squared difference from an example in the actor's loss."""
    imitation_of: Literal["guide", "hindsight", "demonstrations"] = "guide"
    """The example: what the task's guide would do; or, for a goal that the same episode achieved later, the action by
    which it did: where actions are targets, as in hand tasks, that action leads to the goal from anywhere; or, in what
    is drawn from demonstrations, what was done there on the way to the goal or to what they achieved later."""
    imitation_steps: int = 200_000
    """Environment steps over which that weight falls to 0."""


@dataclass(frozen=True)
class ExplorationConfig:
    """How training episodes depart from the policy."""

    noise: float = 0.2
    """Standard deviation of Gaussian noise on actions."""
    random_action: float = 0.3
    """Probability that an action is drawn uniformly instead."""
    quiet_episodes: float = 0.0
    """Share of training episodes in which the policy acts as it is, without any of this: a strike takes a dozen actions
    that belong together, and hardly ever survives as many draws."""
    hold_steps: int = 1
    """Control periods for which noise and random actions last. When it is above 1, noise also has another size in
    every hold, up to `noise`: where actions are targets, it takes time to see what they achieve."""
    nearer_goals: float = 0.0
    """Share of training episodes whose goal is nearer: anywhere on the way to it from where the episode begins. What is
    near is learnt first, and leads to what is not."""
    continued_episodes: float = 0.0
    """Share of training episodes that go on where the environment's last one ended, with a new goal, unless the object
    was lost: where a task always begins alike, others begin in what the policy has come to. For tasks of the hand. The
    first episodes of a resumed run begin anew."""
    approach_episodes: float = 0.0
    """Share of training episodes that begin with the gripper going to the object; of no effect without an object."""
    approach_distance: float = 0.06
    """The policy takes over when closed fingers are nearer than this to the object's centre [m]."""
    grasp_distance: float = 0.03
    """The policy takes over when open fingers are nearer than this to the object's centre [m]."""
    guided_episodes: float = 0.0
    """Share of training episodes that begin with the task's guide acting, a script or the teacher, for a random number
    of steps."""


@dataclass(frozen=True)
class RelabelConfig:
    """Hindsight experience replay (Andrychowicz et al. 2017): shares of a batch by where its goals come from.

    What the shares leave of 1 keeps the goal that its episode had.
    """

    future: float = 0.8
    """Achieved later in the same episode; 0.8 is k = 4 in the paper."""
    final: float = 0.0
    """Achieved at the end of the same episode."""
    episode: float = 0.0
    """Achieved at any time of the same episode."""
    random: float = 0.0
    """Achieved at any time of any episode."""
    past_desired: float = 0.0
    """Desired in any episode."""


@dataclass(frozen=True)
class ReplayConfig:
    """Which experience is replayed."""

    still_weight: float = 1.0
    """How often episodes are drawn in which the achieved goal has not moved, relative to those in which it has."""
    moved_distance: float = 0.01
    """An achieved goal has moved if it went farther than this from where it began [m, and of quaternions 1]."""
    idle_weight: float = 1.0
    """How often transitions are drawn before which nothing has moved, and whose goal, in hindsight too, is achieved
    already, relative to others: that is most of them, and there is little to learn from them. Of no effect on recurrent
    networks, which learn from whole episodes."""
    end_when_lost: bool = False
    """An episode ends when its object falls off the table, or off the palm: what follows is not replayed, and to have
    let it fall is worth -1 / (1 - gamma), the least there is."""
    tolerance: float = 1.0
    """Share of the distance, and of the angle, of a success within which a transition is rewarded. A policy that is
    rewarded within all of it stops short of its goal, and is off where sensors or servos are; success is measured by
    the task all the same."""
    demonstrated: float = 0.25
    """Share of a batch that is drawn from the demonstrations, where there are any."""
    mirrored: bool = False
    """Reflect half of the transitions in the vertical plane through the home position."""


@dataclass(frozen=True)
class NormalizerConfig:
    """Running mean and standard deviation of network inputs."""

    observation_clip: float = 200.0
    """Inputs are clipped to +- this before normalisation."""
    normalized_clip: float = 5.0
    """Inputs are clipped to +- this after normalisation."""
    minimum_std: float = 0.01
    """Smallest standard deviation that is divided by."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Measurements while training, with a deterministic policy."""

    interval_steps: int = 10_000
    """Environment steps between two evaluations."""
    episodes: int = 100
    """Episodes in each, once in the nominal and once in the randomised environment."""
    final_episodes: int = 200
    """Episodes of the unmodified environment, over fresh seeds, that measure the policy at the end."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The loop alternates `num_envs` episodes with `updates_per_cycle` updates."""

    task: str
    """Name of the task, such as fetch_push."""
    seed: int = 0
    """Seed of everything that is random."""
    total_steps: int = 300_000
    """Environment steps, summed over environments."""
    num_envs: int = 16
    """Environments stepped side by side; each plays one episode in a cycle."""
    episode_steps: int = 0
    """Control periods of an episode of training; 0 is as many as the task has. Slow robots need longer ones.
    Evaluations under randomisation last as long, those in the nominal environment as the task says."""
    num_threads: int = 0
    """Threads for simulation and for learning; 0 is one for each core."""
    updates_per_cycle: int = 400
    """Updates after each cycle of num_envs episodes."""
    batch_size: int = 256
    """Transitions in an update; a recurrent network learns from as many whole episodes as hold so many."""
    buffer_steps: int = 1_000_000
    """Transitions kept for replay."""
    warmup_steps: int = 3_200
    """Environment steps before the first update, with uniformly random actions or those of the initial policy."""
    initial_policy: str = ""
    """A trained policy that the run begins with: a bundle's folder, or `shipped`. Empty: a random one."""
    critics_first: int = 20_000
    """Updates before the first of the actor where it begins with a trained policy: critics, which no bundle holds, then
    learn what that is worth before it follows them."""
    anchor: float = 10.0
    """Weight, at first, of the mean squared difference from the initial policy's actions in the actor's loss; it takes
    the place of agent.imitation. Without it, critics that have seen one policy alone lead the actor astray."""
    anchor_steps: int = 400_000
    """Environment steps over which that weight falls to 0."""
    teacher: str = ""
    """A trained policy in the place of the task's script: a bundle's folder, or `shipped`, the one in policies/teachers
    or else that which ships for the task. Empty: the script, if any. With network.asymmetric it is shown the truth, and
    teaches a policy that sees less."""
    demonstrations: str = ""
    """Folder of episodes that `her-robot demonstrate` has written, which are replayed beside the policy's own
    (Nair et al. 2018, arXiv 1709.10089); replay.demonstrated says how often. Empty: none."""
    randomization: str = "none"
    """Preset in config/randomization/, or a path to one."""
    adr: AutomaticConfig = field(default_factory=AutomaticConfig)
    """Whether the preset's ranges grow with the policy."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the networks live, and the replay buffer."""
    sim: Literal["cpu", "warp"] = "cpu"
    """`cpu` steps environments in threads; `warp` on `device`, by MuJoCo Warp, and nothing leaves it (docs/gpu.md)."""
    checkpoint_interval: float = 60.0
    """Time between two checkpoints [s]."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    relabel: RelabelConfig = field(default_factory=RelabelConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    @property
    def steps_of_an_episode(self) -> int:
        """Control periods of an episode of training."""
        return self.episode_steps or contract_of(self.task).episode_steps

    def __post_init__(self) -> None:
        configuration.require_positive(self, *_POSITIVE)
        configuration.require_not_negative(self, *_NOT_NEGATIVE)
        shares = {
            "exploration.random_action": self.exploration.random_action,
            "exploration.approach_episodes": self.exploration.approach_episodes,
            "exploration.nearer_goals": self.exploration.nearer_goals,
            "exploration.continued_episodes": self.exploration.continued_episodes,
            "exploration.quiet_episodes": self.exploration.quiet_episodes,
            "replay.idle_weight": self.replay.idle_weight,
            "replay.demonstrated": self.replay.demonstrated,
            "replay.tolerance": self.replay.tolerance,
            **{f"relabel.{name}": share for name, share in vars(self.relabel).items()},
            "relabel (their sum)": round(sum(vars(self.relabel).values()), 9),
            "exploration.guided_episodes": self.exploration.guided_episodes,
            "agent.polyak": self.agent.polyak,
            "agent.actor_averaging": self.agent.actor_averaging,
        }
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], found {value}")
        if not 0.0 < self.agent.gamma < 1.0:
            raise ValueError(f"agent.gamma must lie between 0 and 1, found {self.agent.gamma}")
        not_on_devices = {
            "network.asymmetric": self.network.asymmetric,
            "adr.enabled": self.adr.enabled,
            "exploration.continued_episodes": self.exploration.continued_episodes > 0.0,
        }
        for name, wanted in not_on_devices.items():
            if self.sim == "warp" and wanted:
                raise ValueError(f"{name} is not known to sim=warp yet; leave it out, or set sim=cpu")
        for name, wanted in {
            f"network.positions is {self.network.positions}": self.network.positions != "absolute",
            "network.nearest_side is true": self.network.nearest_side,
        }.items():
            if wanted and not self.network.goal_difference:
                raise ValueError(f"{name}: network.goal_difference must be true")
        if not self.network.hidden_sizes or min(self.network.hidden_sizes) < 1:
            raise ValueError(f"network.hidden_sizes must be positive, found {list(self.network.hidden_sizes)}")
        if self.network.recurrent != "none":
            if self.network.history:
                raise ValueError(f"network.recurrent is {self.network.recurrent}: network.history must be 0")
            if self.agent.algorithm == "sac":
                raise ValueError(f"network.recurrent is {self.network.recurrent}: agent.algorithm must be ddpg or td3")
            if self.agent.imitation and self.agent.imitation_of == "hindsight":
                raise ValueError(
                    f"network.recurrent is {self.network.recurrent}: agent.imitation_of must be guide, or "
                    "agent.imitation 0"
                )
            if self.network.recurrent_size < 1:
                raise ValueError(f"network.recurrent_size must be above 0, found {self.network.recurrent_size}")
        contract = contract_of(self.task)
        if self.network.nearest_side and sides_of(contract) is None:
            raise ValueError(
                f"network.nearest_side is for an object that looks alike from several sides; {self.task} has none"
            )
        if self.buffer_steps < self.num_envs * self.steps_of_an_episode:
            raise ValueError(
                f"buffer_steps is {self.buffer_steps}; one cycle of {self.num_envs} environments needs "
                f"{self.num_envs * self.steps_of_an_episode}"
            )
        fetch_only = {
            f"network.positions={self.network.positions}": self.network.positions != "absolute",
            "replay.mirrored": self.replay.mirrored,
            "exploration.approach_episodes": self.exploration.approach_episodes > 0.0,
        }
        for name, wanted in fetch_only.items():
            if wanted and not isinstance(contract, FetchContract):
                raise ValueError(
                    f"{name} is for a gripper at a table, and {self.task} is a task of the hand; start from its own "
                    "preset in config/train/"
                )
        if self.exploration.continued_episodes and isinstance(contract, FetchContract):
            raise ValueError(
                f"exploration.continued_episodes is for tasks of the hand, and {self.task} is one of a gripper"
            )
        guided = {
            "exploration.guided_episodes": self.exploration.guided_episodes,
            "agent.imitation": self.agent.imitation if self.agent.imitation_of == "guide" else 0.0,
        }
        for name, value in guided.items():
            if value and self.task not in GUIDES and not self.teacher:
                raise ValueError(
                    f"{name} is {value}, but {self.task} has no guide; tasks with one: {', '.join(GUIDES)}. A trained "
                    "policy can take its place: teacher"
                )
        self._check_demonstrations()
        if self.teacher and not any(guided.values()):
            raise ValueError(
                f"teacher is {self.teacher}, but neither {' nor '.join(guided)} is above 0: nothing follows it"
            )

    def _check_demonstrations(self) -> None:
        imitated = self.agent.imitation > 0.0 and self.agent.imitation_of == "demonstrations"
        if imitated and not self.demonstrations:
            raise ValueError(
                "agent.imitation_of is demonstrations, but there are none: name their folder, demonstrations "
                f"(`her-robot demonstrate {self.task}` makes some)"
            )
        unknown = {"network.asymmetric": self.network.asymmetric, "network.recurrent": self.network.recurrent != "none"}
        for name, wanted in unknown.items():
            if wanted and self.demonstrations:
                raise ValueError(f"{name} does not go with demonstrations, which hold neither truth nor memory")


_POSITIVE = (
    "total_steps",
    "num_envs",
    "updates_per_cycle",
    "batch_size",
    "agent.learning_rate",
    "agent.n_step",
    "agent.temperature",
    "replay.still_weight",
    "replay.tolerance",
    "agent.target_interval",
    "agent.actor_interval",
    "agent.imitation_steps",
    "anchor_steps",
    "exploration.hold_steps",
    "checkpoint_interval",
    "evaluation.interval_steps",
    "evaluation.episodes",
    "evaluation.final_episodes",
)
_NOT_NEGATIVE = (
    "num_threads",
    "episode_steps",
    "warmup_steps",
    "critics_first",
    "anchor",
    "network.history",
    "network.goal_reach",
)


def load_config(task: str, path_or_preset: str | None, overrides: list[str]) -> TrainConfig:
    """The configuration of a run: a preset or a file (default: the task's own preset), then `key=value` overrides.

    Raises:
        UnknownNameError: unknown task or preset.
        ConfigurationError: anything else that is wrong, by name.
    """
    contract_of(task)
    path = resources.named_file("config/train", path_or_preset or _preset_of(task), "training preset")
    data = configuration.read_yaml(path)
    for override in overrides:
        configuration.apply_override(data, override)
    if data.setdefault("task", task) != task:
        raise ConfigurationError(f"{path}: is for task {data['task']!r}, not {task!r}")
    return configuration.build(TrainConfig, data, str(path))


def _preset_of(task: str) -> str:
    """A task's own preset: the file with its name, or else that of the task which it is a variant of."""
    presets = {path.stem for path in (resources.share_directory() / "config" / "train").glob("*.yaml")}
    parts = task.split("_")
    names = ["_".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in presets), task)
