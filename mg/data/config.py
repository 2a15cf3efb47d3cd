"""Which clips a training sees: where they are, how many frames, which size."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from mg.config import check, setting
from mg.errors import InputError
from mg.io.frames import SIDES

STRATEGIES = ("mixed_video_image", "mixed_video_random", "video_only", "image_only")
_FRAMES = (1, 4096)


@dataclass(frozen=True)
class DataConfig:
    """Clips.

    What a step takes is mixed_strategy's: mixed_video_image: an image with probability mixed_image_ratio, else
    sample_n_frames of a video; mixed_video_random: as many frames as one of frame_buckets, each as likely, 1 is an
    image; video_only: sample_n_frames of a video; image_only: an image. Images among the videos count as images.

    With size_buckets a step's clips have one of those sizes, each as likely and independent of the number of frames;
    image_size is then that of validation clips only. Each size and each number of frames is a graph of its own. With
    most_pixels, clips have the largest of these sizes at which they have no more: long ones small frames, short ones
    large frames, so that steps take alike long.

    resize_to: training frames are scaled so that their shorter side has this length, or one drawn between two, before a
    clip is cut out: it then shows less, in more detail. none: so that they just cover the clip.
    """

    csv_path: str | None = setting(None, "CSV whose column 'video' lists files below video_folder; none: all there")
    video_folder: str | None = setting(None, "where videos are")
    image_csv_path: str | None = setting(None, "CSV whose column 'image' lists files below image_folder; none: all")
    image_folder: str | None = setting(None, "where images are; none: an image is a random frame of a video")
    mixed_strategy: str = setting("mixed_video_image", "what a step takes, see above", choices=STRATEGIES)
    mixed_image_ratio: float = setting(0.2, "share of steps that take images", 0, 1)
    moving_image_ratio: float = setting(0.0, "share of the other steps whose window glides over images instead", 0, 1)
    sample_n_frames: int = setting(32, "length of a clip", *_FRAMES, unit="frames")
    sample_stride: int = setting(1, "from each frame of a clip to the next", *_FRAMES, unit="frames of the file")
    stride_buckets: tuple[int, ...] = setting(
        (), "several, of which each training clip has one at which it fits; sample_stride: of validation", *_FRAMES
    )
    image_size: int | tuple[int, int] = setting(256, "side, or height and width, of a clip", *SIDES, unit="pixels")
    size_buckets: tuple[tuple[int, int], ...] = setting((), "height x width of clips, as 192x256 256x192", *SIDES)
    most_pixels: int = setting(0, "frames x height x width of a clip, see above; 0: any", 0)
    resize_to: int | tuple[int, int] | None = setting(None, "shorter side before cropping, or drawn from two", *SIDES)
    random_crop: bool = setting(False, "crop at a random place instead of the centre")
    flip: bool = setting(False, "mirror half of all clips")
    reverse: bool = setting(False, "play half of all clips backwards")
    grey_ratio: float = setting(0.0, "share of clips that are made grey", 0, 1)
    colour_jitter: float = setting(0.0, "turn hues by up to so many half turns, change saturation by up to it", 0, 1)
    frame_buckets: tuple[int, ...] = setting((), "lengths of mixed_video_random", *_FRAMES, unit="frames")
    max_bad_share: float = setting(0.1, "training stops when a larger share of files cannot be read", 0, 1)
    index_folder: str | None = setting(None, "where it is kept what each video holds; none: in memory, for one run")
    video_reader: str = setting("pyav", "decord: faster for some files, not on aarch64", choices=("pyav", "decord"))
    num_workers: int = setting(4, "threads that read clips", 1, 256)

    def __post_init__(self):
        check(self)
        self._check_size()
        self._check_strategy()
        self._check_lengths()
        self._check_sources()
        if self.video_reader == "decord" and find_spec("decord") is None:
            raise InputError("video_reader=decord, but decord is not installed: pip install decord, or use pyav")

    def _check_size(self):
        given = self.resize_to
        for field in ("image_size", "resize_to"):
            if isinstance(getattr(self, field), int):
                object.__setattr__(self, field, (getattr(self, field),) * 2)
        largest = max(map(max, self.sizes))
        if given is not None and not largest <= self.resize_to[0] <= self.resize_to[1]:
            raise InputError(
                f"resize_to={given!r} must be one number, or two: from and to, of at least {largest}, the longest side "
                "of a clip; raise it, or leave it out"
            )

    def _check_strategy(self):
        if self.sample_n_frames == 1 and self.mixed_strategy in ("mixed_video_image", "video_only"):
            raise InputError(
                f"sample_n_frames=1 makes no video of mixed_strategy={self.mixed_strategy}; "
                "give at least 2, or use mixed_strategy=image_only"
            )
        if self.mixed_strategy == "mixed_video_random" and not self.frame_buckets:
            raise InputError(
                "frame_buckets is empty, but mixed_strategy=mixed_video_random takes its lengths from there; "
                "list some, such as 1, 9, 17: each is a graph of its own"
            )

    def _check_lengths(self):
        without = [frames for frames in self.lengths if not self.sizes_of(frames)]
        if without:
            raise InputError(
                f"most_pixels={self.most_pixels} leaves no size for clips of {without[0]} frames; raise it, or add a "
                "smaller one to size_buckets"
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
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Heights and widths of training clips: size_buckets, or image_size alone."""
        return self.size_buckets or (self.image_size,)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames that training clips can have, the most last; 1 is an image."""
        if self.mixed_strategy == "mixed_video_random":
            return tuple(sorted(set(self.frame_buckets)))
        lengths = {"image_only": (1,), "video_only": (self.sample_n_frames,)}
        return lengths.get(self.mixed_strategy, (1, self.sample_n_frames))

    def sizes_of(self, frames: int) -> tuple[tuple[int, int], ...]:
        """Heights and widths that clips of so many frames can have; with most_pixels, the largest that fit."""
        if not self.most_pixels:
            return self.sizes
        fitting = [(height, width) for height, width in self.sizes if frames * height * width <= self.most_pixels]
        largest = max((height * width for height, width in fitting), default=0)
        return tuple((height, width) for height, width in fitting if height * width == largest)

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(T, H, W) that training clips can have."""
        without_images = self.mixed_strategy == "mixed_video_image" and self.mixed_image_ratio == 0
        lengths = self.lengths[without_images:]
        return tuple((frames, *size) for frames in lengths for size in self.sizes_of(frames))

    @property
    def takes_images(self) -> bool:
        """Whether some steps are of images, moving or not."""
        return self.moving_image_ratio > 0 or 1 in self.lengths

    @property
    def takes_videos(self) -> bool:
        """Whether some steps are clips of more than one frame."""
        return self.lengths[-1] > 1
