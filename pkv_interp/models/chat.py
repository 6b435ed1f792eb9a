"""Make every chat template take a system message."""

from __future__ import annotations

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

# Merges a leading system message into the first user turn, as Gemma 3's own template does.
_MERGE_SYSTEM = (
    "{%- if messages|length > 1 and messages[0]['role'] == 'system' -%}"
    "{%- set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\\n\\n' + messages[1]['content']}] + messages[2:] -%}"
    "{%- endif -%}"
)
_PROBE = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


def accept_system_role(tokenizer: PreTrainedTokenizerBase) -> None:
    """Where the chat template refuses a system message (Gemma 2), merge it into the first user turn.

    The tokenizer's template is changed in place; templates that take a system message are left as they are.
    A tokenizer without a template is left without one.
    """
    template = tokenizer.chat_template
    if not isinstance(template, str):
        return
    try:
        tokenizer.apply_chat_template(_PROBE, tokenize=False)
    except TemplateError:
        tokenizer.chat_template = _MERGE_SYSTEM + template
