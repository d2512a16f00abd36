"""Pictures of what people see. They go to docs/screenshots/ where missing, or all with ORBITORY_SCREENSHOTS=1."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

expect.set_options(timeout=60_000)
PICTURES = Path(__file__).resolve().parents[1] / "docs" / "screenshots"
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def picture(page: Page, name: str, tmp_path: Path) -> None:
    """Take it; keep it in the documentation when that has none yet."""
    page.wait_for_timeout(1500)
    file = tmp_path / name
    page.screenshot(path=file)
    assert file.stat().st_size > 20_000, "an empty page"
    if not (PICTURES / name).exists() or os.environ.get("ORBITORY_SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, PICTURES / name)
