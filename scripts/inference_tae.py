"""The name by which users of Movie Gen's TAE know scripts/reconstruct.py; all flags are the same."""

from reconstruct import main

from mg import cli

if __name__ == "__main__":
    cli.run_script(main)
