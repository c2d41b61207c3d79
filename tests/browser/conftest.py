"""A real headless Chromium, and a filled home behind a real server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tests/web_bed") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests/web_bed"))

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1360,900",
)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A home with something on every page. Tests may add to it."""
    import filled

    with filled.filled(tmp_path_factory.mktemp("filled")) as made:
        yield made


@pytest.fixture(scope="session")
def address(filled: Any) -> Iterator[str]:
    """A real server on loopback."""
    from serving import served

    with served(filled.app) as where:
        yield where


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts browsers, each with an empty profile of its own; all are ended with the session."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: `make setup`")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium on this machine: apt-get install chromium chromium-driver")
    opened: list[Any] = []

    def start(*, javascript: bool = True) -> Any:
        profile = tmp_path_factory.mktemp("profile")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if not javascript:
            rule = {"profile.managed_default_content_settings.javascript": 2}
            options.add_experimental_option("prefs", rule)
        started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        opened.append(started)
        return started

    yield start
    for started in opened:
        started.quit()


class Visit:
    """A browser that is in, and what tests ask of it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address

    def enter(self, token: str) -> None:
        self.browser.delete_all_cookies()
        self.browser.get(f"{self.address}/?token={token}")

    def open(self, path: str, *, language: str = "en", width: int = 1360) -> None:
        """The page in the language given; its complaints so far are forgotten."""
        self.browser.set_window_size(width, 900)
        self.browser.get(f"{self.address}/language/{language}")
        self.browser.get_log("browser")
        self.browser.get(self.address + path)

    def ask(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(f"return {script}", *arguments)

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def text(self) -> str:
        return str(self.find("body").text)

    def wait_for(self, text: str) -> None:
        """Until the page shows the text."""
        self.wait_until(lambda: text in self.text(), text)

    def wait_until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Until it holds; an element that is being replaced just now is looked for again."""
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        moving = [NoSuchElementException, StaleElementReferenceException]
        WebDriverWait(self.browser, 30, ignored_exceptions=moving).until(lambda _: condition(), what)

    def complaints(self) -> list[str]:
        """What the console says: refused scripts, missing files, errors."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def picture(self, name: str) -> None:
        """For people: kept when GARANT_SCREENSHOTS names a folder."""
        folder = os.environ.get("GARANT_SCREENSHOTS")
        if folder:
            height = self.ask("document.documentElement.scrollHeight")
            self.browser.set_window_size(self.ask("window.innerWidth"), min(height + 150, 3000))
            self.browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="session")
def _browser(launch: Callable[..., Any]) -> Any:
    return launch()


@pytest.fixture
def visit(_browser: Any, address: str) -> Visit:
    """A browser that entered by the address with the token."""
    from serving import TOKEN

    made = Visit(_browser, address)
    made.enter(TOKEN)
    return made


@pytest.fixture
def scriptless(launch: Callable[..., Any], address: str) -> Visit:
    """The same, with JavaScript switched off."""
    from serving import TOKEN

    made = Visit(launch(javascript=False), address)
    made.enter(TOKEN)
    return made
