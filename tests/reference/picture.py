"""The picture of a report in the README: a quick check of a twin with one bug, rendered by headless Chromium."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from touchstone.proof.catalogue import fault
from touchstone.twin import TwinSettings

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1000, 960


def render_picture(picture: Path) -> None:
    """Checks the twin and writes the top of its report as a PNG; ends the process if there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"{picture.name}: not rendered, since none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory() as folder, fault("cancel-says-nothing").twin(TwinSettings(build_s=0.1)) as twin:
        keys = {"ORGO_API_KEY": "sk_live_test_primary", "ORGO_SECOND_API_KEY": "sk_live_test_second"}
        keys["ORGO_RESTRICTED_API_KEY"] = "sk_live_test_restricted"
        check = ["check", "--url", twin.url, "--profile", "quick", "--max-builds", "200", "--report-dir", "report"]
        environment = {**os.environ, **keys, "XDG_STATE_HOME": folder}
        subprocess.run([sys.executable, "-m", "touchstone", *check], cwd=folder, env=environment, check=False)
        shoot = [browser, "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
        page = (Path(folder) / "report" / "report.html").as_uri()
        subprocess.run([*shoot, f"--screenshot={picture}", page], check=True, capture_output=True)
    sys.stdout.write(f"{picture}: written\n")
