"""Export a cache of latents, raw and unscaled, to the files that other programs train on.

--format
mindone     a .npz a clip with `latent_mean` and `latent_std`, fp32 (t, z, h, w), under the name that mindone's trainer
            for Movie Gen looks for: the clip's, with the suffix .npz. Only posteriors
npz         a .npz a clip with the arrays as they are, fp32 (z, t, h, w) or int32 codes, and `header`, its JSON
parquet     latents.parquet, a row a clip: arrays as bytes, with shape, dtype, name, size, frames, rate. Needs pyarrow
mindrecord  latents.mindrecord and its .db for MindSpore's MindDataset, an item a clip: flat arrays, shape and the rest

Clips are read one after the other. Of one file all clips must be of one kind. docs/latents.md has a reader for each.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mg import cli
from mg.errors import InputError
from mg.files import make_folder, whole_file
from mg.io.latent_index import find_latents
from mg.io.latents import Latents, read_latents
from mg.locks import hold_folder
from mg.progress import show_progress

logger = logging.getLogger(__name__)

Clips = Iterator["tuple[Path, Latents]"]  # file inside the cache, and what is in it
NAME = "latents"


def clips_of(cache: Path) -> Clips:
    """Every clip of a cache, one at a time."""
    for path in show_progress(find_latents(cache), desc="exporting", unit="clip"):
        yield path.relative_to(cache), read_latents(path)


def of_one_kind(clips: Clips) -> Clips:
    """The clips; InputError for one of another kind than the first."""
    kind = None
    for name, latents in clips:
        kind = kind or latents.header.kind
        if latents.header.kind != kind:
            raise InputError(f"'{name}' holds {latents.header.kind}, unlike files before it; separate them")
        yield name, latents


def to_mindone(clips: Clips, output: Path) -> None:
    """As mindone's examples/moviegen/mg/dataset/dataset.py reads it: frames first, below the folders of the clips."""
    made_of: dict[Path, str] = {}
    for name, latents in clips:
        header = latents.header
        if header.kind != "posterior":
            raise InputError(f"'{name}' holds {header.kind}, but mindone reads mean and deviation; encode posteriors")
        target = (output / name).with_name(f"{Path(header.source).stem}.npz")
        if made_of.setdefault(target, header.source) != header.source:
            raise InputError(f"both '{made_of[target]}' and '{header.source}' would be '{target}'; rename one clip")
        arrays = {f"latent_{part}": array.swapaxes(0, 1) for part, array in latents.arrays.items()}
        write_npz(target, arrays)
    logger.info("its dataset scales them with tae_scale_factor %s and tae_shift_factor %s", *factors(header))


def to_npz(clips: Clips, output: Path) -> None:
    for name, latents in clips:
        header = json.dumps({**asdict(latents.header), "times": times_of(latents)})
        write_npz((output / name).with_suffix(".npz"), {**latents.arrays, "header": np.array(header)})


def to_parquet(clips: Clips, output: Path) -> None:
    """A row group a clip, so that one clip is in memory at a time."""
    try:
        pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f"--format parquet needs pyarrow ({error}); pip install 'pyarrow<22', which takes NumPy 1.26, or use npz"
        ) from None
    numbers, reals, whole = pa.list_(pa.int32()), pa.list_(pa.float64()), pa.int32()
    fields = {"name": pa.string(), "model": pa.string(), "kind": pa.string(), "dtype": pa.string(), "shape": numbers}
    fields |= {"frames": whole, "height": whole, "width": whole, "rate": pa.string()}
    fields |= {"scaling_factor": reals, "shift_factor": reals, "weights_sha256": pa.string()}
    writer = None
    with whole_file(output / f"{NAME}.parquet") as part:
        try:
            for _, latents in of_one_kind(clips):
                stored = {name: np.ascontiguousarray(array).tobytes() for name, array in latents.arrays.items()}
                schema = pa.schema({**fields, **dict.fromkeys(stored, pa.binary())})
                writer = writer or parquet.ParquetWriter(part, schema)
                writer.write_table(pa.Table.from_pylist([{**about(latents), **stored}], schema))
        finally:
            if writer is not None:
                writer.close()


def to_mindrecord(clips: Clips, output: Path) -> None:
    """The pair of files knows its own names, so that it is written in a hidden folder and moved when it is complete."""
    from mindspore.mindrecord import FileWriter  # here: no other format needs MindSpore

    hidden = output / f".{NAME}.mindrecord.part"
    shutil.rmtree(hidden, ignore_errors=True)  # of a killed run
    writer, path = None, make_folder(hidden) / f"{NAME}.mindrecord"
    try:
        for _, latents in of_one_kind(clips):
            item = {name: text_or_array(value) for name, value in about(latents).items()}
            item |= {name: np.ascontiguousarray(array).reshape(-1) for name, array in latents.arrays.items()}
            if writer is None:
                writer = FileWriter(str(path), shard_num=1)
                writer.add_schema({name: field_of(value) for name, value in item.items()}, NAME)
            writer.write_raw_data([item])
        writer.commit()
        for file in (path, path.with_name(f"{path.name}.db")):
            file.chmod(0o644)  # MindSpore's can be read by their owner alone
            os.replace(file, output / file.name)
    finally:
        shutil.rmtree(hidden)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with whole_file(path) as part:
        np.savez(part, **arrays)


def about(latents: Latents) -> dict[str, Any]:
    """What a row says beside its arrays; rate is null for an image."""
    header = latents.header
    scaling, shift = (np.ravel(factor).tolist() for factor in factors(header))
    return {
        **{"name": header.source, "model": header.model, "kind": header.kind},
        **{"dtype": str(next(iter(latents.arrays.values())).dtype), "shape": list(latents.shape)},
        **{"frames": header.frames, "height": header.height, "width": header.width, "rate": header.fps},
        **{"scaling_factor": scaling, "shift_factor": shift, "weights_sha256": header.weights_sha256},
    }


def factors(header: Any) -> tuple[Any, Any]:
    return header.scaling_factor, header.shift_factor


def times_of(latents: Latents) -> list[str] | None:
    times = latents.header.times
    return None if times is None else list(map(str, times))


def text_or_array(value: Any) -> str | int | np.ndarray:
    """A value as MindRecord takes it, which has no null: an empty text instead."""
    if isinstance(value, list):
        return np.asarray(value, np.int32 if all(isinstance(number, int) for number in value) else np.float64)
    return "" if value is None else value


def field_of(value: str | int | np.ndarray) -> dict[str, Any]:
    """What a value is, in a schema of MindRecord."""
    if isinstance(value, np.ndarray):
        return {"type": str(value.dtype), "shape": [-1]}
    return {"type": "int32" if isinstance(value, int) else "string"}


FORMATS: dict[str, Callable[[Clips, Path], None]] = {
    "mindone": to_mindone,
    "npz": to_npz,
    "parquet": to_parquet,
    "mindrecord": to_mindrecord,
}


def main(arguments: list[str] | None = None) -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, metavar="PATH", help="a cache of latents (required)")
    parser.add_argument("--format", required=True, choices=FORMATS, help="see above (required)")
    parser.add_argument("--output_path", required=True, metavar="PATH", help="folder for the files (required)")
    args = parser.parse_args(arguments)
    cache, output = Path(args.input), Path(args.output_path)
    clips = len(find_latents(cache))  # before a folder is made
    with hold_folder(output):
        FORMATS[args.format](clips_of(cache), output)
    logger.info("%d clips exported; results are in %s", clips, output)


if __name__ == "__main__":
    cli.run_script(main)
