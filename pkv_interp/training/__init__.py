"""Training of the gate adapter: data, replay, LoRA."""
