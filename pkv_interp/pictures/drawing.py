"""From a scene to pixels, and from pixels to the patches that a vision tower takes."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from pkv_interp.pictures.scenes import CELL, SIDE, Scene, Thing

PIXELS = SIDE * CELL
PATCH, MERGE, FRAMES = 14, 2, 2
#: Mean and deviation of each colour by which pixels are normalised: those of Qwen2.5-VL, and of Qwen3-VL.
Scale = tuple[tuple[float, float, float], tuple[float, float, float]]
CLIP: Scale = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALVES: Scale = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

_SHADES = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 90, 230),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "white": (240, 240, 240),
}
_SMALL, _LARGE = (8, 9), (12, 13)


def picture(scene: Scene, size: int = PIXELS) -> Image.Image:
    """The picture of a scene: things a little off their cells' middles, in shades and on a ground of its own.

    Args:
        scene: what it shows.
        size: pixels to a side; larger than ``PIXELS``, everything is drawn larger.
    """
    rng = np.random.default_rng(scene.look)
    ground = rng.integers(10, 60)
    made = Image.new("RGB", (PIXELS, PIXELS), (int(ground),) * 3)
    pen = ImageDraw.Draw(made)
    for thing in scene.things:
        low, high = _LARGE if thing.large else _SMALL
        radius = int(rng.integers(low, high + 1))
        slack = CELL // 2 - 1 - radius
        dx, dy = (int(n) for n in rng.integers(-slack, slack + 1, size=2))
        shade = np.clip(np.array(_SHADES[thing.colour]) + rng.integers(-14, 15, size=3), 0, 255)
        centre = (thing.column * CELL + CELL // 2 + dx, thing.row * CELL + CELL // 2 + dy)
        _draw(pen, thing, centre, radius, (int(shade[0]), int(shade[1]), int(shade[2])), int(ground))
    return made if size == PIXELS else made.resize((size, size), Image.Resampling.BICUBIC)


def _draw(
    pen: ImageDraw.ImageDraw,
    thing: Thing,
    centre: tuple[int, int],
    r: int,
    shade: tuple[int, int, int],
    ground: int,
) -> None:
    x, y = centre
    match thing.shape:
        case "circle":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=shade)
        case "ring":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=shade)
            inner = max(2, r // 2)
            pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=(ground,) * 3)
        case "square":
            s = round(r * 0.85)
            pen.rectangle((x - s, y - s, x + s, y + s), fill=shade)
        case "diamond":
            pen.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=shade)
        case "triangle":
            pen.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=shade)
        case _:
            t = max(1, math.ceil(r / 4))
            pen.rectangle((x - r, y - t, x + r, y + t), fill=shade)
            pen.rectangle((x - t, y - r, x + t, y + r), fill=shade)


def pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """The picture's numbers."""
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def grey(size: int = PIXELS) -> Image.Image:
    """A picture that shows nothing."""
    return Image.new("RGB", (size, size), (35, 35, 35))


def digest(image: Image.Image) -> str:
    """A picture's own name: the sha256 of its pixels."""
    return hashlib.sha256(pixels(image).tobytes()).hexdigest()


def patches(
    image: Image.Image, size: int = PATCH, merge: int = MERGE, scale: Scale = CLIP
) -> tuple[Float[np.ndarray, "n_patches values"], tuple[int, int, int]]:
    """What Qwen's towers take of a picture, without a resize, and its grid (frames, rows, columns).

    Patches of one merged token follow each other; a still picture stands for both frames.

    Args:
        image: whose sides are multiples of a merged token's.
        size: pixels to a side of a patch.
        merge: patches to a side of a merged token.
        scale: mean and deviation of the colours.
    """
    mean, deviation = (np.array(one, dtype=np.float32) for one in scale)
    scaled = (pixels(image).astype(np.float32) / 255.0 - mean) / deviation
    rows, columns = scaled.shape[0] // size, scaled.shape[1] // size
    frames = np.stack([scaled.transpose(2, 0, 1)] * FRAMES)
    cut = frames.reshape(FRAMES, 3, rows // merge, merge, size, columns // merge, merge, size)
    # (row, column of the token), (row, column inside it), channel, frame, (row, column of the pixel)
    ordered = cut.transpose(2, 5, 3, 6, 1, 0, 4, 7)
    return ordered.reshape(rows * columns, -1), (1, rows, columns)
