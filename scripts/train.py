"""mg-train, in a clone: train a model of any family. The command itself is mg/commands/train.py."""

from mg import cli
from mg.commands.train import main

if __name__ == "__main__":
    cli.run_script(main)
