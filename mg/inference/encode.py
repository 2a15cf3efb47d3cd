"""Videos and images to files of latents: a cache for training diffusion models."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mg.data.index import MEDIA, read_csv
from mg.data.transforms import resize_and_crop
from mg.errors import InputError
from mg.files import make_folder, whole_file
from mg.inference.reconstruct import Models, Options, open_frames
from mg.io import image, pixels, video
from mg.io.latents import FLOAT_DTYPES, INDEX, SUFFIX, Header, Latents, read_header, write_index, write_latents
from mg.io.media import find_media, is_image
from mg.models.tae.tae import DEFAULT_WEIGHTS, TemporalAutoencoder
from mg.training.distributed import Average

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A file to encode, its relative name, and where its latents go."""

    path: Path
    source: str
    target: Path


def find_clips(
    output: Path | str,
    source: Path | str | None = None,
    csv_path: Path | str | None = None,
    video_folder: Path | str | None = None,
) -> list[Clip]:
    """What to encode into the folder `output`: the file or folder `source`, or what a CSV lists in `video_folder`.

    A target has its source's relative name, with the suffix replaced; two that would share one keep their suffix.
    """
    if (source is None) == (video_folder is None) or (csv_path is not None and video_folder is None):
        raise InputError("give either --input, or --video_folder, with --csv_path if only some of it is wanted")
    if csv_path is not None:
        root, names = Path(video_folder), list(dict.fromkeys(read_csv(csv_path, "video", MEDIA)))
    else:
        root = Path(source or video_folder)
        files = find_media(root, leave_out=output)
        root = root if root.is_dir() else root.parent
        names = [file.relative_to(root).as_posix() for file in files]
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise InputError(f"'{csv_path}' names '{outside[0]}', which is not below video_folder; use relative names")
    taken = Counter(Path(name).with_suffix("") for name in names)
    stems = [name if taken[Path(name).with_suffix("")] > 1 else Path(name).with_suffix("") for name in names]
    return [Clip(root / name, name, Path(output) / f"{stem}{SUFFIX}") for name, stem in zip(names, stems)]


def encode_files(
    clips: list[Clip],
    output_path: Path | str,
    options: Options,
    ckpt_path: Path | str | None = None,
    dtype: str = "auto",
    dtype_out: str = "fp32",
    overwrite: bool = False,
    rank: int = 0,
    ranks: int = 1,
) -> int:
    """Encode every `ranks`-th clip, from the `rank`-th on; those that are finished already are skipped.

    dtype: of computing. options.sample: store samples, each with noise of its own, instead of mean and deviation.
    overwrite: replace files from other weights or options, which are an error otherwise.
    Returns how many clips could not be used, of all ranks: each is named in the log and its rank's failed.json.
    """
    output = make_folder(output_path)
    models = Models(DEFAULT_WEIGHTS if ckpt_path is None else Path(ckpt_path), dtype, options.tiles)
    share = clips[rank::ranks]
    recipe = _recipe(models, options, dtype_out)
    waiting = [clip for clip in share if not _is_finished(clip, recipe, overwrite)]
    if len(waiting) < len(share):
        logger.info("%d of %d clips are finished already", len(share) - len(waiting), len(share))
    if rank == 0:
        (output / INDEX).unlink(missing_ok=True)
    failed = []
    for clip in tqdm(waiting, desc="encoding", unit="clip", disable=rank > 0):
        try:
            write_latents(clip.target, _encode(models, clip, recipe, options))
        except InputError as error:
            if len(clips) == 1:
                raise
            failed.append({"file": clip.source, "why": str(error)})
            logger.error("error: %s: %s", clip.source, error)
    _note_failed(output / ("failed.json" if rank == 0 else f"failed_rank{rank}.json"), failed)
    total = _total(len(failed), ranks)  # by then all ranks are through
    if rank == 0 and total < len(clips):
        rows = write_index(output)
        logger.info("%d clips in %s, %d failed", len(rows), output, total)
    return total


def _recipe(models: Models, options: Options, dtype_out: str) -> dict[str, object]:
    """The fields of every header that do not depend on the clip: latents with equal ones are interchangeable."""
    if dtype_out not in FLOAT_DTYPES:
        raise InputError(f"dtype_out={dtype_out!r} cannot be stored; use one of {', '.join(FLOAT_DTYPES)}")
    size = None if options.image_size is None else list(options.image_size)
    drawn = {"seed": options.seed} if options.sample else {}
    return {
        "weights_sha256": models.sha256,
        "kind": "sample" if options.sample else "posterior",
        "dtype": dtype_out,
        "tiles": None if options.tiles is None else asdict(options.tiles),
        "options": {
            **{"num_frames": options.num_frames, "image_size": size, "compute_dtype": str(models.compute_dtype)},
            **drawn,
        },
    } | {key: models.config[key] for key in ("scaling_factor", "shift_factor")}


def _is_finished(clip: Clip, recipe: dict[str, object], overwrite: bool) -> bool:
    """Whether the clip's latents exist. Raises InputError if they are of another recipe, unless to overwrite."""
    if not clip.target.exists():
        return False
    try:
        header, _ = read_header(clip.target)
    except InputError:
        if overwrite:
            return False
        raise
    for name, value in {"source": clip.source, **recipe}.items():
        before = getattr(header, name)
        if before != value:
            if overwrite:
                return False
            raise InputError(
                f"'{clip.target}' was encoded with {name}={before}, and now {name}={value} is asked for; "
                "name another folder, or replace such files with --overwrite"
            )
    return True


def _encode(models: Models, clip: Clip, recipe: dict[str, object], options: Options) -> Latents:
    if is_image(clip.path):
        fps, total, frames = None, 1, iter([image.read_image(clip.path)])
    else:
        info = video.probe(clip.path)
        fps, total = str(info.fps), min(info.frames, options.num_frames or info.frames)
        frames = islice(video.read_frames(clip.path), options.num_frames)
    if options.image_size is not None:
        frames = (resize_and_crop(frame, *options.image_size) for frame in frames)
    tae, frames, (height, width) = open_frames(models, frames, total, clip.path)
    seed = _seed_of(clip.source, options.seed)
    arrays, count = _encode_frames(tae, frames, options.sample, seed)
    header = Header(frames=count, height=height, width=width, fps=fps, source=clip.source, **recipe)
    return Latents(header, arrays)


def _encode_frames(
    tae: TemporalAutoencoder, frames: Iterator[np.ndarray], sample: bool, seed: int
) -> tuple[dict[str, np.ndarray], int]:
    """Arrays (z, t, h, w) by name, and how many frames there were; frames are read while they are encoded."""
    count, pieces = 0, []

    def clip() -> Iterator[np.ndarray]:
        nonlocal count
        for frame in frames:
            count += 1
            yield pixels.to_clip(frame[None])[None]

    for z, mean, logvar in tae.encode_stream(clip(), seed=seed):
        kept = {"z": z.asnumpy()} if sample else {"mean": mean.asnumpy(), "std": np.exp(0.5 * logvar.asnumpy())}
        pieces.append(kept)
    return {name: np.concatenate([piece[name][0] for piece in pieces], 1) for name in pieces[0]}, count


def _seed_of(source: str, seed: int) -> int:
    """A seed of the clip's own, whichever rank encodes it and whatever came before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {source}".encode()).digest()[:8], "little")


def _note_failed(path: Path, failed: list[dict[str, str]]):
    if not failed:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as part:
        part.write_text(json.dumps(failed, indent=1) + "\n")


def _total(count: int, ranks: int) -> int:
    """The sum over all ranks; waits for them."""
    (mean,) = Average(ranks)((Tensor(np.array([count], np.float32)),))
    return round(float(mean.asnumpy()[0]) * ranks)
