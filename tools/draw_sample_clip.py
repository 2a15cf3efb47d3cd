"""Draw the sample clip that ships with the package: three patterned balls roll over a floor under a cloudy sky.

It stands in for a real clip where none is at hand: motion, texture, shading, shadows and sharp edges, 64 frames of
256x256. Drawn again it has the same frames, and mg/inference/sample_clip.mp4 holds them.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mg import cli
from mg.io.video import write_video
from mg.progress import show_progress

logger = logging.getLogger(__name__)

FPS = 24
FRAMES = 64
SIZE = 256
_SUPERSAMPLING = 2
_LIGHT = np.array([0.48, 0.72, -0.5], np.float32)
_EYE = np.array([0.0, 1.5, -5.2], np.float32)
# Radius, centre (x, z), reach (x, z) and turns per clip of each ball's path; two colours; stripes or checks.
_BALLS = (
    (0.80, (-0.9, 0.7), (0.55, 0.50), 1.0, (0.86, 0.22, 0.16), (0.98, 0.90, 0.76), "stripes"),
    (0.55, (1.1, -0.2), (0.60, 0.35), -1.0, (0.10, 0.38, 0.66), (0.94, 0.80, 0.22), "checks"),
    (0.36, (0.1, -1.4), (1.10, 0.25), 1.0, (0.16, 0.50, 0.30), (0.90, 0.94, 0.88), "stripes"),
)


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default="sample_clip.mp4", help="the MP4 to write (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    write_sample_clip(args.output)
    logger.info("%d frames are in %s", FRAMES, args.output)


def write_sample_clip(path: Path | str) -> None:
    """Draw the clip into an MP4."""
    with write_video(path, Fraction(FPS)) as file:
        for frame in show_progress(draw_sample_clip(), total=FRAMES, desc="drawing", unit="frame"):
            file.write(frame)


def draw_sample_clip(frames: int = FRAMES, size: int = SIZE) -> Iterator[np.ndarray]:
    """Yield `frames` frames of (size, size, 3) uint8 RGB; the same every time."""
    texture = _noise(512, np.random.default_rng(7))
    rays = _rays(size * _SUPERSAMPLING)
    for index in range(frames):
        large = _render(rays, index / frames, texture)
        yield cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)


def _noise(size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size) fractal noise in [0, 1]: random grids of growing fineness, summed."""
    total = np.zeros((size, size), np.float32)
    for octave in range(2, 9):
        cells = rng.random((2**octave, 2**octave), dtype=np.float32) - 0.5
        total += cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC) * 0.62**octave
    total -= total.min()
    return total / total.max()


def _rays(size: int) -> np.ndarray:
    """(size, size, 3) unit directions from the eye, which looks slightly down."""
    across = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(across * 0.52, -across * 0.52 - 0.17)
    rays = np.stack((x, y, np.ones_like(x)), -1)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def _render(rays: np.ndarray, time: float, texture: np.ndarray) -> np.ndarray:
    light = _LIGHT / np.linalg.norm(_LIGHT)
    balls = [(*_ball_at(ball, time), ball) for ball in _BALLS]
    picture = _sky(rays, time, texture)
    nearest = np.full(rays.shape[:2], np.inf, np.float32)

    with np.errstate(divide="ignore"):
        distance = np.where(rays[..., 1] < 0, -_EYE[1] / rays[..., 1], np.inf).astype(np.float32)
    ground = distance < 60
    points = _EYE + rays[ground] * distance[ground][:, None]
    haze = np.exp(-distance[ground] / 22)[:, None]
    picture[ground] = _floor(points, balls, light, texture) * haze + picture[ground] * (1 - haze)
    nearest[ground] = distance[ground]

    for centre, turn, ball in balls:
        distance = _hit(_EYE, rays, centre, ball[0])
        seen = distance < nearest
        normals = (_EYE + rays[seen] * distance[seen][:, None] - centre) / ball[0]
        picture[seen] = _shade(normals, rays[seen], turn, ball, light)
        nearest[seen] = distance[seen]
    return np.rint(np.clip(picture, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def _ball_at(ball: tuple, time: float) -> tuple[np.ndarray, float]:
    radius, (x, z), (reach_x, reach_z), turns, *_ = ball
    angle = 2 * np.pi * turns * time
    centre = np.array([x + reach_x * np.sin(angle), radius, z + reach_z * np.cos(angle)], np.float32)
    return centre, -reach_x * np.sin(angle) / radius


def _hit(origin: np.ndarray, rays: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Distance along each ray to the front of a ball; infinite where it misses."""
    offset = origin - centre
    along = np.sum(rays * offset, -1)
    inside = along**2 - np.sum(offset * offset, -1) + radius**2
    distance = -along - np.sqrt(np.maximum(inside, 0))
    return np.where((inside > 0) & (distance > 1e-3), distance, np.inf).astype(np.float32)


def _sky(rays: np.ndarray, time: float, texture: np.ndarray) -> np.ndarray:
    height = np.clip(rays[..., 1:2], 0, 1)
    blue = np.array([0.16, 0.36, 0.74], np.float32)
    horizon = np.array([0.80, 0.84, 0.86], np.float32)
    sky = horizon + (blue - horizon) * np.minimum(height * 2.6, 1)
    clouds = _look_up(texture, rays[..., 0] / (height[..., 0] + 0.35) + 0.2 * time, 0.6 / (height[..., 0] + 0.35), 180)
    cover = np.clip((clouds - 0.5) * 3.2, 0, 1)[..., None] * np.minimum(height * 8, 1)
    return sky * (1 - cover) + np.array([0.95, 0.95, 0.94], np.float32) * cover


def _floor(points: np.ndarray, balls: list, light: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Colours of floor points: wooden planks with grain, darker in the balls' shadows."""
    plank = np.floor(points[:, 0] * 1.6)
    grain = _look_up(texture, points[:, 0] * 2.2 + plank * 3.7, points[:, 2] * 0.35 + plank * 1.3, 96)
    tone = 0.55 + 0.75 * grain + 0.10 * np.sin(plank * 12.9)
    joint = np.abs(points[:, 0] * 1.6 - plank - 0.5) > 0.475
    colour = np.array([0.42, 0.25, 0.13], np.float32) * (tone * np.where(joint, 0.45, 1))[:, None]
    lit = np.ones(len(points), np.float32)
    for centre, _, ball in balls:
        miss = np.linalg.norm(np.cross(points - centre, light), axis=-1) - ball[0]
        lit *= 0.32 + 0.68 * np.clip(0.5 + miss / 0.16, 0, 1)
    return colour * (0.25 + 1.05 * light[1] * lit)[:, None]


def _shade(normals: np.ndarray, rays: np.ndarray, turn: float, ball: tuple, light: np.ndarray) -> np.ndarray:
    *_, first, second, pattern = ball
    x, y, z = normals.T
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    longitude, latitude = np.arctan2(y, x), np.arcsin(np.clip(z, -1, 1))
    wave = np.sin(longitude * 4)
    if pattern == "checks":
        wave = wave * np.sin(latitude * 6)
    mix = np.clip(0.5 + wave * 4, 0, 1)[:, None]
    colour = np.float32(first) * mix + np.float32(second) * (1 - mix)
    diffuse = np.maximum(normals @ light, 0)
    mirrored = rays - 2 * np.sum(rays * normals, -1, keepdims=True) * normals
    gloss = np.maximum(mirrored @ light, 0) ** 40
    sky_light = 0.22 + 0.14 * normals[:, 1]
    return colour * (sky_light + 0.95 * diffuse)[:, None] + 0.55 * gloss[:, None]


def _look_up(texture: np.ndarray, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """Texture values at (u, v), mirrored at the edges, interpolated between texels."""
    last = texture.shape[0] - 1
    column, row = (last - np.abs(np.float32(c) * scale % (2 * last) - last) for c in (u, v))
    left, top = (np.minimum(c.astype(np.int32), last - 1) for c in (column, row))
    right, down = column - left, row - top
    upper = texture[top, left] * (1 - right) + texture[top, left + 1] * right
    lower = texture[top + 1, left] * (1 - right) + texture[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


if __name__ == "__main__":
    cli.run_script(main)
