"""mg-compare, in a clone: two folders of clips compared. The command itself is mg/commands/compare.py."""

from mg import cli
from mg.commands.compare import main

if __name__ == "__main__":
    cli.run_script(main)
