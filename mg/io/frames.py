"""Frames to the size that was asked for."""

from __future__ import annotations

import cv2
import numpy as np

SIDES = (16, 16384)  # smallest and largest that a frame can be scaled or cropped to
FASTEST = 3.0
CLOSEST = 0.8
_MARGIN = 4  # of cubic interpolation


def resize_and_crop(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale (H, W, 3) uint8 so that it just covers height x width, then cut that size out of the centre.

    Shrinks by area averaging, enlarges by bicubic interpolation.
    """
    scaled = covering_size(frame.shape[:2], height, width)
    if scaled != frame.shape[:2]:
        method = cv2.INTER_AREA if scaled < frame.shape[:2] else cv2.INTER_CUBIC
        frame = cv2.resize(frame, scaled[::-1], interpolation=method)
    return crop(frame, height, width)


def crop(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut height x width out of the centre of (H, W, 3), which is at least as large."""
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])


def glide(picture: np.ndarray, frames: int, height: int, width: int, choices: np.random.Generator) -> np.ndarray:
    """(T, height, width, 3): what a window shows that glides over (H, W, 3) uint8, as if a camera turned and zoomed.

    It goes straight and evenly from a random place to another, its corner up to FASTEST pixels a frame along each side,
    and changes its size evenly, by up to as much, between CLOSEST of its own and all of it. It stays in the picture.
    """
    way = FASTEST * (frames - 1)
    shown = [choices.uniform(CLOSEST, 1.0)]  # at the start and at the end
    by = way / max(height, width)
    shown.append(choices.uniform(max(CLOSEST, shown[0] - by), min(1.0, shown[0] + by)))
    places = []
    for side, window in zip(picture.shape[:2], (height, width)):
        room = [side - window * scale for scale in shown]
        start = choices.uniform(0, room[0])
        end = choices.uniform(min(max(0, start - way), room[1]), min(room[1], start + way))
        first = max(0, int(min(start, end)) - _MARGIN)  # what is never seen is cut off: OpenCV refuses long sides
        places.append((start - first, end - first, first, int(max(start, end) + window) + _MARGIN))
    (*rows, top, bottom), (*columns, left, right) = places
    seen, method = picture[top:bottom, left:right], cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    clip = []
    for share in np.linspace(0, 1, frames):
        y, x, scale = (start + share * (end - start) for start, end in (rows, columns, shown))
        half = (scale - 1) / 2  # pixels are counted at their centres
        to_picture = np.array([[scale, 0, x + half], [0, scale, y + half]])
        clip.append(cv2.warpAffine(seen, to_picture, (width, height), flags=method, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(clip)


def covering_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a frame of `size` once it just covers height x width, its aspect kept."""
    scale = max(height / size[0], width / size[1])
    return max(height, round(size[0] * scale)), max(width, round(size[1] * scale))
