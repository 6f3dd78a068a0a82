"""The colour of an installation: one setting, and the steps of it that keep texts readable on every ground.

Contrast and luminance are those of WCAG 2.2.
"""

from __future__ import annotations

import colorsys
import hashlib
from functools import cache

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

Colour = tuple[float, float, float]
"""Red, green, blue: 0 to 1."""

READABLE = 4.6
"""A little more than the 4.5:1 that WCAG AA asks of texts, for what rounding takes."""
WHITE: Colour = (1.0, 1.0, 1.0)
LIGHT_GROUND: Colour = (0xED / 255, 0xF0 / 255, 0xF4 / 255)
DARK_GROUND: Colour = (0x20 / 255, 0x29 / 255, 0x35 / 255)
DARK_INK: Colour = (0.02, 0.06, 0.06)


@cache_control(public=True, max_age=31536000, immutable=True)
@require_safe
@login_not_required
def stylesheet(request: HttpRequest) -> HttpResponse:
    """Its address has a version, so it may be kept for ever."""
    return HttpResponse(rules(settings.SITE_ACCENT), content_type="text/css")


def stylesheet_address() -> str:
    """Empty when the colours are Sallyport's own."""
    if not settings.SITE_ACCENT:
        return ""
    version = hashlib.sha256(rules(settings.SITE_ACCENT).encode()).hexdigest()[:8]
    return f"{reverse('brand')}?v={version}"


@cache
def rules(accent: str) -> str:
    """The stylesheet for `#rrggbb`; empty for none."""
    if not accent:
        return ""
    colour = parse(accent)
    light, dark = toned(colour, LIGHT_GROUND, -0.01), toned(colour, DARK_GROUND, 0.01)
    steps = {
        "--accent": (light, dark),
        "--accent-strong": (shifted(light, -0.08), shifted(dark, 0.1)),
        "--accent-soft": (mixed(light, WHITE, 0.12), mixed(dark, DARK_GROUND, 0.15)),
        "--on-accent": (WHITE, DARK_INK),
        "--link": (light, dark),
    }
    lines = (f"  {name}: light-dark({written(one)}, {written(other)});" for name, (one, other) in steps.items())
    return ":root {\n" + "\n".join(lines) + "\n}\n"


def toned(colour: Colour, ground: Colour, step: float) -> Colour:
    """The nearest step of this colour that can be read on this ground."""
    end = 1.0 if step > 0 else 0.0
    while contrast(colour, ground) < READABLE and lightness(colour) != end:
        colour = shifted(colour, step)
    return colour


def contrast(one: Colour, other: Colour) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: Colour) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lightness(colour: Colour) -> float:
    return colorsys.rgb_to_hls(*colour)[1]


def shifted(colour: Colour, step: float) -> Colour:
    hue, light, saturation = colorsys.rgb_to_hls(*colour)
    return colorsys.hls_to_rgb(hue, min(1.0, max(0.0, light + step)), saturation)


def mixed(colour: Colour, ground: Colour, share: float) -> Colour:
    red, green, blue = (part * share + under * (1 - share) for part, under in zip(colour, ground, strict=True))
    return red, green, blue


def parse(text: str) -> Colour:
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def written(colour: Colour) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)
