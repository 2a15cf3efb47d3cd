"""Original, reconstruction and difference, side by side. All frames are (H, W, 3) uint8."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

DIFFERENCE_GAIN = 4
_CELL_WIDTH = 256
_WIDEST = 16384
_CAPTION_WIDTH = 170
_MARGIN = 8
_TEXT_HEIGHT = 24
_DARK, _GREY = (24, 24, 24), (170, 170, 170)
_ROWS = ("original", "reconstruction", f"{DIFFERENCE_GAIN} x |difference|")


def amplified_difference(original: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """|original - reconstruction|, 4 times as bright."""
    return np.minimum(cv2.absdiff(original, reconstruction).astype(np.uint16) * DIFFERENCE_GAIN, 255).astype(np.uint8)


def side_by_side(original: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """original | reconstruction | amplified difference; made even in size with black, so that every player takes it.

    Shrunk where it would be wider than H.264 allows.
    """
    row = np.concatenate((original, reconstruction, amplified_difference(original, reconstruction)), 1)
    if row.shape[1] > _WIDEST:
        size = (_WIDEST, max(2, row.shape[0] * _WIDEST // row.shape[1]))
        row = cv2.resize(row, size, interpolation=cv2.INTER_AREA)
    return np.pad(row, ((0, row.shape[0] % 2), (0, row.shape[1] % 2), (0, 0)))


def contact_sheet(title: str, labels: Sequence[str], pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """A labelled sheet with a column for each (original, reconstruction) pair.

    title: written above; labels: one for each pair, written over its column.
    """
    columns = [(original, recon, amplified_difference(original, recon)) for original, recon in pairs]
    return grid(title, labels, columns, _ROWS)


def grid(
    title: str, labels: Sequence[str], columns: Sequence[Sequence[np.ndarray]], row_names: Sequence[str]
) -> np.ndarray:
    """A labelled sheet of columns of frames, all shown in the size of the first; as many rows as there are names."""
    height, width = columns[0][0].shape[:2]
    cell_width = min(width, _CELL_WIDTH if len(columns) > 1 else 2 * _CELL_WIDTH)
    cell = (max(1, round(height * cell_width / width)), cell_width)
    step_y, step_x = cell[0] + _TEXT_HEIGHT + _MARGIN, max(cell[1], _CAPTION_WIDTH) + _MARGIN
    sheet_width = max(_MARGIN + step_x * len(columns), 2 * _MARGIN + 9 * len(title))
    sheet = Image.new("RGB", (sheet_width, _TEXT_HEIGHT + _MARGIN + step_y * len(row_names)), _DARK)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((_MARGIN, 5), title, "white", font)
    for row, row_name in enumerate(row_names):
        top = _TEXT_HEIGHT + _MARGIN + row * step_y
        for column, (label, frames) in enumerate(zip(labels, columns)):
            left = _MARGIN + column * step_x
            caption = ", ".join(filter(None, (row_name if column == 0 else "", label)))
            draw.text((left, top), caption, _GREY, font)
            frame = cv2.resize(frames[row], cell[::-1], interpolation=cv2.INTER_AREA)
            sheet.paste(Image.fromarray(frame), (left, top + _TEXT_HEIGHT - 4))
    return np.asarray(sheet)
