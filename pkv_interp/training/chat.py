"""Ordinary chat text for replay: prompts written here, replies sampled once from the base model itself.

Cross-entropy on a model's own samples is, in expectation, the forward KL to it: replay holds the adapted
model to the base model's behaviour away from decisions by rule. Held-out topics and requests share nothing
with those trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from pkv_interp.cache.forward import fresh_rotation

TOPICS: tuple[str, ...] = (
    "photosynthesis",
    "the moon",
    "bread",
    "volcanoes",
    "chess",
    "bicycles",
    "honey bees",
    "rainbows",
    "jazz",
    "the Roman empire",
    "earthquakes",
    "tea",
    "penguins",
    "gravity",
    "libraries",
    "soap",
    "trains",
    "sleep",
    "the alphabet",
    "maps",
    "cheese",
    "deserts",
    "poetry",
    "clocks",
    "swimming",
    "glass",
    "paper",
    "rivers",
    "friendship",
    "computers",
    "magnets",
    "owls",
    "pizza",
    "castles",
    "the weather",
    "football",
    "salt",
    "mountains",
    "robots",
    "dreams",
    "the number zero",
    "shoes",
    "apples",
    "islands",
    "painting",
    "money",
    "laughter",
    "airplanes",
    "fish",
    "museums",
    "forests",
    "mirrors",
    "email",
    "dinosaurs",
)
REQUESTS: tuple[str, ...] = (
    "Explain {topic} in two sentences.",
    "Tell me something surprising about {topic}.",
    "Write a short poem about {topic}.",
    "Why do people care about {topic}?",
    "Give me three facts about {topic}.",
    "How would you describe {topic} to a child?",
    "Name two books or films about {topic}.",
    "What is the difference between good and bad {topic}?",
    "I know nothing about {topic}. Where do I start?",
    "Write a short message to a friend about {topic}.",
)
HELD_OUT_TOPICS: tuple[str, ...] = (
    "whales",
    "bridges",
    "coffee",
    "snow",
    "violins",
    "elections",
    "gardens",
    "stars",
)
HELD_OUT_REQUESTS: tuple[str, ...] = (
    "What is the history of {topic}?",
    "Plan a school lesson about {topic}.",
    "What do most people get wrong about {topic}?",
    "Write the first lines of a story about {topic}.",
)


@dataclass(frozen=True)
class Chat:
    """A rendered prompt and the base model's reply to it."""

    prompt: str
    reply: str


def prompts(held_out: bool) -> list[str]:
    """User messages of the training or of the held-out part."""
    topics, requests = (HELD_OUT_TOPICS, HELD_OUT_REQUESTS) if held_out else (TOPICS, REQUESTS)
    return [request.format(topic=topic) for topic, request in product(topics, requests)]


@torch.no_grad()
def sample_replies(
    model: Any,
    tokenizer: Any,
    messages: Sequence[str],
    *,
    max_new_tokens: int = 72,
    temperature: float = 0.7,
    seed: int = 0,
    batch_size: int = 32,
) -> list[Chat]:
    """Let the base model answer; replies end at the first end-of-turn token or are cut.

    Without a chat template a message is a line of plain text, and the reply is its continuation. Messages of
    one batch are left-padded, with positions and mask set by ``generate``.

    Args:
        model: the base model.
        tokenizer: of the model.
        messages: one per chat.
        max_new_tokens: longest reply.
        temperature: of the sampling.
        seed: of the sampling.
        batch_size: chats per forward.
    """
    rendered = [_rendered(m, tokenizer) for m in messages]
    chats: list[Chat] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for start in range(0, len(rendered), batch_size):
            part = rendered[start : start + batch_size]
            encoded = tokenizer(
                part,
                return_tensors="pt",
                padding=True,
                padding_side="left",
                # A template writes what belongs before a text itself.
                add_special_tokens=tokenizer.chat_template is None,
            ).to(model.device)
            with fresh_rotation(model):
                out = model.generate(
                    **encoded,
                    do_sample=True,
                    temperature=temperature,
                    top_p=0.95,
                    top_k=0,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=tokenizer.eos_token_id,
                )
            new = out[:, encoded["input_ids"].shape[1] :]
            texts = tokenizer.batch_decode(new, skip_special_tokens=True)
            chats.extend(Chat(p, t) for p, t in zip(part, texts, strict=True) if t.strip())
    return chats


def _rendered(message: str, tokenizer: Any) -> str:
    if tokenizer.chat_template is None:
        return f"{message}\n"
    turns = [{"role": "user", "content": message}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
