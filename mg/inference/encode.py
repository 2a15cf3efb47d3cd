"""Videos and images to files of latents: a cache for training diffusion models."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg.errors import InputError
from mg.files import make_folder, whole_file
from mg.inference.models import Models, seed_of
from mg.inference.options import Options
from mg.inference.clips import Clip, Source, open_clip
from mg.io import pixels
from mg.io.latents import FLOAT_DTYPES, INDEX, SUFFIX, Header, Latents, read_header, write_index, write_latents
from mg.models.tae.tae import TemporalAutoencoder
from mg.distributed import total

logger = logging.getLogger(__name__)


def encode_files(
    sources: Sequence[Source],
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
    models = Models(ckpt_path, dtype, options.tiles)
    recipe = _recipe(models, options, dtype_out)
    # Every rank looks at all files, so that one that is refused stops all ranks before any of them encodes.
    finished = {source.name for source in sources if _is_finished(output, source, recipe, overwrite)}
    share = sources[rank::ranks]
    waiting = [source for source in share if source.name not in finished]
    total(0, ranks)  # until here nothing was changed
    if len(waiting) < len(share):
        logger.info("%d of %d clips are finished already", len(share) - len(waiting), len(share))
    if rank == 0:
        for path in (output / INDEX, output / "failed.json", *output.glob("failed_rank*.json")):
            path.unlink(missing_ok=True)
    total(0, ranks)
    failed = []
    for source in tqdm(waiting, desc="encoding", unit="clip", disable=rank > 0):
        try:
            write_latents(_target(output, source), _encode(models, open_clip(source, options), recipe, options))
        except InputError as error:
            if len(sources) == 1:
                raise
            failed.append({"file": source.name, "why": str(error)})
            logger.error("error: %s: %s", source.name, error)
    if failed:
        with whole_file(output / ("failed.json" if rank == 0 else f"failed_rank{rank}.json")) as part:
            part.write_text(json.dumps(failed, indent=1) + "\n")
    all_failed = total(len(failed), ranks)  # by then all ranks are through
    if rank == 0 and all_failed < len(sources):
        rows = write_index(output)
        logger.info("%d clips in %s, %d failed", len(rows), output, all_failed)
    return all_failed


def _target(output: Path, source: Source) -> Path:
    return output / f"{source.stem}{SUFFIX}"


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
            **{"num_frames": options.num_frames, "stride": options.stride, "image_size": size},
            "compute_dtype": str(models.compute_dtype),
            **drawn,
        },
    } | {key: models.config[key] for key in ("scaling_factor", "shift_factor")}


def _is_finished(output: Path, source: Source, recipe: dict[str, object], overwrite: bool) -> bool:
    """Whether the clip's latents exist. Raises InputError if they are of another recipe, unless to overwrite."""
    _refuse_other_name(output, source)
    target = _target(output, source)
    if not target.exists():
        return False
    try:
        header, _ = read_header(target)
    except InputError:
        if overwrite:
            return False
        raise
    for name, value in {"source": source.name, **recipe}.items():
        before = getattr(header, name)
        if before != value:
            if overwrite:
                return False
            raise InputError(
                f"'{target}' was encoded with {name}={before}, and now {name}={value} is asked for; "
                "name another folder, or replace such files with --overwrite"
            )
    return True


def _refuse_other_name(output: Path, source: Source):
    """Raise InputError if the clip is in the cache with its suffix in the name, and now would be without, or so."""
    for stem in {source.name, Path(source.name).with_suffix("").as_posix()} - {source.stem}:
        other = output / f"{stem}{SUFFIX}"
        if other.exists() and read_header(other)[0].source == source.name:
            raise InputError(
                f"'{other}' holds '{source.name}', which is to be '{_target(output, source)}' now, because whether "
                "names are alike but for the suffix has changed; remove it, or name another folder"
            )


def _encode(models: Models, clip: Clip, recipe: dict[str, object], options: Options) -> Latents:
    height, width = clip.size
    tae = models.get(clip.total, height, width)
    seed = seed_of(clip.source.name, options.seed)
    arrays, count = _encode_frames(tae, clip.frames, options.sample, seed)
    fps = None if clip.fps is None else str(clip.fps)
    header = Header(frames=count, height=height, width=width, fps=fps, source=clip.source.name, **recipe)
    return Latents(header, arrays)


def _encode_frames(
    tae: TemporalAutoencoder, frames: Iterable[np.ndarray], sample: bool, seed: int
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
