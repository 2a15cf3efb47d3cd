"""Shift and scaling factors of a cache of latents, of each channel and of all, and outliers; of codes, their use.

Shift is the mean and scaling one over the standard deviation of the latents, sampled where they are posteriors. Both
are exact, in fp64, with one file in memory at a time. An outlier is a value (of the mean, not of the sample) beyond
three standard deviations of its channel.

Of integer codes: how many different ones there are, and the entropy of their frequencies in bits, at most the bits of a
code; 2 to the power of it is the number of codes that are in use as it were (perplexity). tools/token_statistics.py
tells more of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg import cli
from mg.errors import InputError
from mg.evaluation.codebook import CodeUse
from mg.files import whole_file
from mg.io.latent_index import find_latents
from mg.io.latents import read_latents
from mg.locks import hold_file
from mg.progress import show_progress

OUTLIER = 3.0


def read(path: Path) -> tuple[np.ndarray, np.ndarray | float, str]:
    """Means (z, values) in fp64, the variances around them, and the hash of the weights."""
    latents = read_latents(path)
    if "codes" in latents.arrays:
        raise InputError(f"'{path}' holds integer codes, unlike files before it; separate them")
    sample = latents.header.kind == "sample"
    flat = {name: array.reshape(len(array), -1).astype(np.float64) for name, array in latents.arrays.items()}
    mean, variance = (flat["z"], 0.0) if sample else (flat["mean"], flat["std"] ** 2)
    return mean, variance, latents.header.weights_sha256


def moments(files: list[Path]) -> tuple[int, np.ndarray, np.ndarray, str]:
    """Values a channel, each channel's mean and variance, and the hash of the weights.

    Files are merged by their own means, which is stable.
    """
    count, mean, squares, weights = 0, 0.0, 0.0, None
    for path in show_progress(files, desc="moments", unit="file"):
        values, variance, sha256 = read(path)
        if weights is not None and (sha256, len(values)) != weights:
            raise InputError(f"'{path}' is of other weights ({sha256}) than '{files[0]}' ({weights[0]}); separate them")
        weights = (sha256, len(values))
        new = values.shape[1]
        own = values.mean(1)
        own_squares = ((values - own[:, None]) ** 2 + variance).sum(1)
        apart = own - mean
        squares = squares + own_squares + apart**2 * (count * new / (count + new))
        mean = mean + apart * (new / (count + new))
        count += new
    return count, mean, squares / count, weights[0]


def statistics(files: list[Path]) -> dict[str, object]:
    """Figures of each channel and of all together, for the JSON file."""
    count, mean, variance, sha256 = moments(files)
    std = np.sqrt(variance)
    if not (std > 0).all():
        raise InputError(f"channel {int(np.argmin(std))} has one value only, so that scaling is not defined; give more")
    outliers = np.zeros(len(mean))
    for path in show_progress(files, desc="outliers", unit="file"):
        values, _, _ = read(path)
        outliers += (np.abs(values - mean[:, None]) > OUTLIER * std[:, None]).sum(1)
    shift = float(mean.mean())
    whole = float(np.sqrt((variance + (mean - shift) ** 2).mean()))
    channels = zip(mean.tolist(), std.tolist(), (1 / std).tolist(), (outliers / count).tolist())
    return {
        "files": len(files),
        "weights_sha256": sha256,
        "values_per_channel": count,
        "shift": shift,
        "std": whole,
        "scaling": 1 / whole,
        "outliers": float(outliers.sum() / count / len(mean)),
        "channels": [dict(zip(("shift", "std", "scaling", "outliers"), row)) for row in channels],
    }


def statistics_of_codes(files: list[Path]) -> dict[str, object]:
    """Figures of integer codes, for the JSON file."""
    use, weights = CodeUse(), None
    for path in show_progress(files, desc="codes", unit="file"):
        latents = read_latents(path)
        if "codes" not in latents.arrays:
            raise InputError(f"'{path}' holds no integer codes, unlike files before it; separate them")
        weights = weights or latents.header.weights_sha256
        if weights != latents.header.weights_sha256:
            raise InputError(f"'{path}' is of other weights than '{files[0]}' ({weights}); separate them")
        use.add(latents.arrays["codes"])
    return {
        "files": len(files),
        "weights_sha256": weights,
        "values": use.tokens,
        "different": use.distinct,
        "entropy_bits": use.entropy_bits,
        "perplexity": 2**use.entropy_bits,
    }


def table_of_codes(figures: dict[str, object]) -> str:
    return "{values} codes, {different} different ones; entropy {entropy_bits:.3f} bits".format(**figures)


def table(figures: dict[str, object]) -> str:
    """Markdown: a line for each channel, then all."""
    rows = [*enumerate(figures["channels"]), ("all", figures)]
    names = ("shift", "std", "scaling", "outliers")
    lines = [f"| channel | {' | '.join(names)} |", "|---" * 5 + "|"]
    return "\n".join(lines + [f"| {key} | {' | '.join(f'{row[name]:.5f}' for name in names)} |" for key, row in rows])


def main() -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="a cache of latents")
    parser.add_argument("--output_path", default="latent_statistics.json", help="JSON file (default: %(default)s)")
    args = parser.parse_args()
    files = find_latents(args.input)
    of_codes = "codes" in read_latents(files[0]).arrays
    with hold_file(args.output_path):
        figures = statistics_of_codes(files) if of_codes else statistics(files)
        with whole_file(args.output_path) as part:
            part.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
    tqdm.write(table_of_codes(figures) if of_codes else table(figures))


if __name__ == "__main__":
    cli.run_script(main)
