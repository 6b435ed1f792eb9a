"""Train the gate: a LoRA that makes a small chat model decide by field and rule, on words not tested with.

The adapter is judged on evaluation families, rule wordings and update wordings that training never saw, at
every prompt length; on ordinary chat, against the base model; and on whether the published mechanism (the
decision reads notes, not the field) is there at each stage of training. Thresholds are reported as reached or
missed; they do not stop the record.
"""
