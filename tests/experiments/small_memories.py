"""The smallest sizes of the experiments on memories that go through every part."""

from pathlib import Path

LOCOMO = (
    f"path={Path(__file__).parent / 'locomo_files' / 'made_up.json'}",
    *("model=tiny-llama", "sessions=2", "questions=3", "adversarial=true", "seams=[0,3]", "answer_tokens=4"),
    *("bootstrap_draws=200", "threads=1"),
)
MEMORY = (
    *("model=tiny-llama", "personas=2", "sizes=[8]", "relevant=[1]", "n_turns=1", "cot_personas=1"),
    *(
        "cot_tokens=2",
        "seams=[0,3]",
        "edit_relevant=[1]",
        "edits=[in_place,erratum,recompute@4,auto,recompile]",
    ),
    *("blocks=[1,2]", "block_size=8", "block_personas=2", "reference_size=6", "reference_seams=[0,2]"),
    *("agents=2", "agent_turns=2", "decide_every=1", "edit_rate=0.5", "amounts=[1]", "sweep_personas=2"),
    *("bootstrap_draws=200", "threads=1"),
)
