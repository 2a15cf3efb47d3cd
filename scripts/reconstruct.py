"""mg-reconstruct, in a clone: reconstruct and measure. The command itself is mg/commands/reconstruct.py."""

from mg import cli
from mg.commands.reconstruct import main

if __name__ == "__main__":
    cli.run_script(main)
