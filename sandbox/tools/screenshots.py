"""
Pictures of the running sandbox's pages, in both languages and widths: `make run`, then `make screenshots`.

``python -m sandbox.tools.screenshots http://127.0.0.1:8000 hanna@morgenrot.example PASSWORD PATH…`` signs
in first; paths are without the language (``/basket/``). The pictures go to build/screenshots.
"""

from __future__ import annotations

import os
import sys

from playwright.sync_api import sync_playwright

from sandbox.tools.environment import ROOT
from sandbox.tools.equipment import find_chromium

FOLDER = ROOT / "build" / "screenshots"
WIDTHS = {"phone": 360, "desk": 1280}
LANGUAGES = ("de", "en")


def take(shop: str, email: str, password: str, paths: list[str]) -> None:
    """Save one picture a page, language and width; say where a page is wider than its window."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        for name, width in WIDTHS.items():
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.goto(f"{shop}/en/accounts/login/")
            page.fill("[name=login-username]", email)
            page.fill("[name=login-password]", password)
            page.click("[name=login_submit]")
            for path in paths:
                for language in LANGUAGES:
                    answer = page.goto(f"{shop}/{language}{path}")
                    file = FOLDER / f"{path.strip('/').replace('/', '-') or 'home'}-{language}-{name}.png"
                    page.screenshot(path=file, full_page=True)
                    too_wide = page.evaluate("document.documentElement.scrollWidth") - width
                    note = f", {too_wide} px too wide" if too_wide > 0 else ""
                    print(f"{answer.status if answer else '?'} {file.relative_to(ROOT)}{note}", flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    take(*sys.argv[1:4], sys.argv[4:])
