"""Which clips a training sees: where they are, how many frames, which size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mg.checks import is_number, require_whole
from mg.errors import InputError

STRATEGIES = ("mixed_video_image", "mixed_video_random", "video_only", "image_only")
_MOST_FRAMES = 4096
_SIZES = (16, 16384)


@dataclass(frozen=True)
class DataConfig:
    """Training or validation clips.

    video_folder: where videos are; csv_path: a CSV whose column `video` lists them relative to that folder, None takes
    every file below it. Images among them count as images.
    image_folder, image_csv_path (column `image`): the same for image files; without any, an image is a random frame.
    mixed_strategy: what a step takes:
        "mixed_video_image": an image with probability mixed_image_ratio, else sample_n_frames of a video,
        "mixed_video_random": as many frames as one of frame_buckets, each as likely; 1 is an image,
        "video_only": sample_n_frames of a video, "image_only": an image.
    moving_image_ratio: with this probability a step that would take clips of videos takes clips of images instead: its
        window glides over each, from a random place to another whatever random_crop says, which gives motion of every
        kind of content where videos are few.
    sample_n_frames, sample_stride: frames of a clip, and from each to the next.
    image_size: rows and columns, or one number for both. random_crop: instead of the centre; flip: half of all clips.
    resize_to: training frames are scaled so that their shorter side has this length, or one drawn between two lengths,
    before image_size is cut out: a crop then shows less, in more detail. None: so that they just cover image_size.
    max_bad_share: training stops when a larger share of the files it tried cannot be read.
    num_workers: threads that read clips.
    """

    csv_path: str | None = None
    video_folder: str | None = None
    image_csv_path: str | None = None
    image_folder: str | None = None
    mixed_strategy: str = "mixed_video_image"
    mixed_image_ratio: float = 0.2
    moving_image_ratio: float = 0.0
    sample_n_frames: int = 32
    sample_stride: int = 1
    image_size: int | tuple[int, int] = 256
    resize_to: int | tuple[int, int] | None = None
    random_crop: bool = False
    flip: bool = False
    frame_buckets: tuple[int, ...] = ()
    max_bad_share: float = 0.1
    num_workers: int = 4

    def __post_init__(self):
        require_whole("sample_n_frames", self.sample_n_frames, 1, _MOST_FRAMES)
        require_whole("sample_stride", self.sample_stride, 1, _MOST_FRAMES)
        require_whole("num_workers", self.num_workers, 1, 256)
        for field in ("mixed_image_ratio", "moving_image_ratio", "max_bad_share"):
            value = getattr(self, field)
            if not is_number(value) or not 0 <= value <= 1:
                raise InputError(f"{field}={value!r} must be a number from 0 to 1")
        for field in ("random_crop", "flip"):
            if not isinstance(getattr(self, field), bool):
                raise InputError(f"{field}={getattr(self, field)!r} must be True or False")
        for field in ("csv_path", "video_folder", "image_csv_path", "image_folder"):
            value = getattr(self, field)
            if value is not None and not str(value).strip():
                raise InputError(f"{field} is an empty name; name one, or leave it out")
        self._check_size()
        self._check_strategy()
        self._check_sources()

    def _check_size(self):
        sides = self.image_size
        sides = tuple(sides) if isinstance(sides, (list, tuple)) else (sides, sides)
        if len(sides) != 2:
            raise InputError(f"image_size={self.image_size!r} must be one number, or two: height and width")
        for side in sides:
            require_whole("image_size", side, *_SIZES)
        object.__setattr__(self, "image_size", sides)
        if self.resize_to is None:
            return
        lengths = self.resize_to
        lengths = tuple(lengths) if isinstance(lengths, (list, tuple)) else (lengths, lengths)
        if len(lengths) != 2 or list(lengths) != sorted(lengths):
            raise InputError(f"resize_to={self.resize_to!r} must be one number, or two: from and to")
        for length in lengths:
            require_whole("resize_to", length, max(sides), _SIZES[1])
        object.__setattr__(self, "resize_to", lengths)

    def _check_strategy(self):
        if self.mixed_strategy not in STRATEGIES:
            raise InputError(f"mixed_strategy={self.mixed_strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
        if self.sample_n_frames == 1 and self.mixed_strategy in ("mixed_video_image", "video_only"):
            raise InputError(
                f"sample_n_frames=1 makes no video of mixed_strategy={self.mixed_strategy}; "
                "give at least 2, or use mixed_strategy=image_only"
            )
        if not isinstance(self.frame_buckets, Sequence) or isinstance(self.frame_buckets, str):
            raise InputError(f"frame_buckets={self.frame_buckets!r} must be a list of whole numbers, such as 1, 9, 17")
        object.__setattr__(self, "frame_buckets", tuple(self.frame_buckets))
        for frames in self.frame_buckets:
            require_whole("frame_buckets", frames, 1, _MOST_FRAMES)
        if self.mixed_strategy == "mixed_video_random" and not self.frame_buckets:
            raise InputError(
                "frame_buckets is empty, but mixed_strategy=mixed_video_random takes its lengths from there; "
                "list some, such as 1, 9, 17: each is a graph of its own"
            )

    def _check_sources(self):
        for table, folder in (("csv_path", "video_folder"), ("image_csv_path", "image_folder")):
            if getattr(self, table) is not None and getattr(self, folder) is None:
                raise InputError(f"{table} is given without {folder}, to which its paths are relative; give both")
        if self.video_folder is None and (self.takes_videos or self.image_folder is None):
            raise InputError(f"mixed_strategy={self.mixed_strategy} has nothing to read; give video_folder")
        if self.moving_image_ratio > 0 and not self.takes_videos:
            raise InputError(
                f"moving_image_ratio={self.moving_image_ratio} is of the steps that take videos, but there are none "
                f"with mixed_strategy={self.mixed_strategy}; leave it out, or choose another mixed_strategy"
            )
        if self.image_folder is not None and not self.takes_images:
            raise InputError(
                f"image_folder is given, but mixed_strategy={self.mixed_strategy} never takes an image"
                + (" (frame_buckets has no 1)" if self.mixed_strategy == "mixed_video_random" else "")
                + "; leave it out, or choose another mixed_strategy"
            )

    @property
    def takes_images(self) -> bool:
        """Whether some steps are of images, moving or not."""
        if self.moving_image_ratio > 0:
            return True
        if self.mixed_strategy == "mixed_video_random":
            return 1 in self.frame_buckets
        return self.mixed_strategy != "video_only"

    @property
    def takes_videos(self) -> bool:
        """Whether some steps are clips of more than one frame."""
        if self.mixed_strategy == "mixed_video_random":
            return max(self.frame_buckets) > 1
        return self.mixed_strategy != "image_only"
