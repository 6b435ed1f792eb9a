"""Experiments through their real command lines, on a tiny model and few families."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMALL = (
    "model=tiny-llama",
    "discovery=[orders,support]",
    "held_out=[documents,alerts]",
    "instances=1",
    "write_sweeps=2",
    "write_instances=1",
    "random_draws=2",
    "bootstrap_draws=200",
    "threads=1",
)
BLAST = (
    "model=tiny-llama",
    "families=[orders,documents,alerts]",
    "fillers=[0,2]",
    "effect_fillers=[0]",
    "random_draws=2",
    "bootstrap_draws=200",
    "threads=1",
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
    "grid_cases=2",
    "grid_parts=[V,KV]",
    "fillers=[0,2]",
    "rules=[1,2]",
    "cot_cases=1",
    "cot_tokens=4",
    "bootstrap_draws=200",
    "threads=1",
)
AGENT = (
    "model=tiny-llama",
    "domains=[documents,alerts]",
    "instances=1",
    "turns=4",
    "n_fillers=1",
    "seam=2",
    "both_layouts=1",
    "bootstrap_draws=200",
    "threads=1",
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
    "bootstrap_draws=200",
    "threads=1",
)
WEIGHT_EDITS = (
    "model=tiny-llama",
    "families=[orders,support,alerts,posts]",
    "depths=[0.3]",
    "corpus_tokens=500",
    "discovery=1",
    "others=2",
    "decisions=2",
    "value_steps=2",
    "lora_steps=2",
    "latency_repeats=1",
    "bootstrap_draws=200",
    "threads=1",
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
    "bootstrap_draws=200",
    "threads=1",
)
KEYSTONE = (
    "model=tiny-llama",
    "families=[orders,alerts,posts]",
    "n_fillers=1",
    "methods=[stale,field_only,recompute@4,erratum,full_reprefill]",
    "bootstrap_draws=200",
    "threads=1",
)
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


def circuit(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small circuit run with its record under ``results``."""
    return run("experiments.circuit", *SMALL, f"results_dir={results}", *arguments)


def blast_radius(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small blast radius run with its record under ``results``."""
    return run("experiments.blast_radius", *BLAST, f"results_dir={results}", *arguments)


def patching(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small patching run with its record under ``results``."""
    return run("experiments.patching", *PATCHING, f"results_dir={results}", *arguments)


def agent(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small agent run with its record under ``results``."""
    return run("experiments.agent", *AGENT, f"results_dir={results}", *arguments)


def editing(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small editing run with its record under ``results``."""
    return run("experiments.editing", *EDITING, f"results_dir={results}", *arguments)


def weight_edits(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small run of weight edits with its record under ``results``."""
    return run("experiments.weight_edits", *WEIGHT_EDITS, f"results_dir={results}", *arguments)


def composing(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small composing run with its record under ``results``."""
    return run("experiments.composing", *COMPOSING, f"results_dir={results}", *arguments)


def keystone(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The small keystone run with its record under ``results``."""
    return run("experiments.keystone", *KEYSTONE, f"results_dir={results}", *arguments)
