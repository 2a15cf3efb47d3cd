"""Videos and images to files of latents: a cache for training diffusion models and language models."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mg.distributed import total
from mg.errors import InputError, OutputError
from mg.evaluation.round_trip import generator_of
from mg.files import sha256, whole_file
from mg.inference.clips import Source
from mg.inference.options import Options
from mg.io import pixels
from mg.io.clip import open_clip
from mg.io.latent_index import INDEX, write_index
from mg.io.latents import FLOAT_DTYPES, SUFFIX, Header, Latents, read_header, write_latents
from mg.locks import hold_folder
from mg.models.session import Session
from mg.progress import show_progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storing:
    """What is stored of each clip.

    kind: one of those that the model's latents are stored as, such as posterior or sample; None takes the first.
    dtype: fp32, fp16 or bf16; of codes it is int32 whatever this says.
    overwrite: replace files from other weights or options, which are an error otherwise.
    """

    kind: str | None = None
    dtype: str = "fp32"
    overwrite: bool = False

    def __post_init__(self):
        if self.dtype not in FLOAT_DTYPES:
            raise InputError(f"dtype_out={self.dtype!r} cannot be stored; use one of {', '.join(FLOAT_DTYPES)}")


def encode_files(
    session: Session,
    sources: Sequence[Source],
    output_path: Path | str,
    options: Options = Options(),
    storing: Storing = Storing(),
    place: tuple[int, int] = (0, 1),
) -> int:
    """Encode the clips that this process has, (rank, ranks), of all that share them; finished ones are skipped.

    Where the model is `parallel`, its ranks all have all clips and compute each together, and rank 0 writes.
    Returns how many clips could not be used, of all ranks: each is named in the log and its rank's failed.json.
    """
    recipe = _recipe(session, options, storing)
    output, team, together = Path(output_path), session.model.team, session.model.parallel
    rank, ranks = (team.rank, team.ranks) if together else place
    writes = rank == 0 or not together
    with hold_folder(output, rank) as held:
        waiting = _waiting(sources, output, recipe, storing.overwrite, (rank, ranks), together)
        failed = []
        for source in show_progress(waiting, desc="encoding", unit="clip", disable=rank > 0):
            held.check()
            try:
                with team.agreed():
                    latents = encode_clip(session, source, options, recipe)
                    if writes:
                        write_latents(_target(output, source), latents)
            except OutputError:
                raise
            except InputError as error:
                if len(sources) == 1:
                    raise
                if writes:
                    failed.append({"file": source.name, "why": str(error)})
                    logger.error("error: %s: %s", source.name, error)
        write_failed(output / ("failed.json" if rank == 0 else f"failed_rank{rank}.json"), failed)
        all_failed = total(len(failed), ranks)  # by then all ranks are through
        if rank == 0 and all_failed < len(sources):
            rows = write_index(output)
            logger.info("%d clips in %s, %d failed", len(rows), output, all_failed)
        total(0, ranks)  # msrun ends all ranks when one has ended with an error, and rank 0 may still be writing
        return all_failed


def write_failed(path: Path, failed: list[dict[str, str]]) -> None:
    """Write which files could not be used, and why, if there are some."""
    if failed:
        with whole_file(path) as part:
            part.write_text(json.dumps(failed, indent=1) + "\n")


def _waiting(
    sources: Sequence[Source],
    output: Path,
    recipe: dict[str, object],
    overwrite: bool,
    place: tuple[int, int],
    together: bool,
) -> list[Source]:
    """What this rank has to do, once all ranks have seen that it can be done; the index of what was is removed.

    together: all ranks do all.
    """
    rank, ranks = place
    # Every rank looks at all files, so that one that is refused stops all ranks before any of them encodes.
    finished = {source.name for source in sources if _is_finished(output, source, recipe, overwrite)}
    share = sources if together else sources[rank::ranks]
    waiting = [source for source in share if source.name not in finished]
    total(0, ranks)  # until here nothing was changed
    if len(waiting) < len(share):
        logger.info("%d of %d clips are finished already", len(share) - len(waiting), len(share))
    if rank == 0:
        for path in (output / INDEX, output / "failed.json", *output.glob("failed_rank*.json")):
            path.unlink(missing_ok=True)
    total(0, ranks)
    return waiting


def encode_clip(session: Session, source: Source, options: Options, recipe: dict[str, object]) -> Latents:
    """Header and arrays (z, t, h, w) of one clip, whose frames are read while they are encoded."""
    count, pieces = 0, []
    with session.model.team.agreed():
        clip = open_clip(source.path, options.sampling)
    session.prepare(clip.total, *clip.size)
    rng = generator_of(source.name, options.seed)

    def frames() -> Iterator[np.ndarray]:
        nonlocal count
        for frame in clip.frames:
            count += 1
            yield pixels.to_clip(frame[None])[None]

    for raw in session.encode(frames()):
        pieces.append(session.model.latents.stored(raw, recipe["kind"], rng))
    arrays = {name: np.concatenate([piece[name][0] for piece in pieces], 1) for name in pieces[0]}
    height, width = clip.size
    fps = None if clip.fps is None else str(clip.fps)
    shown = {"frames": count, "height": height, "width": width, "fps": fps, "times": clip.times}
    return Latents(Header(source=source.name, **shown, **recipe), arrays)


def _target(output: Path, source: Source) -> Path:
    return output / f"{source.stem}{SUFFIX}"


def _recipe(session: Session, options: Options, storing: Storing) -> dict[str, object]:
    """The fields of every header that do not depend on the clip: latents with equal ones are interchangeable."""
    model = session.model
    kinds = model.latents.stored_as
    kind = storing.kind or kinds[0]
    if kind not in kinds:
        raise InputError(f"kind={kind!r} is nothing that {model.family} gives; use one of {', '.join(kinds)}")
    sampling = options.sampling
    size = None if sampling.image_size is None else list(sampling.image_size)
    fps = {} if sampling.sample_fps is None else {"sample_fps": str(sampling.sample_fps)}
    side = {} if sampling.resolution is None else {"resolution": sampling.resolution}
    drawn = {"seed": options.seed} if kind in model.latents.drawn_as else {}
    return {
        "model": model.family,
        "weights_sha256": sha256(model.weights_path),
        "kind": kind,
        "dtype": model.latents.dtype or storing.dtype,
        "vocabulary": model.latents.vocabulary,
        "tiles": asdict(session.tiles) if session.use_tile else None,
        "options": {
            **{"num_frames": sampling.num_frames, "stride": sampling.stride, "image_size": size, **side, **fps},
            "compute_dtype": str(model.compute_dtype),
            **({"windows": session.tiles.windows} if session.tiles.separate else {}),
            **drawn,
        },
        "scaling_factor": _listed(model.factors.scaling),
        "shift_factor": _listed(model.factors.shift),
    }


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
        if before != value and not (name in ("model", "vocabulary") and before is None):
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


def _listed(factor: object) -> object:
    """Factors as a header has them: a number, or a list of several."""
    if not isinstance(factor, tuple):
        return factor
    return factor[0] if len(factor) == 1 else list(factor)
