"""Frames to the size that was asked for."""

from __future__ import annotations

import cv2
import numpy as np

FASTEST = 3.0
CLOSEST = 0.8


def resize_and_crop(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale (H, W, 3) uint8 so that it just covers height x width, then cut that size out of the centre.

    Shrinks by area averaging, enlarges by bicubic interpolation.
    """
    scaled = covering_size(frame.shape[:2], height, width)
    if scaled != frame.shape[:2]:
        method = cv2.INTER_AREA if scaled < frame.shape[:2] else cv2.INTER_CUBIC
        frame = cv2.resize(frame, scaled[::-1], interpolation=method)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])


def glide(picture: np.ndarray, frames: int, height: int, width: int, choices: np.random.Generator) -> np.ndarray:
    """(T, height, width, 3): what a window shows that glides over (H, W, 3) uint8, as if a camera turned and zoomed.

    It goes straight and evenly from a random place to another, up to FASTEST pixels a frame along each side, and shows
    from CLOSEST of its own size to all of it, which changes evenly too; it stays inside the picture.
    """
    shown = choices.uniform(CLOSEST, 1.0, 2)  # at the start and at the end
    way = FASTEST * (frames - 1)
    places = []
    for side, window in zip(picture.shape[:2], (height, width)):
        room = side - window * shown
        start = choices.uniform(0, room[0])
        places.append((start, choices.uniform(min(max(0, start - way), room[1]), min(room[1], start + way))))
    clip = []
    for share in np.linspace(0, 1, frames):
        top, left = (start + share * (end - start) for start, end in places)
        scale = shown[0] + share * (shown[1] - shown[0])
        half = (scale - 1) / 2  # pixels are counted at their centres
        to_picture = np.array([[scale, 0, left + half], [0, scale, top + half]])
        method = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        clip.append(cv2.warpAffine(picture, to_picture, (width, height), flags=method, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(clip)


def covering_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a frame of `size` once it just covers height x width, its aspect kept."""
    scale = max(height / size[0], width / size[1])
    return max(height, round(size[0] * scale)), max(width, round(size[1] * scale))
