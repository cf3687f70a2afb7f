"""The three notebooks in a real JupyterLab and a real (headless) Chromium: run, clicked, waited for, photographed.

    PYTHON tests/browser/check_jupyterlab.py FOLDER [--kernel OTHER_PYTHON] [--chromium PATH]

PYTHON has jupyterlab, ipywidgets and playwright; none of them is in requirements.txt:
    python -m venv /tmp/jl-venv && /tmp/jl-venv/bin/pip install jupyterlab ipywidgets playwright
OTHER_PYTHON, which runs the cells, has the product's packages. Screenshots go to FOLDER; the exit code is 1 where a
step fails. test_jupyterlab.py runs it under pytest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 60  # what a slow machine may take for one step
WIDTH, TALLEST = 1400, 12_000
PARTS = ("recsys_lib", "notebooks", "colab_bootstrap.py", "requirements.txt")
DATA = "from recsys_lib.datasets.sample import *; write_sample('csv', SampleConfig(n_resumes=600, n_postings=500, n_applications=4_000))"


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("folder", type=Path, help="where the screenshots go")
    reader.add_argument("--kernel", default=sys.executable, help="the python that runs the cells")
    reader.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser") or "chromium")
    asked = reader.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-jupyterlab-") as work:
        work = Path(work)
        for name in PARTS:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, work / name)
        subprocess.run([asked.kernel, "-c", DATA], cwd=work, check=True)
        with jupyterlab(work, asked.kernel) as url, page_of(asked.chromium, work, asked.kernel) as page:
            try:
                click_through(page, url, asked.folder)
            except Exception:
                page.screenshot(path=asked.folder / "failed.png")
                raise
        made = [path.name for path in (work / "runs").iterdir() if (path / "run.json").is_file()]
        print("runs made:", *made)
        if [name.split("-")[2] for name in sorted(made)] != ["neumf", "ease", "evaluation"]:
            raise AssertionError(f"02_train makes a run of neumf, the form one of ease, 03_evaluate its own; there are {made}")
    print("screenshots:", *sorted(str(path) for path in asked.folder.glob("*.png")), sep="\n")
    return 0


def click_through(page, url: str, folder: Path) -> None:
    """Every step waits for what it brings; playwright raises where it does not come."""
    run_all(page, f"{url}/01_eda.ipynb")
    page.get_by_text("drawn just now: 01_").wait_for()
    shoot(page, folder / "1-eda.png")

    run_all(page, f"{url}/02_train.ipynb")
    start = page.get_by_role("button", name="Start · 시작")
    start.wait_for()
    shoot(page, folder / "2-form.png")
    layers = page.get_by_label("layers")
    layers.fill("[32, 16")
    start.click()
    page.get_by_text("cannot be read; write it as in").wait_for()
    layers.fill("[32, 16]")
    page.get_by_label("model", exact=True).select_option("ease")
    page.get_by_label("regularisation").fill("50")
    start.click()
    page.wait_for_function("document.body.innerText.match(/^run 20/gm)?.length >= 2")  # the notebook's and the form's
    shoot(page, folder / "3-trained.png")

    run_all(page, f"{url}/03_evaluate.ipynb")
    show, user = page.get_by_role("button", name="Show · 보기"), page.get_by_label("user id · 사용자")
    show.wait_for()
    user.fill("U0042")
    show.click()
    page.get_by_text("did you mean").wait_for()
    user.fill("U00042")
    show.click()
    page.get_by_text("Users most like U00042").wait_for()
    shoot(page, folder / "4-explored.png")


def run_all(page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    # Asked to run before its kernel is there, JupyterLab shows a dialog.
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")  # 01_eda comes with its own
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")  # waiting for it has no time limit


def shoot(page, path: Path) -> None:
    """The whole notebook in one picture; nothing in it may have gone wrong."""
    if page.get_by_text("Traceback").count():
        raise AssertionError("a traceback is on the page")
    page.set_viewport_size({"width": WIDTH, "height": TALLEST})
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)")
    time.sleep(1.0)  # what was just drawn settles
    bottom = page.evaluate("Math.max(...[...document.querySelectorAll('.jp-Cell')].map(cell => cell.getBoundingClientRect().bottom))")
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": min(bottom + 20, TALLEST)})


@contextmanager
def jupyterlab(work: Path, kernel_python: str):
    """The address of the notebooks' folder in a server that ends with the block."""
    spec = work / "share" / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = [kernel_python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    variables = {"RECSYS_MEMBER": "browser", "OMP_NUM_THREADS": "1"}
    (spec / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "Python 3", "language": "python", "env": variables}), encoding="utf-8"
    )
    settings = work / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
    tracker = work / "settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir(parents=True)
    (tracker / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}', encoding="utf-8")  # every cell is drawn
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_PATH": str(work / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(work / "config"),
        "JUPYTER_RUNTIME_DIR": str(work / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(work / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(work / "workspaces"),
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=", "--ServerApp.token="]
    options += ["--ServerApp.password=", "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={work}"]
    with (work / "server.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], cwd=work, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status", server, work / "server.log")
        yield f"http://127.0.0.1:{port}/doc/tree/notebooks"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2)  # noqa: S310
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


@contextmanager
def page_of(chromium: str, work: Path, kernel_python: str):
    """A page of a headless Chromium that has a font with Hangul: the one that the figures have too."""
    from playwright.sync_api import sync_playwright

    find = "import importlib.util as u, pathlib as p; print(p.Path(u.find_spec('koreanize_matplotlib').origin).parent)"
    found = subprocess.run([kernel_python, "-c", find], capture_output=True, text=True, encoding="utf-8", check=False)
    if found.returncode == 0:
        (work / "data" / "fonts").mkdir(parents=True)
        for font in Path(found.stdout.strip()).rglob("*.ttf"):
            shutil.copy(font, work / "data" / "fonts")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"], env=os.environ | {"XDG_DATA_HOME": str(work / "data")}
        )
        try:
            page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
            page.set_default_timeout(SECONDS * 1000)
            yield page
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(main())
