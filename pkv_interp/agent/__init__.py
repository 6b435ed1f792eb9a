"""An agent whose state changes while it works: domains, tools that enforce the state, and the loop."""

from pkv_interp.agent.arms import ARMS, Arm
from pkv_interp.agent.episodes import Design, Episode, EpisodeSizes, Turn, designs, episode
from pkv_interp.agent.loop import Step, run_episode
from pkv_interp.agent.transcript import Transcript
from pkv_interp.agent.world import Outcome, World

__all__ = [
    "ARMS",
    "Arm",
    "Episode",
    "EpisodeSizes",
    "Outcome",
    "Design",
    "Step",
    "Transcript",
    "Turn",
    "World",
    "episode",
    "designs",
    "run_episode",
]
