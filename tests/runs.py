"""Experiments through their real command lines, on a tiny model and few families."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra

from tests.experiments.small_memories import LOCOMO, MEMORY
from tests.experiments.small_pictures import VISION
from tests.serving.small import SERVING

ROOT = Path(__file__).parent.parent
SMALL = (
    "model=tiny-llama",
    "discovery=[orders,support]",
    "held_out=[documents,alerts]",
    "instances=1",
    "write_sweeps=2",
    "write_instances=1",
    "random_draws=2",
    *("bootstrap_draws=200", "threads=1"),
)
BLAST = (
    *("model=tiny-llama", "families=[orders,documents,alerts]", "fillers=[0,2]", "effect_fillers=[0]"),
    *("random_draws=2", "bootstrap_draws=200", "threads=1"),
)
PATCHING = (
    "model=tiny-llama",
    "families=[orders,alerts,posts]",
    "instances=1",
    "n_fillers=1",
    "random_draws=2",
    "top_k=[1,4]",
    "shares=[0.1,0.5,1.0]",
    "knockout_shares=[0.5,1.0]",
    "knockout_draws=1",
    "path_draws=1",
    "grid_cases=2",
    "grid_parts=[V,KV]",
    "fillers=[0,2]",
    "rules=[1,2]",
    "places=[first,after_rule,last]",
    "place_fillers=4",
    "cot_cases=1",
    "cot_tokens=4",
    *("bootstrap_draws=200", "threads=1"),
)
AGENT = (
    *("model=tiny-llama", "domains=[documents,alerts]", "instances=1", "turns=4", "n_fillers=1", "seam=2"),
    *("both_layouts=1", "bootstrap_draws=200", "threads=1"),
)
EDITING = (
    "model=tiny-llama",
    "families=[orders,alerts]",
    "fillers=[1]",
    "methods=[stale,field_only,recompute@4,erratum,auto,suffix_recompute,full_reprefill]",
    "top_k=[1,8]",
    "rank_instances=1",
    "random_draws=1",
    "cot_cases=1",
    "cot_tokens=4",
    "turns=3",
    "horizon_cases=2",
    "traced_cases=2",
    "read_heads=2",
    *("bootstrap_draws=200", "threads=1"),
)
WEIGHT_EDITS = (
    "model=tiny-llama",
    "families=[orders,support,alerts,posts]",
    "depths=[0.3]",
    "corpus_tokens=500",
    "discovery=1",
    "gate_records=2",
    "others=2",
    "decisions=2",
    "value_steps=2",
    "lora_steps=2",
    "latency_repeats=1",
    *("bootstrap_draws=200", "threads=1"),
)
COMPOSING = (
    "model=tiny-llama",
    "families=[orders,alerts,posts]",
    "instances=1",
    "n_fillers=1",
    "conditions=[rule,rule_after_field,all,system_area,mid_trajectory,lookup]",
    "seams=[1,4]",
    "curve_families=2",
    "chunk_fillers=[0,2]",
    "distance_fillers=[0,2]",
    "skills=[1,3]",
    "tool_values=1",
    "tool_tokens=4",
    "diagnosis_prompts=2",
    "lengths=[96,160]",
    "rounds=2",
    *("bootstrap_draws=200", "threads=1"),
)
PROMPT = (
    *("model=tiny-llama", "family=alerts", "n_fillers=0", "rank_instances=1", "threads=1"),
    "methods=[stale,field_only,recompute@4,erratum,full_reprefill]",
)
KEYSTONE = (
    "model=tiny-llama",
    "families=[orders,alerts,posts]",
    "n_fillers=1",
    "methods=[stale,field_only,recompute@4,erratum,full_reprefill]",
    "bootstrap_draws=200",
    "threads=1",
)
CONTROLS = (
    "model=tiny-llama",
    "discovery=[orders,support]",
    "held_out=[documents,alerts]",
    "instances=2",
    "n_fillers=1",
    "top_k=[1,4]",
    "random_draws=2",
    "probe_layers=4",
    "probe_shuffles=1",
    "edit_layers=[0.5,1.0]",
    "edit_draws=2",
    "sae_samples=200",
    "sae_features=32",
    "sae_active=4",
    "sae_steps=20",
    "sae_top=[1,3]",
    "bootstrap_draws=200",
    "threads=1",
)
BENCH = (
    "model=tiny-llama",
    "n_fillers=1",
    "patches=4",
    "repeats=2",
    "grid_sample=7",
    "memory_patches=[5,50]",
    "edit_lengths=[128,256]",
    "edit_methods=[field_only,erratum,hoist,suffix_recompute]",
    "edit_added=[16,48]",
    "write_fillers=0",
    "write_positions=3",
    "write_sample=4",
    "peer_cells=20",
    "peer_reruns=4",
    "peer_sample=3",
    "growth_tokens=[128,256]",
    "growth_cases=[1,2]",
    "growth_shapes=[2,4]",
    "half_lengths=[40,80]",
    "half_width=64",
    "plan_widths=[64]",
    "plan_tokens=24",
    "share_lengths=[96,160]",
)
ANATOMY = (
    "model=tiny-llama",
    "discovery=[orders,support]",
    "held_out=[documents,alerts]",
    "instances=1",
    "n_fillers=1",
    "top_k=[1,4]",
    "random_draws=2",
    "bootstrap_draws=200",
    "threads=1",
)
LAYOUTS = (
    "model=tiny-llama",
    "families=[orders,support]",
    "layouts=[standard,python_script,python_script_late,python_chat_lean,yaml]",
    "instances=1",
    "bootstrap_draws=200",
    "threads=1",
)
ORIGIN = (
    "model=tiny-llama",
    "families=[orders,alerts,posts]",
    "n_fillers=1",
    "curricula=[late,mixed]",
    "reader_seeds=2",
    "both_seeds=1",
    "stages=[{steps:2,lessons:rules,lr:[0.01,0.01],batch:2},{steps:1,lr:[0.01,0.01],batch:2}]",
    "prefill_stages=[{steps:1,lessons:rules,lr:[0.01,0.01],batch:2},{steps:1,lr:[0.01,0.01],batch:2}]",
    "pool=1",
    "rank=2",
    "work_dir=null",
    "bootstrap_draws=200",
    "threads=1",
)
_CONFIRM = ROOT / "tests" / "experiments" / "confirm_files"
CONFIRM = (
    "model=tiny-llama",
    f"scenarios={_CONFIRM / 'scenarios.yaml'}",
    f"preregistration={_CONFIRM / 'preregistration.yaml'}",
    "threads=1",
)
TAU2 = (
    *("model=tiny-llama", "domains=[retail]", "records=8", "loops=2", "loop_turns=2", "seam=2"),
    *("episodes=2", "bootstrap_draws=200", "threads=1"),
)
ARCHITECTURES = (
    *("model=tiny-table", "architectures=[llama,gpt2,mamba2]", "families=[orders,alerts]", "n_fillers=0"),
    *("bootstrap_draws=200", "threads=1"),
)
AUDIT = (f"path={ROOT / 'tests' / 'audit' / 'records'}",)
PROGRAMMABLE = (
    *("model=tiny-llama", "discovery=[orders,support]", "held_out=[documents,alerts]", "read_heads=3"),
    *("instances=1", "fillers=[1,3]", "long_families=1", "links=1", "drift_edits=4", "drift_families=2"),
    *("cost_edits=2", "join_chunks=[1,2]", "join_families=2", "chats=2", "strengths=[0.5]"),
    *("bootstrap_draws=100", "threads=1"),
)
#: By experiment: the smallest sizes that go through every part.
ARGUMENTS = {
    "agent": AGENT,
    "anatomy": ANATOMY,
    "architectures": ARCHITECTURES,
    "audit": AUDIT,
    "bench": BENCH,
    "blast_radius": BLAST,
    "circuit": SMALL,
    "composing": COMPOSING,
    "confirm": CONFIRM,
    "controls": CONTROLS,
    "editing": EDITING,
    "keystone": KEYSTONE,
    "layouts": LAYOUTS,
    "locomo": LOCOMO,
    "memory": MEMORY,
    "origin": ORIGIN,
    "patching": PATCHING,
    "programmable": PROGRAMMABLE,
    "prompt": PROMPT,
    "serving": SERVING,
    "tau2": TAU2,
    "vision": VISION,
    "weight_edits": WEIGHT_EDITS,
}
#: Packages of extras that an experiment cannot do without, by experiment.
NEEDS = {"tau2": "tau2"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """``python -m module arguments`` from the repository's root, its output captured."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(module: str, *arguments: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """As `start`, but waits for the end."""
    process = start(module, *arguments)
    try:
        out, error = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def inside(experiment: str, *arguments: str) -> None:
    """The command line of an experiment in this process, which has imported what takes seconds to import.

    Raises:
        SystemExit: it ended with another code than 0.
    """
    before = sys.argv
    sys.argv = [experiment, *arguments]
    GlobalHydra.instance().clear()
    try:
        importlib.import_module(f"experiments.{experiment}.__main__").main()
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()


def last(*arguments: str) -> list[str]:
    """Every key once, with the value that it is given last: Hydra refuses a key that is given twice."""
    return list({argument.partition("=")[0]: argument for argument in arguments}.values())


def small(experiment: str, results: Path, *arguments: str) -> None:
    """The small run of an experiment in this process, with its record under ``results``.

    Args:
        experiment: its name.
        results: folder of the record.
        arguments: what is to differ from `ARGUMENTS`.
    """
    inside(experiment, *last(*ARGUMENTS[experiment], f"results_dir={results}", *arguments))
