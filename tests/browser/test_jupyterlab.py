"""check_jupyterlab.py under pytest: pytest -m browser. RECSYS_BROWSER_PYTHON is the python with jupyterlab and playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BROWSER_PYTHON = os.environ.get("RECSYS_BROWSER_PYTHON", sys.executable)
NEEDED = "import jupyterlab, ipywidgets, playwright.sync_api"
STEPS = ("1-eda", "2-form", "3-trained", "4-explored")


@pytest.mark.browser
@pytest.mark.slow
def test_the_notebooks_the_form_and_the_explorer_work_in_jupyterlab(tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip("no chromium here")
    if subprocess.run([BROWSER_PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode:
        pytest.skip("no jupyterlab or playwright; install them into a venv and name its python in RECSYS_BROWSER_PYTHON")
    script = Path(__file__).parent / "check_jupyterlab.py"
    done = subprocess.run(
        [BROWSER_PYTHON, str(script), str(tmp_path), "--kernel", sys.executable], capture_output=True, text=True, encoding="utf-8", timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert {path.stem for path in tmp_path.glob("*.png")} == set(STEPS)
