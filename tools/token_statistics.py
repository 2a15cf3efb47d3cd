"""How a tokenizer's codebook is used: of a cache of codes, or of a folder that tools/export_tokens.py wrote.

Different codes and their share of all; entropy of their frequencies in bits, and perplexity, 2 to the power of it: as
many codes as evenly used ones would be; for each bit, the most significant first, the share of tokens in which it is 1.
Figures are written as JSON, with a picture of the same name beside it: how often each code occurs, how many have by so
many tokens, and the bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg import cli
from mg.errors import InputError
from mg.evaluation.codebook import CodeUse, draw_use
from mg.files import whole_file
from mg.io.latent_index import find_latents
from mg.io.latents import read_latents
from mg.io.tokens import HEADER, TokenFile, bits_of, tokens_of
from mg.locks import hold_file
from mg.progress import show_progress

Clips = Iterator[np.ndarray]  # the tokens (t, h, w) of one clip after the other


def of_cache(folder: Path) -> tuple[int, str, Clips]:
    """Vocabulary and weights of a cache, and its clips."""
    files = find_latents(folder)
    first = read_latents(files[0])
    tokens_of(files[0], first, first.header)  # a cache of something else is refused at once
    return (
        first.header.vocabulary,
        first.header.weights_sha256,
        (tokens_of(path, read_latents(path), first.header) for path in files),
    )


def of_export(folder: Path) -> tuple[int, str, Clips]:
    file = TokenFile(folder)
    return file.header.vocabulary_size, file.header.weights_sha256, file.clips()


def statistics(folder: Path) -> tuple[dict[str, object], CodeUse]:
    """Figures for the JSON file, and the counts."""
    vocabulary, weights, clips = (of_export if (folder / HEADER).exists() else of_cache)(folder)
    use, count = CodeUse(), 0
    for tokens in show_progress(clips, desc="tokens", unit="clip"):
        use.add(tokens)
        count += 1
    figures = {"clips": count, "tokens": use.tokens, "vocabulary_size": vocabulary, "bits": bits_of(vocabulary)}
    ones = use.ones(vocabulary).tolist()
    return {**figures, **use.figures(vocabulary), "ones_by_bit": ones, "weights_sha256": weights}, use


def table(figures: dict[str, object]) -> str:
    ones = " ".join(f"{share:.3f}" for share in figures["ones_by_bit"])
    text = "{tokens} tokens of {clips} clips: {distinct} of {vocabulary_size} codes ({share:.3%}), "
    text += "entropy {entropy_bits:.3f} of {bits} bits, perplexity {perplexity:.1f}\nones by bit: "
    return text.format(**figures) + ones


def main(arguments: list[str] | None = None) -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, metavar="PATH", help="a cache, or an export of tokens (required)")
    text = "JSON file; the picture has its name with .png (default: %(default)s)"
    parser.add_argument("--output_path", default="token_statistics.json", metavar="PATH", help=text)
    args = parser.parse_args(arguments)
    target = Path(args.output_path)
    if target.suffix == ".png":
        raise InputError(f"'{target}' is to be the JSON file, and the picture beside it ends in .png; name another")
    figures, use = statistics(Path(args.input))
    with hold_file(target):
        with whole_file(target) as part:
            part.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
        draw_use(target.with_suffix(".png"), use, figures["vocabulary_size"])
    tqdm.write(table(figures))


if __name__ == "__main__":
    cli.run_script(main)
