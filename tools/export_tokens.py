"""Export a cache of codes to one flat file of tokens, which trainers of language models map into memory.

tokens.bin        uint32, little-endian, nothing else: clip after clip, each latent frame after latent frame, row by row
tokens.index.npy  for each clip its offset, t, h, w, frames, height, width, fps and source
tokens.json       vocabulary size, bits, order, how many there are, and hashes of weights and files

Clips are read one after the other, in the order of their names. docs/latents.md has readers.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mg import cli
from mg.io.latent_index import find_latents
from mg.io.latents import read_latents
from mg.io.tokens import BIN, write_tokens
from mg.locks import hold_folder
from mg.progress import show_progress

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, metavar="PATH", help="a cache of codes (required)")
    parser.add_argument("--output_path", required=True, metavar="PATH", help="folder for the three files (required)")
    args = parser.parse_args(arguments)
    cache, output = Path(args.input), Path(args.output_path)
    files = find_latents(cache)  # before a folder is made
    with hold_folder(output):
        bar = show_progress(files, desc="exporting", unit="clip")
        header = write_tokens(output, ((path, read_latents(path)) for path in bar))
    logger.info("%d tokens of %d clips, each of %d bits, in %s", header.tokens, header.clips, header.bits, output / BIN)


if __name__ == "__main__":
    cli.run_script(main)
