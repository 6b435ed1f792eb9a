"""The smallest sizes of the experiment on pictures."""

VISION = (
    *(
        "kinds=[colour,count,colour_of]",
        "pictures=3",
        "two=2",
        "shifts=[3,6]",
        "seams=[0,4]",
        "field_pictures=1",
    ),
    *("methods=[stale,field_only,recompute@4,erratum,hoist,full_reprefill]", "resolutions=[112,168]"),
    *("rounds=2", "bootstrap_draws=100", "threads=1"),
)
