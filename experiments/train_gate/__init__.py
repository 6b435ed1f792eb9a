"""Train the gate adapter, a LoRA with which a small chat model decides by field and rule.

It is judged on evaluation families, rule wordings and update wordings that training never saw, at every
prompt length; on ordinary chat, against the base model; and on whether the published mechanism (the decision
reads notes, not the field) is there at each stage of training. Thresholds are reported as reached or missed;
they do not stop the record.
"""
