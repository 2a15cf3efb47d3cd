"""Files of latents to videos and images: a cache, or what a diffusion model made."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg.errors import InputError
from mg.files import make_folder, require_file, whole_file
from mg.inference.models import Models
from mg.inference.round_trip import decoded_frames
from mg.io import image, video
from mg.io.latents import SUFFIX, Header, find_latents, read_header, read_latents, read_plain
from mg.models.tiling.stream import Tiles

logger = logging.getLogger(__name__)

SUFFIXES = (SUFFIX, ".npy", ".npz")


def decode_files(
    source: Path | str,
    output_path: Path | str,
    ckpt_path: Path | str | None = None,
    dtype: str = "auto",
    tiles: Tiles | None = None,
    scaled: bool = False,
    any_weights: bool = False,
    fps: Fraction = Fraction(24),
) -> int:
    """Decode a file of latents, or all in a folder: a posterior's mean, or the sample, to the recorded size and rate.

    scaled: the latents are (z - shift) * scaling, by the file's own factors, or the model's if it has no header.
    any_weights: also take latents of other weights. fps: of files without a header, whose every frame is kept.
    Returns how many files could not be used: each is named in the log and in failed.json.
    """
    if fps <= 0:
        raise InputError(f"fps={fps} must be positive")
    source, output = Path(source), Path(output_path)
    files = find_latents(source, SUFFIXES) if source.is_dir() else [require_file(source, "a file of latents")]
    models = Models(ckpt_path, dtype, tiles)
    if not any_weights:
        _check_weights(files, models.sha256)
    make_folder(output)
    stems = [file.relative_to(source if source.is_dir() else source.parent).with_suffix("") for file in files]
    failed, made_of = [], {}
    for file, stem in zip(tqdm(files, desc="decoding", unit="file"), stems):
        target = output / (stem if stems.count(stem) == 1 else stem.with_name(file.name))
        try:
            for (header, z), name in _clips(models, file, target, scaled):
                if made_of.setdefault(name, file) != file:
                    raise InputError(
                        f"'{file}': its result '{name}' would replace that of '{made_of[name]}'; rename one"
                    )
                _decode(models, z, header, name, fps, file)
        except InputError as error:
            if not source.is_dir():
                raise
            failed.append({"file": str(file), "why": str(error)})
            logger.error("error: %s", error)
    (output / "failed.json").unlink(missing_ok=True)
    if failed:
        with whole_file(output / "failed.json") as part:
            part.write_text(json.dumps(failed, indent=1) + "\n")
    logger.info("%d files decoded, %d failed; results are in %s", len(files) - len(failed), len(failed), output)
    return len(failed)


def decode_frames(models: Models, z: np.ndarray, size: tuple[int, int, int] | None = None) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8, one at a time, of raw latents (z, t, h, w).

    size: frames, height and width to keep; None keeps all. Raises InputError if the latents are of another size.
    """
    (time, space), (channels, *grid) = models.compression, z.shape
    frames, height, width = size or (grid[0] * time, grid[1] * space, grid[2] * space)
    wanted = (models.config["z_channels"], -(-frames // time), -(-height // space), -(-width // space))
    if wanted != (channels, *grid):
        raise InputError(f"latents have shape {z.shape}, but {wanted} is expected; use the model they were made with")
    tae = models.get(frames, height, width)
    left = frames
    for piece in tae.decode_stream(z[None, :, index : index + 1] for index in range(grid[0])):
        for (frame,) in decoded_frames(piece.asnumpy(), 1, left, (height, width), tae):
            left -= 1
            yield frame
        del piece  # or it is held while the next window is computed


def _check_weights(files: list[Path], sha256: str):
    """Raise InputError, before anything is decoded, if a file says that its latents are of other weights."""
    for file in files:
        try:
            header = read_header(file)[0] if file.suffix == SUFFIX else None
        except InputError:  # it has no header, or is damaged: this is said when its turn comes
            continue
        if header is not None and header.weights_sha256 != sha256:
            raise InputError(
                f"'{file}' was encoded with weights {header.weights_sha256}, but the model's are {sha256}; "
                "name the right ones with --ckpt_path, or decode all the same with --any_weights"
            )


def _clips(
    models: Models, file: Path, target: Path, scaled: bool
) -> Iterator[tuple[tuple[Header | None, np.ndarray], Path]]:
    """(header, raw latents (z, t, h, w)) and the path of the result, without suffix, of each clip in a file."""
    plain = _read_outside(file)
    if plain is None:
        latents = read_latents(file)
        header = latents.header
        if header.kind == "codes":
            raise InputError(f"'{file}' holds integer codes, which a TAE cannot decode; use the model they are of")
        z = latents.arrays["mean" if header.kind == "posterior" else "z"]
        yield (header, _unscaled(z, header.scaling_factor, header.shift_factor) if scaled else z), target
        return
    logger.info("%s has no header: whether the weights fit cannot be checked, all frames are kept", file)
    for index, z in enumerate(plain):
        z = _unscaled(z, models.config["scaling_factor"], models.config["shift_factor"]) if scaled else z
        yield (None, z), target if len(plain) == 1 else target.with_name(f"{target.name}_{index}")


def _unscaled(z: np.ndarray, scaling: float, shift: float) -> np.ndarray:
    return z / np.float32(scaling) + np.float32(shift)


def _read_outside(file: Path) -> np.ndarray | None:
    """Latents (B, z, t, h, w) as fp32 of a file that is not ours, which must hold one array; None for one of ours."""
    if file.suffix not in SUFFIXES:
        raise InputError(f"'{file}' must end in {' '.join(SUFFIXES)} to be read as latents")
    if file.suffix == SUFFIX:
        arrays = read_plain(file)
        if arrays is None:
            return None
    else:
        arrays = _load_numpy(file)
    if len(arrays) != 1:
        raise InputError(
            f"'{file}' holds {len(arrays)} arrays ({', '.join(list(arrays)[:5])}); store the latents alone"
        )
    (z,) = arrays.values()
    with np.errstate(over="ignore"):
        values = z.astype(np.float32) if z.dtype.kind == "f" else None
    if values is None or z.ndim not in (4, 5) or 0 in z.shape or not np.isfinite(values).all():
        raise InputError(
            f"'{file}' holds {z.dtype} {z.shape}; floats (z, t, h, w) or (B, z, t, h, w), finite in fp32, are needed"
        )
    return values.reshape(-1, *z.shape[-4:])


def _load_numpy(file: Path) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"array": loaded}
        with loaded:
            return dict(loaded)
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise InputError(f"'{file}' cannot be read as NumPy's {file.suffix} ({error}); write it again") from None
    except Exception as error:  # zipfile and zlib have errors of their own for a damaged archive
        raise InputError(f"'{file}' is damaged ({error}); copy it again") from None


def _decode(models: Models, z: np.ndarray, header: Header | None, target: Path, fps: Fraction, file: Path):
    size = None if header is None else (header.frames, header.height, header.width)
    try:
        frames = decode_frames(models, z, size)
        if header is not None and header.fps is None:
            image.write_image(target.with_name(f"{target.name}.png"), next(frames))
            return
        rate = fps if header is None else Fraction(header.fps)
        with video.write_video(target.with_name(f"{target.name}.mp4"), rate) as writer:
            for frame in frames:
                writer.write(frame)
    except InputError as error:
        raise InputError(f"'{file}': {error}") from None
