"""Train a small vision-language model of Qwen2.5-VL's architecture on synthetic pictures, and judge it.

It is judged on pictures whose things never stood where they stand in any picture of the training: on one
picture and on two, after prefaces of several lengths, and with a field that says what is asked.
"""
