"""Time to the first token of a question about a picture: from its pixels, and from its chunk."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from pkv_interp.cache.picture_runner import with_pictures
from pkv_interp.composing.splice import splice
from pkv_interp.editing.cost import Stopwatch
from pkv_interp.measure.picture_splices import Bench
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.drawing import picture
from pkv_interp.pictures.items import Item


@dataclass(frozen=True)
class FirstToken:
    """Wall times of one round, in milliseconds.

    Attributes:
        pixels: to a side of the picture.
        tokens: of the picture.
        full: tower and prefill of the whole prompt.
        tower: of it, the tower.
        reuse: the chunk turned to its place, and the question run after it.
    """

    pixels: int
    tokens: int
    full: float
    tower: float
    reuse: float


def first_token(loaded: LoadedVision, item: Item, pixels: int, shift: int) -> FirstToken:
    """Time one prompt both ways, after a preface whose cache both have.

    Args:
        loaded: the model.
        item: a question about one picture.
        pixels: to a side of the picture.
        shift: words of the preface.
    """
    image: Image.Image = picture(item.scenes[0], pixels)
    seen = loaded.seen([image])
    bench = Bench.showing(loaded, item, [image])
    parts = bench.parts(shift)
    prefix = bench.runner.prefill(parts.head).cache
    chunk = bench.chunk(bench.parts(0).head)
    watch = Stopwatch(loaded.model.device)
    pictures = loaded.look_at(seen)
    tower = watch.read()
    with_pictures(bench.runner, pictures).extend(prefix, (*parts.body, *parts.tail))
    full = watch.read()
    watch = Stopwatch(loaded.model.device)
    bench.runner.extend(splice(bench.runner, prefix, chunk), parts.tail)
    return FirstToken(pixels, bench.counts[0], full, tower, watch.read())
