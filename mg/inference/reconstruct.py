"""Files through an autoencoder and back: reconstructions, pictures and figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import mindspore as ms

from mg.distributed import total
from mg.errors import InputError
from mg.evaluation.report import clear_report, reported
from mg.evaluation.tally import Tally
from mg.files import sha256
from mg.inference.clips import Source
from mg.inference.options import Options
from mg.inference.outputs import Saving, clip_folders
from mg.inference.work import Work
from mg.locks import hold_folder
from mg.metrics.choose import choose_metrics
from mg.metrics.metric import Metric
from mg.models.session import CHUNK_PIXELS, Session


def reconstruct(
    session: Session,
    sources: Sequence[Source],
    output_path: Path | str = "samples/recons",
    options: Options = Options(),
    metrics: Sequence[Metric] | None = None,
    saving: Saving = Saving(),
    place: tuple[int, int] = (0, 1),
) -> int:
    """Reconstruct videos and images, and write what came out to `output_path`: see docs/evaluation.md.

    metrics: None takes PSNR and SSIM. place: this process among those that share the sources, (rank, ranks), unless the
    model is `parallel`, whose ranks share each source; rank 0 writes the report. Returns the number of inputs that
    could not be used, of all ranks: each is named in the log and in metrics.json. A single input that cannot be used
    raises its InputError. An interruption keeps what is finished and writes a report of it; `saving.resume` goes on
    from there.
    """
    output, team, together = Path(output_path), session.model.team, session.model.parallel
    rank, ranks = (team.rank, team.ranks) if together else place
    if saving.folders:
        _keep_originals(sources, output)
    options = replace(options, batch_size=min(options.batch_size, len(sources)))
    metrics = choose_metrics(("psnr", "ssim")) if metrics is None else metrics
    tally = Tally(output, metrics, [source.name for source in sources])
    with ExitStack() as stack:
        for folder in (output, *saving.folders_beside(output)):
            stack.enter_context(hold_folder(folder, rank))
        protocol = _protocol(session, options)  # now, since the weights' file need not outlive the work
        if rank == 0:
            tally.begin({**protocol, "metrics": [metric.about for metric in metrics], **saving.about()}, saving.resume)
            clear_report(output)
        total(0, ranks)
        work = Work(session, options, tally, output, saving, only=len(sources) == 1, writes=rank == 0 or not together)
        finished = tally.finished()
        share = _share(sources, options.batch_size, *((0, 1) if together else place))
        share = [one for one in share if one[0] not in finished]
        group = session.model.time_compression
        with nullcontext({}) if rank > 0 else reported(tally, protocol, group) as run:
            work.run(share, quiet=rank > 0)
            failed = total(work.failed, ranks)  # by then all ranks are through
            run.update(ranks=ranks, graphs_compiled=work.graphs)
        total(0, ranks)  # msrun ends all ranks when one has ended with an error, and rank 0 may still be writing
        return failed


def _share(sources: Sequence[Source], batch: int, rank: int, ranks: int) -> list[tuple[int, Source]]:
    """Every `ranks`-th batch of the numbered sources, from the `rank`-th on."""
    numbered = list(enumerate(sources))
    starts = range(rank * batch, len(numbered), ranks * batch)
    return [one for start in starts for one in numbered[start : start + batch]]


def _keep_originals(sources: Sequence[Source], output: Path) -> None:
    """Raise InputError if a source lies where clips of its name are to be written."""
    folders = {folder.resolve() for folder in clip_folders(output)}
    for source in sources:
        if folders & set(source.path.resolve().parents):
            raise InputError(f"'{source.path}' lies where save_folders writes clips; name another output folder")


def _resizing(options: Options) -> str:
    if options.sampling.image_size:
        return "cover, then centre crop"
    return "by the shorter side" if options.sampling.resolution else "none"


def _protocol(session: Session, options: Options) -> dict[str, object]:
    model, sampling = session.model, asdict(options.sampling)
    shown = {key: str(value) if isinstance(value, Fraction) else value for key, value in sampling.items()}
    whole = f"whole frames, in windows of about {CHUNK_PIXELS} pixels"
    return {
        "family": model.family,
        "latents": "a sample" if options.sample else "the likeliest: the mean of a posterior, or the codes",
        "rounding": "clipped to [-1, 1], rounded to the nearest of 256 levels",
        "resize": _resizing(options),
        "tiles": asdict(session.tiles) if session.use_tile else whole,
        "options": {**shown, "sample": options.sample, "seed": options.seed},
        "batch_size": options.batch_size,
        "dtype": str(model.compute_dtype),
        "device": ms.get_current_device().device_target,
        "weights": None if model.weights_path is None else model.weights_path.name,
        "weights_sha256": None if model.weights_path is None else sha256(model.weights_path),
        "config": dict(model.config),
    }
