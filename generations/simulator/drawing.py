"""Pictures from a seed and a prompt: soft landscapes of light. Deterministic, quick, and different for each pair."""

from __future__ import annotations

import colorsys
import hashlib
import math
import random

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

CANVAS_PIXELS = 144
SMALL_CANVAS_PIXELS = 48
# Hue (0..1), saturation and lightness of words that people use for colours and for what has one.
WORDS = {
    "red": (0.99, 0.8, 0.5), "rose": (0.95, 0.6, 0.65), "pink": (0.93, 0.7, 0.7), "orange": (0.07, 0.9, 0.55),
    "gold": (0.12, 0.8, 0.55), "golden": (0.12, 0.8, 0.55), "sun": (0.1, 0.9, 0.6), "sunset": (0.05, 0.85, 0.55),
    "yellow": (0.15, 0.9, 0.6), "green": (0.35, 0.6, 0.4), "forest": (0.37, 0.5, 0.3), "leaf": (0.3, 0.6, 0.45),
    "teal": (0.49, 0.6, 0.4), "sea": (0.54, 0.6, 0.45), "ocean": (0.56, 0.7, 0.4), "water": (0.53, 0.5, 0.55),
    "sky": (0.56, 0.6, 0.7), "blue": (0.6, 0.75, 0.5), "night": (0.64, 0.6, 0.2), "space": (0.7, 0.6, 0.18),
    "stars": (0.66, 0.5, 0.25), "violet": (0.76, 0.6, 0.5), "purple": (0.78, 0.6, 0.45), "fire": (0.03, 0.95, 0.5),
    "snow": (0.57, 0.3, 0.9), "ice": (0.53, 0.4, 0.8), "clouds": (0.57, 0.3, 0.85), "desert": (0.09, 0.55, 0.6),
    "fox": (0.06, 0.8, 0.5), "brown": (0.07, 0.45, 0.35), "black": (0.65, 0.1, 0.1), "white": (0.6, 0.1, 0.92),
}  # fmt: skip

Color = tuple[int, int, int]


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """What a sampler starts from: grain in all colours."""
    grains = random.Random(seed)
    small = (max(1, size[0] // 2), max(1, size[1] // 2))
    bands = [Image.frombytes("L", small, grains.randbytes(small[0] * small[1])) for _ in range(3)]
    return Image.merge("RGB", bands).resize(size, Image.Resampling.NEAREST)


def paint(
    size: tuple[int, int], *, seed: int, prompt: str, negative: str = "", style: str = "", contrast: float = 8.0
) -> Image.Image:
    """An RGB picture of that size in pixels. The same arguments give the same bytes."""
    text = hashlib.sha256(f"{prompt}|{negative}|{style}".encode()).digest()
    chance = random.Random(int.from_bytes(text, "big") ^ seed)
    palette = _palette(prompt, random.Random(text))
    longest = CANVAS_PIXELS if max(size) > 2 * SMALL_CANVAS_PIXELS else SMALL_CANVAS_PIXELS
    scale = longest / max(size)
    canvas = (max(2, round(size[0] * scale)), max(2, round(size[1] * scale)))
    picture = _sky(canvas, palette, chance)
    picture = _lights(picture, palette, chance)
    picture = _ridges(picture, palette, chance)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    picture = ImageEnhance.Contrast(picture).enhance(0.85 + min(contrast, 30.0) / 40)
    return _grain(picture, chance)


def _palette(prompt: str, chance: random.Random) -> list[Color]:
    """Five colours, dark to light: those that the prompt names, filled up around a hue that its words decide."""
    named = [WORDS[word] for word in (raw.strip(",.;:!?()").lower() for raw in prompt.split()) if word in WORDS]
    base = named[0][0] if named else chance.random()
    spread = chance.choice((0.08, 0.12, 0.33, 0.45))
    colors = named[:4]
    while len(colors) < 5:
        hue = (base + spread * (len(colors) - 1) * chance.uniform(0.5, 1.0)) % 1.0
        colors.append((hue, chance.uniform(0.45, 0.85), 0.18 + 0.16 * len(colors)))
    ordered = sorted(colors, key=lambda color: color[2])
    return [_rgb(*color) for color in ordered]


def _rgb(hue: float, saturation: float, lightness: float) -> Color:
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _sky(size: tuple[int, int], palette: list[Color], chance: random.Random) -> Image.Image:
    """A slanted gradient through the palette, in soft waves."""
    stops = palette[1:] if chance.random() < 0.6 else palette[:0:-1]
    strip = Image.new("RGB", (1, len(stops)))
    strip.putdata(stops)
    side = round(math.hypot(*size)) + 2
    gradient = strip.resize((side, side), Image.Resampling.BICUBIC)
    turned = gradient.rotate(chance.uniform(-35, 35), Image.Resampling.BILINEAR, fillcolor=stops[0])
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return turned.crop((left, top, left + size[0], top + size[1]))


def _lights(picture: Image.Image, palette: list[Color], chance: random.Random) -> Image.Image:
    """Glowing discs: one like a sun, others like haze."""
    width, height = picture.size
    layer = Image.new("RGB", picture.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(chance.randint(4, 8)):
        radius = chance.uniform(0.06, 0.32) * max(width, height)
        x, y = chance.uniform(0, width), chance.uniform(0, 0.8 * height)
        color = tuple(round(part * chance.uniform(0.25, 0.6)) for part in chance.choice(palette[2:]))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    haze = layer.filter(ImageFilter.GaussianBlur(max(width, height) / 14))
    glowing = ImageChops.screen(picture, haze)
    sun = Image.new("RGB", picture.size)
    radius = chance.uniform(0.05, 0.13) * max(width, height)
    x, y = chance.uniform(0.2, 0.8) * width, chance.uniform(0.15, 0.5) * height
    ImageDraw.Draw(sun).ellipse((x - radius, y - radius, x + radius, y + radius), fill=palette[-1])
    corona = sun.filter(ImageFilter.GaussianBlur(radius * 0.9))
    return ImageChops.screen(ImageChops.screen(glowing, corona), sun.filter(ImageFilter.GaussianBlur(0.7)))


def _ridges(picture: Image.Image, palette: list[Color], chance: random.Random) -> Image.Image:
    """Hills in front of each other, nearer ones darker."""
    width, height = picture.size
    count = chance.randint(3, 5)
    far, near = palette[chance.randint(1, 3)], palette[0]
    for index in range(count):
        share = (index + 1) / count
        color = tuple(round(a + (b - a) * share) for a, b in zip(far, near, strict=True))
        base = height * (0.5 + 0.42 * share) + chance.uniform(-0.06, 0.06) * height
        waves = [
            (chance.uniform(0.02, 0.09) * height / (n + 1), chance.uniform(0.6, 2.2) * (n + 1), chance.uniform(0, 6.3))
            for n in range(4)
        ]
        line = [
            (x, base + sum(high * math.sin(often * 6.283 * x / width + shift) for high, often, shift in waves))
            for x in range(-2, width + 3)
        ]
        mask = Image.new("L", picture.size)
        ImageDraw.Draw(mask).polygon([*line, (width + 2, height + 2), (-2, height + 2)], fill=round(150 + 95 * share))
        hill = Image.new("RGB", picture.size, color)
        picture = Image.composite(hill, picture, mask.filter(ImageFilter.GaussianBlur(1.6 - 1.2 * share)))
    return picture


def _grain(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Fine paper grain, so that large flat areas do not band."""
    tile = Image.frombytes("L", (64, 64), bytes(120 + value % 17 for value in chance.randbytes(4096)))
    sheet = Image.new("L", picture.size)
    for left in range(0, picture.width, 64):
        for top in range(0, picture.height, 64):
            sheet.paste(tile, (left, top))
    return ImageChops.overlay(picture, Image.merge("RGB", (sheet, sheet, sheet)))
