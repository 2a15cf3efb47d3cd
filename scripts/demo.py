"""mg-demo, in a clone: the web page. The command itself is mg/commands/demo.py."""

from mg import cli
from mg.commands.demo import main

if __name__ == "__main__":
    cli.run_script(main)
