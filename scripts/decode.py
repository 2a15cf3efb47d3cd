"""mg-decode, in a clone: latents to clips. The command itself is mg/commands/decode.py."""

from mg import cli
from mg.commands.decode import main

if __name__ == "__main__":
    cli.run_script(main)
