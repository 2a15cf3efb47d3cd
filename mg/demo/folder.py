"""The folder that everything of a running page lies in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of this process alone, for all temporary files too, also Gradio's; removed in the end.

    To be entered before Gradio is imported, which makes folders then.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="mg_demo_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = f"{folder}/gradio"
        os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["GRADIO_RUN_HISTORY"] = "False"
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before
