"""Every word that prompts about pictures are made of, and the tokenizer in which each is one token."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
PLACES = ("northwest", "northeast", "southwest", "southeast")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
SIDES = ("left", "right", "above", "below")
VERDICTS = ("yes", "no")
#: Which of two pictures.
ORDINALS = ("first", "second")
#: Values of the field that says what is asked of a picture.
MODES = ("colour", "shape", "place")

#: Sentences without news, from which prefaces and fillers are cut.
FILLERS = (
    "the report is filed .",
    "please read the note .",
    "all staff keep the door closed .",
    "a copy goes to the desk .",
    "the office opens at nine .",
    "thank you for the visit .",
    "every form has a number .",
    "the next meeting is on monday .",
    "keep this page with the other papers .",
    "the printer stands near the window .",
)

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
VISION_START, VISION_END, IMAGE = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"
_SPECIAL = (PAD, BOS, EOS, VISION_START, VISION_END, IMAGE, "<|video_pad|>")
#: What questions, errata and the words around pictures are made of.
_SENTENCES = (
    "first second picture pictures : , . ?",
    "what colour shape place mode is it where how many things thing the largest one or of in both same by",
    "Erratum the given above out date It Mode see end",
)

#: All tokens, in the order of their ids.
VOCABULARY = tuple(
    dict.fromkeys(
        (
            *_SPECIAL,
            *COLOURS,
            *SHAPES,
            *PLACES,
            *NUMBERS,
            *SIDES,
            *VERDICTS,
            *(word for sentence in (*_SENTENCES, *FILLERS) for word in sentence.split()),
        )
    )
)


def picture_tokenizer() -> PreTrainedTokenizerFast:
    """A fresh word-level tokenizer of ``VOCABULARY``; words and marks are told apart, BOS opens a text."""
    core = Tokenizer(WordLevel({word: at for at, word in enumerate(VOCABULARY)}, unk_token=PAD))
    core.pre_tokenizer = Whitespace()
    core.post_processor = TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, VOCABULARY.index(BOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=PAD,
        additional_special_tokens=[VISION_START, VISION_END, IMAGE, "<|video_pad|>"],
        clean_up_tokenization_spaces=False,
    )
