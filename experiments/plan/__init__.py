"""What would a run of a model take? Memory by part and time by stage, from its configuration alone."""
