"""The smallest sizes of the serving experiment that go through every part."""

SERVING = (
    "model=tiny-llama",
    "families=[documents,alerts]",
    "n_fillers=1",
    "injected=[field_only,recompute@4]",
    "loads=[0.5,1.5]",
    "clients=2",
    "fault_scenes=4",
    "lengths=[200,300]",
    "bootstrap_draws=200",
    "threads=1",
)
