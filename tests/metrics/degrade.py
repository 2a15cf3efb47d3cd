"""A real clip, small, and ways to make it worse by degrees. Clips are (T, H, W, 3) uint8."""

import cv2
import numpy as np

from mg.io.by_number import read_frames_at


def real_clip(shared, frames=5, size=64):
    """Consecutive frames of a clip with motion, shrunk to a square."""
    found = read_frames_at(shared / "data/clips/vidtok_256x256.mp4", range(20, 20 + frames))
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in found])


def drawn_clip(frames=5, height=64, width=72):
    """Waves that move by a pixel a frame."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [[127 + 60 * np.sin((x - t) / (3 + c)) + 50 * np.cos(y / (5 - c)) for c in range(3)] for t in range(frames)]
    return levels(np.array(waves).transpose(0, 2, 3, 1))


def levels(clip):
    return np.clip(np.rint(clip), 0, 255).astype(np.uint8)


def noisy(clip, sigma):
    return levels(clip + np.random.default_rng(0).normal(0, sigma, clip.shape))


def blurred(clip, sigma):
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])


def with_dropped_frames(clip, held):
    """Each frame kept for `held` more, in place of those."""
    return clip[np.arange(len(clip)) // (held + 1) * (held + 1)]


def flickering(clip, amplitude):
    """Every other frame lighter."""
    return levels(clip.astype(float) + amplitude * (np.arange(len(clip)) % 2)[:, None, None, None])


def jittered(clip, pixels):
    """Every other frame moved sideways; its edge repeated."""
    columns = np.clip(np.arange(clip.shape[2]) - pixels, 0, clip.shape[2] - 1)
    return np.stack([frame[:, columns] if t % 2 else frame for t, frame in enumerate(clip)])


def score(metric, clip, recon):
    """The scores that a metric gives a clip."""
    scorer = metric.scorer()
    for pair in zip(clip, recon):
        scorer.add(*pair)
    return scorer.finish()


def check_rises(metric, clip, degrade, degrees):
    """The clip's figure rises with every degree."""
    figures = [float(score(metric, clip, degrade(clip, degree)).mean()) for degree in degrees]
    assert figures == sorted(figures) and len(set(figures)) == len(figures), figures
