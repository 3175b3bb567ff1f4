"""Pictures from a seed and a prompt. Deterministic and quick: painted small with Pillow, then scaled up smoothly.

The prompt's words choose the palette and one of six scenes, the seed the composition. No call on the random numbers
depends on the size, so that a sketch in a smaller size shows the same picture.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
import re
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

CANVAS_PIXELS = 224
SMALL_CANVAS_PIXELS = 44
# Hue (0..1), saturation and lightness of words that people use for colours and for what has one.
COLORS = {
    "red": (0.99, 0.75, 0.5), "rose": (0.95, 0.6, 0.65), "pink": (0.93, 0.65, 0.68), "orange": (0.07, 0.85, 0.55),
    "gold": (0.12, 0.75, 0.55), "golden": (0.12, 0.75, 0.55), "sun": (0.1, 0.85, 0.6), "sunset": (0.04, 0.8, 0.55),
    "yellow": (0.14, 0.85, 0.58), "green": (0.36, 0.5, 0.42), "forest": (0.39, 0.45, 0.3), "leaf": (0.3, 0.5, 0.45),
    "leaves": (0.3, 0.5, 0.45), "teal": (0.49, 0.6, 0.42), "sea": (0.53, 0.6, 0.45), "ocean": (0.56, 0.65, 0.42),
    "water": (0.53, 0.5, 0.55), "sky": (0.56, 0.6, 0.62), "blue": (0.6, 0.7, 0.5), "night": (0.64, 0.55, 0.28),
    "space": (0.7, 0.5, 0.25), "violet": (0.75, 0.55, 0.52), "purple": (0.78, 0.55, 0.46), "neon": (0.87, 0.85, 0.58),
    "fire": (0.03, 0.9, 0.5), "autumn": (0.06, 0.7, 0.48), "snow": (0.57, 0.3, 0.85), "ice": (0.53, 0.45, 0.75),
    "winter": (0.58, 0.35, 0.75), "clouds": (0.58, 0.3, 0.78), "desert": (0.09, 0.5, 0.58), "fox": (0.05, 0.75, 0.5),
    "brown": (0.07, 0.4, 0.36), "black": (0.65, 0.12, 0.2), "white": (0.6, 0.12, 0.85), "silver": (0.58, 0.1, 0.68),
}  # fmt: skip
GRAIN = bytes(122 + value % 13 for value in range(256))

Color = tuple[int, int, int]
Size = tuple[int, int]
Scene = Callable[[Size, list[Color], random.Random], Image.Image]


def noise(size: Size, seed: int) -> Image.Image:
    """What a sampler starts from: grain in all colours."""
    grains = random.Random(seed)
    small = (max(1, size[0] // 2), max(1, size[1] // 2))
    bands = [Image.frombytes("L", small, grains.randbytes(small[0] * small[1])) for _ in range(3)]
    return Image.merge("RGB", bands).resize(size, Image.Resampling.NEAREST)


def paint(
    size: Size, *, seed: int, prompt: str, negative: str = "", style: str = "", contrast: float = 8.0, steps: int = 20
) -> Image.Image:
    """An RGB picture of that size in pixels. The same arguments give the same bytes.

    `contrast` is the sampler's cfg; few `steps` leave it soft.
    """
    text = hashlib.sha256(f"{prompt}|{negative}|{style}".encode()).digest()
    chance = random.Random(int.from_bytes(text, "big") ^ seed)
    words = re.findall(r"[^\W\d_]+", prompt.lower())
    palette, scene = _palette(words), _scene(words)
    longest = CANVAS_PIXELS if max(size) > 2 * SMALL_CANVAS_PIXELS else SMALL_CANVAS_PIXELS
    scale = longest / max(size)
    canvas = (max(4, round(size[0] * scale)), max(4, round(size[1] * scale)))
    picture = scene(canvas, palette, chance)
    picture = picture.filter(ImageFilter.GaussianBlur(longest / 40 / steps))
    picture = _vignette(picture).resize(size, Image.Resampling.BICUBIC)
    picture = ImageEnhance.Contrast(picture).enhance(0.88 + min(contrast, 30.0) / 50)
    return _grain(picture, chance)


# ------------------------------------------------------------------------------------------------- colours
def _palette(words: list[str]) -> list[Color]:
    """Five colours, dark to light, around what the prompt names, else around a hue that its words decide."""
    chance = random.Random(" ".join(words))
    named = [COLORS[word] for word in words if word in COLORS]
    hue = chance.random()
    main = named[0] if named else (hue, chance.uniform(0.4, 0.65), chance.uniform(0.4, 0.52))
    turn = chance.choice((-0.14, -0.08, 0.07, 0.13, 0.16))
    others = [color for color in named if abs(color[0] - main[0]) > 0.03]
    accent = others[0] if others else ((main[0] + turn) % 1.0, chance.uniform(0.5, 0.75), 0.6)
    night = others[-1][0] if others else (main[0] - turn / 3) % 1.0
    return [
        _rgb(night, min(main[1], 0.5), 0.09),
        _rgb(night, min(main[1], 0.55), min(main[2] * 0.55, 0.3)),
        _rgb(*main),
        _rgb(accent[0], accent[1], max(accent[2], 0.52)),
        _rgb(accent[0], min(accent[1], 0.75), 0.88),
    ]


def _rgb(hue: float, saturation: float, lightness: float) -> Color:
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(one: Color, two: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, two, strict=True))
    return red, green, blue


def _ramp(stops: list[Color]) -> list[Color]:
    """256 colours through the stops."""
    parts = len(stops) - 1
    places = [index * parts / 256 for index in range(256)]
    return [_mix(stops[int(place)], stops[int(place) + 1], place % 1) for place in places]


def _colored(field: Image.Image, ramp: list[Color]) -> Image.Image:
    """A grey picture in the ramp's colours."""
    return Image.merge("RGB", [field.point([color[band] for color in ramp]) for band in range(3)])


# ------------------------------------------------------------------------------------------------- means
def _clouds(size: Size, chance: random.Random, cells: int) -> Image.Image:
    """Smooth grey noise in three octaves, stretched to the whole range."""
    field = Image.new("L", size, 128)
    for octave, share in ((1, 1.0), (2, 0.36), (4, 0.16)):
        side = cells * octave
        grid = Image.frombytes("L", (side, side), chance.randbytes(side * side))
        field = Image.blend(field, grid.resize(size, Image.Resampling.BICUBIC), share)
    low, high = _extremes(field)
    stretch = 255 / max(1, high - low)
    return field.point([max(0, min(255, round((value - low) * stretch))) for value in range(256)])


def _extremes(field: Image.Image) -> tuple[int, int]:
    counts = field.histogram()
    used = [value for value, count in enumerate(counts) if count]
    return used[0], used[-1]


def _gradient(size: Size, stops: list[Color], angle: float) -> Image.Image:
    """The stops from top to bottom, turned by `angle` degrees."""
    side = round(math.hypot(*size)) + 4
    field = Image.linear_gradient("L").resize((side, side), Image.Resampling.BILINEAR)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    turned = field.rotate(angle, Image.Resampling.BILINEAR).crop((left, top, left + size[0], top + size[1]))
    return _colored(turned, _ramp(stops))


def _disc(size: Size, center: tuple[float, float], radius: float, blur: float) -> Image.Image:
    mask = Image.new("L", size)
    x, y = center
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(blur))


def _glow(picture: Image.Image, mask: Image.Image, color: Color, strength: float) -> Image.Image:
    """Light of that colour where the mask is."""
    light = Image.merge("RGB", [mask.point(lambda value, part=part: value * part * strength / 255) for part in color])
    return ImageChops.screen(picture, light)


def _line(width: int, chance: random.Random, high: float, often: tuple[float, float]) -> list[float]:
    """A wavy line: offsets for x from 0 to `width`."""
    waves = [
        (chance.uniform(0.4, 1.0) * high / (n + 1), chance.uniform(*often) * (n + 1), chance.uniform(0, math.tau))
        for n in range(4)
    ]
    return [
        sum(height * math.sin(count * math.tau * x / width + shift) for height, count, shift in waves)
        for x in range(width + 1)
    ]


def _below(size: Size, line: list[float], base: float) -> Image.Image:
    """Mask of everything under the line."""
    mask = Image.new("L", size)
    points = [(x, base + offset) for x, offset in enumerate(line)]
    ImageDraw.Draw(mask).polygon([*points, (size[0], size[1] + 9), (0, size[1] + 9)], fill=255)
    return mask


def _stars(picture: Image.Image, chance: random.Random, count: int, color: Color) -> Image.Image:
    layer = Image.new("L", picture.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(count):
        place = (chance.random() * picture.width, chance.random() ** 1.3 * picture.height)
        draw.point(place, fill=round(255 * chance.random() ** 2))
    return _glow(picture, layer, color, 1.0)


def _vignette(picture: Image.Image) -> Image.Image:
    """Darker corners."""
    shade = Image.radial_gradient("L").resize(picture.size).point([255 - value * value // 640 for value in range(256)])
    return ImageChops.multiply(picture, Image.merge("RGB", (shade, shade, shade)))


def _grain(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Fine paper grain, so that large flat areas do not band."""
    side = 96
    grains = chance.randbytes(side * side).translate(GRAIN)
    tile, sheet = Image.frombytes("L", (side, side), grains), Image.new("L", picture.size)
    for left in range(0, picture.width, side):
        for top in range(0, picture.height, side):
            sheet.paste(tile, (left, top))
    return ImageChops.overlay(picture, Image.merge("RGB", (sheet, sheet, sheet)))


# ------------------------------------------------------------------------------------------------- scenes
def _hills(size: Size, palette: list[Color], chance: random.Random) -> Image.Image:
    """Ridges in mist under a low sun."""
    (width, height), unit = size, max(size)
    picture = _gradient(size, [palette[2], palette[3], palette[4], palette[4]], chance.uniform(-12, 12))
    picture = Image.blend(picture, _colored(_clouds(size, chance, 3), _ramp(palette[2:])), 0.3)
    center, radius = (chance.uniform(0.2, 0.8) * width, chance.uniform(0.2, 0.45) * height), unit * 0.07
    for size_factor, blur, strength in ((2.4, 1.5, 0.5), (1.3, 0.5, 0.5), (1.0, 0.06, 0.9)):
        mask = _disc(size, center, radius * size_factor, radius * blur)
        picture = _glow(picture, mask, palette[4], strength)
    count = chance.randint(4, 6)
    for index in range(count):
        share = index / (count - 1)
        line = _line(width, chance, height * (0.05 + 0.03 * share), (0.5, 1.6))
        mask = _below(size, line, height * (0.5 + 0.4 * share)).filter(ImageFilter.GaussianBlur(unit / 250))
        top = _mix(_mix(palette[3], palette[2], min(1.0, share * 1.6)), palette[0], 0.9 * share**0.8)
        mist = _gradient(size, [top, top, _mix(top, palette[3], 0.45 * (1 - share))], 0)
        picture = Image.composite(mist, picture, mask)
    return picture


def _waves(size: Size, palette: list[Color], chance: random.Random) -> Image.Image:
    """Layers of paper in waves, each with its shadow on the one before."""
    unit = max(size)
    side = round(unit * 1.5)
    square, count = (side, side), chance.randint(9, 13)
    ramp = _ramp(palette[::-1] if chance.random() < 0.5 else palette)
    picture = Image.new("RGB", square, ramp[0])
    swell = chance.uniform(0.05, 0.1) * side
    shade = _gradient(square, [(0, 0, 0), (255, 255, 255)], 15).getchannel(0)
    dark = Image.new("RGB", square, palette[0])
    for index in range(count):
        share = (index + 1) / count
        mask = _below(square, _line(side, chance, swell, (0.5, 1.4)), side * (index + 0.6) / count)
        shadow = ImageChops.offset(mask, 0, -round(unit / 40)).filter(ImageFilter.BoxBlur(unit / 36))
        picture = Image.composite(dark, picture, shadow.point(lambda value: value * 0.5))
        color = ramp[round(share * 255)]
        lit = Image.new("RGB", square, _mix(color, palette[4], 0.25))
        paper = Image.composite(Image.new("RGB", square, color), lit, shade)
        picture = Image.composite(paper, picture, mask.filter(ImageFilter.BoxBlur(0.8)))
    turned = picture.rotate(chance.uniform(-70, 70), Image.Resampling.BICUBIC)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return turned.crop((left, top, left + size[0], top + size[1]))


def _ribbons(size: Size, palette: list[Color], chance: random.Random) -> Image.Image:
    """Veils of fine threads of light, each thread a little further than the last."""
    (width, height), unit = size, max(size)
    picture = _gradient(size, [palette[1], palette[0], palette[0], palette[1]], chance.uniform(-50, 50))
    picture = Image.blend(picture, _colored(_clouds(size, chance, 2), _ramp(palette[:3])), 0.5)
    for color in (palette[2], palette[3], _mix(palette[2], palette[4], 0.5), palette[4]):
        first, last = (_line(width, chance, height * 0.2, (0.35, 1.1)) for _ in range(2))
        base, spread = chance.uniform(0.3, 0.7) * height, chance.uniform(-0.2, 0.2) * height
        veil = Image.new("L", (2 * width, 2 * height))  # twice as large: thin lines need smooth edges
        draw, count = ImageDraw.Draw(veil), 26
        for index in range(count):
            share = index / (count - 1)
            line = [a + (b - a) * share + base + spread * share for a, b in zip(first, last, strict=True)]
            points = [(2 * x, 2 * y) for x, y in enumerate(line)]
            draw.line(points, fill=round(45 + 150 * abs(math.sin(math.pi * 1.5 * share))), width=1)
        threads = veil.reduce(2)
        picture = _glow(picture, threads.filter(ImageFilter.BoxBlur(unit / 28)), color, 1.0)
        picture = _glow(picture, threads.point(lambda value: min(255, value * 2)), color, 0.9)
    return picture


def _aurora(size: Size, palette: list[Color], chance: random.Random) -> Image.Image:
    """Curtains of light over a dark ridge."""
    (width, height), unit = size, max(size)
    picture = _gradient(size, [palette[0], palette[1], _mix(palette[1], palette[2], 0.5)], chance.uniform(-8, 8))
    picture = _stars(picture, chance, 170, (255, 250, 240))
    for color in (palette[2], palette[3], _mix(palette[3], palette[4], 0.4)):
        foot = _line(width, chance, height * 0.09, (0.4, 1.2))
        reach = _line(width, chance, height * 0.13, (0.8, 2.6))
        bright = _line(width, chance, 60.0, (1.5, 4.0))
        base, layer = chance.uniform(0.42, 0.68) * height, Image.new("L", size)
        draw = ImageDraw.Draw(layer)
        for x in range(width):
            low, length = base + foot[x], 0.34 * height + reach[x]
            for part in range(6):
                fill = round(max(20.0, min(200.0, 120 + bright[x])) * (1 - part / 6) ** 1.4)
                draw.line((x, low - length * (part + 1) / 6, x, low - length * part / 6), fill=fill)
        picture = _glow(picture, layer.filter(ImageFilter.GaussianBlur(unit / 55)), color, 1.0)
        picture = _glow(picture, layer.filter(ImageFilter.BoxBlur(unit / 12)), color, 0.6)
    for share in (0.0, 1.0):
        mask = _below(size, _line(width, chance, height * 0.05, (0.8, 2.0)), height * (0.82 + 0.09 * share))
        color = _mix(_mix(palette[0], palette[1], 0.7 * (1 - share)), (0, 0, 0), 0.35 * share)
        hill = Image.new("RGB", size, color)
        picture = Image.composite(hill, picture, mask.filter(ImageFilter.GaussianBlur(0.7)))
    return picture


def _planet(size: Size, palette: list[Color], chance: random.Random) -> Image.Image:
    """A banded sphere, lit from one side, in a nebula."""
    (width, height), unit = size, max(size)
    haze = _clouds(size, chance, 3).point([value * value // 255 for value in range(256)])
    picture = _colored(haze, _ramp([palette[0], palette[0], palette[1], _mix(palette[1], palette[2], 0.8), palette[3]]))
    picture = _stars(picture, chance, 220, (255, 248, 235))
    radius = chance.uniform(0.2, 0.3) * min(size)
    x, y = chance.uniform(0.36, 0.64) * width, chance.uniform(0.38, 0.62) * height
    picture = _glow(picture, _disc(size, (x, y), radius * 1.15, radius * 0.35), palette[3], 0.75)
    bands = _clouds(size, chance, 3).resize((3, height)).resize(size, Image.Resampling.BICUBIC)
    bands = Image.blend(bands, _clouds(size, chance, 6), 0.3).rotate(chance.uniform(-35, 35), Image.Resampling.BILINEAR)
    sphere = _colored(bands, _ramp([palette[1], palette[2], palette[3], palette[4]]))
    lean = chance.uniform(-2.6, -0.5)
    lit = _disc(size, (x + 0.42 * radius * math.cos(lean), y + 0.42 * radius * math.sin(lean)), radius, radius * 0.3)
    sphere = ImageChops.multiply(sphere, Image.merge("RGB", [lit.point(lambda v: 14 + v * 0.94)] * 3))
    picture = Image.composite(sphere, picture, _disc(size, (x, y), radius, unit / 320))
    moon, away = radius * chance.uniform(0.1, 0.2), radius * chance.uniform(1.35, 1.6)
    turn = chance.uniform(0, math.tau)
    center = (x + away * math.cos(turn), y + away * math.sin(turn))
    pale = Image.new("RGB", size, palette[4])
    return Image.composite(pale, picture, _disc(size, center, moon, unit / 320))


def _orbs(size: Size, palette: list[Color], chance: random.Random) -> Image.Image:
    """Lights out of focus, near ones large and faint."""
    (width, height), unit = size, max(size)
    picture = _gradient(size, [palette[1], palette[0], palette[1], palette[2]], chance.uniform(-40, 40))
    picture = Image.blend(picture, _colored(_clouds(size, chance, 3), _ramp(palette[:4])), 0.45)
    for depth, (count, least, most, blur, strength) in enumerate(
        ((16, 0.01, 0.035, 0.004, 0.5), (11, 0.04, 0.09, 0.006, 0.3), (6, 0.1, 0.2, 0.02, 0.26))
    ):
        for color in palette[2:]:
            layer = Image.new("L", size)
            draw = ImageDraw.Draw(layer)
            for _ in range(count // 2):
                x, y, radius = chance.random() * width, chance.random() * height, chance.uniform(least, most) * unit
                bright = chance.randint(90, 255)
                box = (x - radius, y - radius, x + radius, y + radius)
                draw.ellipse(box, fill=round(bright * 0.75), outline=bright)
            picture = _glow(picture, layer.filter(ImageFilter.GaussianBlur(blur * unit)), color, strength)
            if depth == 0:
                picture = _glow(picture, layer.filter(ImageFilter.BoxBlur(unit / 20)), color, 0.8)
    return picture


SCENES: tuple[Scene, ...] = (_hills, _waves, _ribbons, _aurora, _planet, _orbs)
SCENE_WORDS: dict[Scene, set[str]] = {
    _hills: {"mountain", "mountains", "hill", "hills", "landscape", "forest", "valley", "sunset", "desert", "snow"},
    _waves: {"ocean", "sea", "wave", "waves", "water", "silk", "paper", "river", "beach"},
    _ribbons: {"marble", "ink", "light", "smoke", "abstract", "portrait", "fluid", "liquid", "oil"},
    _aurora: {"aurora", "night", "sky", "winter", "northern", "midnight"},
    _planet: {"planet", "space", "galaxy", "moon", "cosmic", "astronaut", "universe", "robot"},
    _orbs: {"city", "street", "neon", "bokeh", "lights", "rain", "party", "cyberpunk", "lantern", "bottle"},
}


def _scene(words: list[str]) -> Scene:
    """The scene that the first telling word asks for, else one that the words decide."""
    for word in words:
        for scene, telling in SCENE_WORDS.items():
            if word in telling:
                return scene
    return SCENES[hashlib.sha256(" ".join(words).encode()).digest()[0] % len(SCENES)]
