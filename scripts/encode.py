"""mg-encode, in a clone: clips to a cache of latents. The command itself is mg/commands/encode.py."""

from mg import cli
from mg.commands.encode import main

if __name__ == "__main__":
    cli.run_script(main)
