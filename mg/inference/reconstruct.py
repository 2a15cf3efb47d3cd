"""Files through the autoencoder and back: reconstructions, pictures and figures."""

from __future__ import annotations

import json
import logging
import platform
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import metadata
from itertools import chain, islice
from pathlib import Path

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mg.data.sample_clip import FPS, FRAMES, draw_sample_clip
from mg.data.transforms import resize_and_crop
from mg.errors import InputError
from mg.files import make_folder, sha256, whole_file
from mg.io import image, pixels, video
from mg.io.media import find_media, is_image
from mg.io.pictures import contact_sheet, side_by_side
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.tae.tae import DEFAULT_WEIGHTS, MIN_SIZE, TemporalAutoencoder
from mg.models.tiling import Tiles

logger = logging.getLogger(__name__)

SHEET_COLUMNS = 6
MAX_SIZE = 16384
# Without tiles, as many frames as have about this many pixels together go through the networks at once.
CHUNK_PIXELS = 16 * 256 * 256


@dataclass(frozen=True)
class Options:
    """How inputs are reconstructed.

    num_frames: take this many frames from the start of each clip; None takes all.
    image_size: (height, width) to scale and crop to; None keeps the source's.
    sample: decode a sample of the posterior, drawn with `seed`, instead of its mean.
    tiles: how to tile in time and space; None picks windows over time by the size of the frames, which do not overlap,
    and leaves frames whole.
    """

    num_frames: int | None = None
    image_size: tuple[int, int] | None = None
    sample: bool = False
    seed: int = 0
    tiles: Tiles | None = None

    def __post_init__(self):
        if self.num_frames is not None and not 1 <= self.num_frames <= sys.maxsize:
            raise InputError(f"num_frames={self.num_frames} must be at least 1; leave it out for all frames")
        if self.image_size is not None and not all(MIN_SIZE <= side <= MAX_SIZE for side in self.image_size):
            raise InputError(
                f"image_size={self.image_size} must be from {MIN_SIZE} to {MAX_SIZE}; leave it out to keep the size"
            )
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must be at least 0")


def reconstruct(
    source: Path | str | None = None,
    ckpt_path: Path | str | None = None,
    output_path: Path | str = "samples/recons",
    dtype: str = "auto",
    options: Options = Options(),
) -> int:
    """Reconstruct a video, an image, or every one in a folder, and write what came out to `output_path`.

    source: None draws a sample clip there. ckpt_path: None takes the model that ships with the package.
    Writes for each input its reconstruction, a side-by-side and a contact sheet; then metrics.json.
    Returns the number of inputs that could not be used: each is named in the log and in metrics.json.
    """
    weights = DEFAULT_WEIGHTS if ckpt_path is None else Path(ckpt_path)
    files = [] if source is None else find_media(source, leave_out=output_path)
    models = Models(weights, dtype, options.tiles)
    output = make_folder(output_path)
    (output / "metrics.json").unlink(missing_ok=True)
    if source is None:
        files = [_draw_sample(output / "sample_clip.mp4")]
    root = Path(source) if source is not None and Path(source).is_dir() else None
    rows, failed = [], []
    for file, target in zip(files, _targets(files, root, output)):
        try:
            kind = _reconstruct_image if is_image(file) else _reconstruct_video
            rows.append(kind(models, file, target, options))
            logger.info("%s: %s", file.name, _summary(rows[-1]))
        except InputError as error:
            if root is None:
                raise
            failed.append({"file": str(file), "why": str(error)})
            logger.error("error: %s", error)
    report = {
        "mean": _mean(rows),
        "mean_by_kind": {
            kind: _mean(r for r in rows if r["kind"] == kind) for kind in sorted({r["kind"] for r in rows})
        },
        "clips": rows,
        "failed": failed,
        "graphs_compiled": models.graphs,
        "protocol": _protocol(models, options),
    }
    with whole_file(output / "metrics.json") as part:
        part.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    logger.info("%d reconstructed, %d failed; results are in %s", len(rows), len(failed), output)
    return len(failed)


class Models:
    """The model, for one shape of tiles at a time: a model keeps its graphs, some 0.2 GB for each shape.

    Raises InputError when the weights cannot be loaded, or tiles do not suit the model.
    """

    def __init__(self, weights: Path, dtype: str, tiles: Tiles | None):
        self.weights, self.dtype, self.tiles = weights, dtype, tiles
        tae = TemporalAutoencoder(pretrained=weights, dtype=dtype, **({} if tiles is None else asdict(tiles)))
        self.config, self.compute_dtype = dict(tae.config), tae.compute_dtype
        self.compression = tae.time_compression, tae.space_compression
        self.sha256 = sha256(weights)
        self.tae = self.key = None
        self._dropped = 0

    @property
    def graphs(self) -> int:
        """How many graphs were compiled so far."""
        return self._dropped + (0 if self.tae is None else self.tae.graphs)

    def get(self, frames: int, height: int, width: int) -> TemporalAutoencoder:
        """A model whose tiles suit a clip, and which has compiled graphs for clips like it, or none yet."""
        tiles = self.tiles or _whole_frames(*self.compression, height, width)
        key = (tiles, min(frames, tiles.encode_tile), *(min(side, tiles.spatial_tile) for side in (height, width)))
        if self.key != key:
            self._dropped = self.graphs
            self.tae = self.key = None  # frees the graphs of the last shape before new ones are made
            self.tae = TemporalAutoencoder(pretrained=self.weights, dtype=self.dtype, **asdict(tiles))
            self.key = key
            logger.info("compiling for %d frames of %dx%d", key[1], key[3], key[2])
        return self.tae


def _whole_frames(time: int, space: int, height: int, width: int) -> Tiles:
    """Windows over time that do not overlap, of about CHUNK_PIXELS pixels, with frames left whole."""
    frames = max(1, CHUNK_PIXELS // (height * width * time)) * time
    side = -(-max(height, width) // space) * space
    return Tiles(encode_tile=frames, decode_tile=frames, decode_overlap=0, spatial_tile=side, spatial_overlap=0)


def _reconstruct_video(models: Models, source: Path, target: Path, options: Options) -> dict[str, object]:
    info = video.probe(source)
    total = min(info.frames, options.num_frames or info.frames)
    frames = (_sized(frame, options) for frame in islice(video.read_frames(source), options.num_frames))
    kept = {round(index) for index in np.linspace(0, max(total - 1, 0), SHEET_COLUMNS)}
    sheet, scores = {}, []
    with (
        video.write_video(_with(target, "_recon.mp4"), info.fps) as recon_file,
        video.write_video(_with(target, "_side_by_side.mp4"), info.fps) as side_file,
        tqdm(total=total, desc=source.name, unit="frame") as bar,
    ):
        for original, recon in _round_trip(models, frames, total, source, options):
            recon_file.write(recon)
            side_file.write(side_by_side(original, recon))
            if len(scores) in kept:
                sheet[len(scores)] = (original, recon)
            scores.append((psnr(original, recon), ssim(original, recon)))
            bar.update()
    row = _row(source, "video", original, scores, fps=str(info.fps))
    title = f"{source.name}: {row['frames']} frames of {row['width']}x{row['height']}, {_summary(row)}"
    image.write_image(
        _with(target, "_sheet.png"), contact_sheet(title, [f"frame {i}" for i in sheet], list(sheet.values()))
    )
    return row


def _reconstruct_image(models: Models, source: Path, target: Path, options: Options) -> dict[str, object]:
    original = _sized(image.read_image(source), options)
    with tqdm(total=1, desc=source.name, unit="image") as bar:
        ((original, recon),) = _round_trip(models, [original], 1, source, options)
        bar.update()
    row = _row(source, "image", original, [(psnr(original, recon), ssim(original, recon))])
    image.write_image(_with(target, "_recon.png"), recon)
    image.write_image(_with(target, "_side_by_side.png"), side_by_side(original, recon))
    title = f"{source.name}: {row['width']}x{row['height']}, {_summary(row)}"
    image.write_image(_with(target, "_sheet.png"), contact_sheet(title, [""], [(original, recon)]))
    return row


def _round_trip(
    models: Models, frames: Iterable[np.ndarray], total: int, source: Path, options: Options
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (original, reconstruction) frame by frame; reading, encoding and decoding go along together.

    total: about how many frames there are.
    """
    tae, frames, (height, width) = open_frames(models, frames, total, source)
    waiting = deque()

    def clips() -> Iterator[np.ndarray]:
        for frame in frames:
            waiting.append(frame)
            yield pixels.to_clip(frame[None])[None]

    latents = (z if options.sample else mean for z, mean, _ in tae.encode_stream(clips(), seed=options.seed))
    for piece in tae.decode_stream(latents):
        recon = piece.asnumpy()[0, :, : len(waiting), :height, :width]
        for index in range(recon.shape[1]):
            frame = recon[:, index : index + 1]
            if not np.isfinite(frame).all():
                raise InputError(
                    f"the reconstruction of '{source}' is not finite in {tae.compute_dtype}; use --dtype fp32"
                )
            yield waiting.popleft(), pixels.to_frames(frame)[0]


def open_frames(
    models: Models, frames: Iterable[np.ndarray], total: int, source: Path
) -> tuple[TemporalAutoencoder, Iterator[np.ndarray], tuple[int, int]]:
    """A model for frames like the first, all the frames, and their height and width.

    total: about how many there are. Raises InputError for frames that are too small.
    """
    frames = iter(frames)
    first = next(frames)
    height, width, _ = first.shape
    if min(height, width) < MIN_SIZE:
        raise InputError(
            f"'{source}' has frames of {width}x{height}; sides of at least {MIN_SIZE} are needed: use --image_size"
        )
    return models.get(total, height, width), chain([first], frames), (height, width)


def _sized(frame: np.ndarray, options: Options) -> np.ndarray:
    return frame if options.image_size is None else resize_and_crop(frame, *options.image_size)


def _row(
    source: Path, kind: str, frame: np.ndarray, scores: list[tuple[float, float]], **more: str
) -> dict[str, object]:
    height, width, _ = frame.shape
    means = np.mean(scores, 0)
    sizes = {"frames": len(scores), "width": width, "height": height}
    return {"file": str(source), "kind": kind, **sizes, **more, "psnr": float(means[0]), "ssim": float(means[1])}


def _summary(row: dict[str, object]) -> str:
    return f"PSNR {row['psnr']:.2f} dB, SSIM {row['ssim']:.4f}"


def _mean(rows: Iterable[dict[str, object]]) -> dict[str, float | int | None]:
    rows = list(rows)
    means = {key: float(np.mean([row[key] for row in rows])) if rows else None for key in ("psnr", "ssim")}
    return {**means, "clips": len(rows)}


def _protocol(models: Models, options: Options) -> dict[str, object]:
    return {
        "psnr": "dB, peak 255, of each frame, then the mean over frames; identical frames count as 100 dB",
        "ssim": "Gaussian window 11x11, sigma 1.5, of each frame and channel, then the mean",
        "mean": "over clips, each counted once",
        "latents": "sample of the posterior" if options.sample else "mean of the posterior",
        "rounding": "clipped to [-1, 1], rounded to the nearest of 256 levels",
        "resize": "cover, then centre crop" if options.image_size else "none",
        "tiles": asdict(options.tiles) if options.tiles else f"whole frames, in windows of about {CHUNK_PIXELS} pixels",
        "options": {key: value for key, value in asdict(options).items() if key != "tiles"},
        "dtype": f"{models.dtype}: {models.compute_dtype}",
        "device": ms.get_context("device_target"),
        "weights": models.weights.name,
        "weights_sha256": models.sha256,
        "config": models.config,
        "versions": {name: metadata.version(name) for name in ("mindspore", "numpy", "av")}
        | {"python": platform.python_version()},
    }


def _targets(sources: list[Path], root: Path | None, output: Path) -> list[Path]:
    """A path for each source: its name without suffix, or all of them with, if two sources would share one."""
    names = [source.relative_to(root) if root else Path(source.name) for source in sources]
    stems = [name.with_suffix("") for name in names]
    return [output / name for name in (stems if len(set(stems)) == len(stems) else names)]


def _with(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _draw_sample(path: Path) -> Path:
    with video.write_video(path, Fraction(FPS)) as file:
        for frame in tqdm(draw_sample_clip(), total=FRAMES, desc="drawing the sample clip", unit="frame"):
            file.write(frame)
    return path
