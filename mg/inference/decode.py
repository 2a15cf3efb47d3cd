"""Files of latents to videos and images: a cache, or what a diffusion model made."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mg.errors import InputError, OutputError
from mg.evaluation.round_trip import frame_at
from mg.files import require_file, sha256
from mg.inference.encode import write_failed
from mg.io import image, video
from mg.io.latent_index import find_latents
from mg.io.latents import SUFFIX, Header, read_header, read_latents, read_plain
from mg.locks import hold_folder
from mg.models.latents import Factors
from mg.models.session import Session
from mg.progress import show_progress

logger = logging.getLogger(__name__)

SUFFIXES = (SUFFIX, ".npy", ".npz")
AXES = ("cthw", "tchw")
# Of the two arrays that mindone's Movie Gen trainers read, the one that is decoded.
_MEAN, _PAIR = "latent_mean", {"latent_mean", "latent_std"}


@dataclass(frozen=True)
class Reading:
    """How files are read.

    scaled: the latents are (z - shift) * scaling, by the file's own factors, or the model's if it has no header.
    any_weights: also take latents of other weights. fps: of files without a header, whose every frame is kept.
    axes: of these, "cthw" or "tchw": whether channels or latent frames come first, behind clips if there are several.
    output_fps: the constant rate of what is written; None: the recorded one, or the recorded times where it varies.
    """

    scaled: bool = False
    any_weights: bool = False
    fps: Fraction = Fraction(24)
    output_fps: Fraction | None = None
    axes: str = AXES[0]

    def __post_init__(self):
        if self.axes not in AXES:
            raise InputError(f"axes={self.axes!r} is unknown; use one of {', '.join(AXES)}")
        for name in ("fps", "output_fps"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise InputError(f"{name}={getattr(self, name)} must be positive")


def decode_files(session: Session, source: Path | str, output_path: Path | str, reading: Reading = Reading()) -> int:
    """Decode a file of latents, or all in a folder: a posterior's mean, a sample, or codes, to their size and rate.

    Where the model is `parallel`, all its ranks call this, and rank 0 writes.
    Returns how many files could not be used: each is named in the log and in failed.json.
    """
    source, output, team = Path(source), Path(output_path), session.model.team
    files = find_latents(source, SUFFIXES) if source.is_dir() else [require_file(source, "a file of latents")]
    if not reading.any_weights:
        _check_weights(files, sha256(session.model.weights_path))
    stems = [file.relative_to(source if source.is_dir() else source.parent).with_suffix("") for file in files]
    failed, made_of = [], {}
    with hold_folder(output, team.rank) as held:
        for file, stem in zip(show_progress(files, desc="decoding", unit="file", disable=team.rank > 0), stems):
            held.check()
            target = output / (stem if stems.count(stem) == 1 else stem.with_name(file.name))
            try:
                for (header, z), name in _clips(session, file, target, reading):
                    if made_of.setdefault(name, file) != file:
                        raise InputError(
                            f"'{file}': its result '{name}' would replace that of '{made_of[name]}'; rename one"
                        )
                    _decode(session, z, header, name, reading, file)
            except OutputError:
                raise
            except InputError as error:
                if not source.is_dir():
                    raise
                failed.append({"file": str(file), "why": str(error)})
                logger.error("error: %s", error)
        if team.rank == 0:
            (output / "failed.json").unlink(missing_ok=True)
            write_failed(output / "failed.json", failed)
        team.agree()  # msrun ends all ranks when one has ended with an error, and rank 0 may still be writing
    logger.info("%d files decoded, %d failed; results are in %s", len(files) - len(failed), len(failed), output)
    return len(failed)


def decode_frames(session: Session, z: np.ndarray, size: tuple[int, int, int] | None = None) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8, one at a time, of raw latents (z, t, h, w).

    size: frames, height and width to keep; None keeps all. Raises InputError if the latents are of another size.
    """
    model, (_, *grid) = session.model, z.shape
    space = model.space_compression
    frames, height, width = size or (model.frames(grid[0]), grid[1] * space, grid[2] * space)
    session.prepare(frames, height, width)
    wanted = (model.channels_in_latent, model.latent_frames(frames), -(-height // space), -(-width // space))
    if wanted != z.shape:
        raise InputError(
            f"latents have shape {z.shape}, but {wanted} is expected; use the model they were made with, or say with "
            "--axes tchw that frames come first"
        )
    for piece in session.decode((z[None, :, index : index + 1] for index in range(grid[0])), frames):
        for index in range(piece.shape[2]):
            yield frame_at(piece, index, 1, (height, width))[0]
        del piece  # or it is held while the next window is computed


def _check_weights(files: list[Path], digest: str):
    """Raise InputError, before anything is decoded, if a file says that its latents are of other weights."""
    for file in files:
        try:
            header = read_header(file)[0] if file.suffix == SUFFIX else None
        except InputError:  # it has no header, or is damaged: this is said when its turn comes
            continue
        if header is not None and header.weights_sha256 != digest:
            raise InputError(
                f"'{file}' was encoded with weights {header.weights_sha256}, but the model's are {digest}; "
                "name the right ones with --ckpt_path, or decode all the same with --any_weights"
            )


def _clips(
    session: Session, file: Path, target: Path, reading: Reading
) -> Iterator[tuple[tuple[Header | None, np.ndarray], Path]]:
    """(header, raw latents (z, t, h, w)) and the path of the result, without suffix, of each clip in a file."""
    model = session.model
    with model.team.agreed():
        plain = _read_outside(file, reading.axes)
        latents = read_latents(file) if plain is None else None
    if latents is not None:
        header = latents.header
        if header.model not in (None, model.family):
            raise InputError(f"'{file}' holds latents of {header.model}, but the weights are of {model.family}")
        z = model.latents.restored(latents.arrays)
        factors = Factors(header.scaling_factor, header.shift_factor)
        yield (header, factors.unscale(z) if reading.scaled else z), target
        return
    logger.info("%s has no header: whether the weights fit cannot be checked, all frames are kept", file)
    for index, z in enumerate(plain):
        z = model.factors.unscale(z) if reading.scaled else z
        yield (None, z), target if len(plain) == 1 else target.with_name(f"{target.name}_{index}")


def _read_outside(file: Path, axes: str) -> np.ndarray | None:
    """Latents (B, z, t, h, w) as fp32 of a file that is not ours; None for one of ours.

    It must hold one array, or the mean and deviation that mindone's pipelines name, of which the mean is taken.
    """
    if file.suffix not in SUFFIXES:
        raise InputError(f"'{file}' must end in {' '.join(SUFFIXES)} to be read as latents")
    if file.suffix == SUFFIX:
        arrays = read_plain(file)
        if arrays is None:
            return None
    else:
        arrays = _load_numpy(file)
    if set(arrays) == _PAIR:
        arrays = {_MEAN: arrays[_MEAN]}
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
    values = values.reshape(-1, *z.shape[-4:])
    return values.swapaxes(1, 2) if axes == "tchw" else values


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


def _decode(session: Session, z: np.ndarray, header: Header | None, target: Path, reading: Reading, file: Path):
    size = None if header is None else (header.frames, header.height, header.width)
    try:
        if header is not None:
            session.follow(header.options.get("windows"))
        frames = decode_frames(session, z, size)
        with session.model.team.agreed(frames):
            if session.model.team.rank > 0:
                deque(frames, maxlen=0)
            elif header is not None and header.fps is None:
                (frame,) = frames
                image.write_image(target.with_name(f"{target.name}.png"), frame)
            else:
                rate, times = (reading.fps, None) if header is None else (Fraction(header.fps), header.times)
                path = target.with_name(f"{target.name}.mp4")
                with video.write_video(path, rate, times=times, output_fps=reading.output_fps) as writer:
                    for frame in frames:
                        writer.write(frame)
    except OutputError:
        raise
    except InputError as error:
        raise InputError(f"'{file}': {error}") from None
