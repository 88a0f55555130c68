"""A real sweep, TensorBoard on it, and a headless browser that looks at TensorBoard."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from src.config import CONFIG_DIR

PATIENCE = 60
"""Seconds for a page to fill: TensorBoard reads event files in the background."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1600,1400",
)

# Half of TensorBoard's pages are drawn in shadow roots, out of reach of selectors and innerText.
WALK = """
const elements = [], texts = [];
(function walk(node) {
  if (node.nodeType === Node.TEXT_NODE) {
    const text = node.textContent.trim();
    if (text && node.parentElement?.getClientRects().length) texts.push(text);
    return;
  }
  if (['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.nodeName)) return;
  elements.push(node);
  if (node.shadowRoot) node.shadowRoot.childNodes.forEach(walk);
  node.childNodes.forEach(walk);
})(document.body);
"""


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 2 poolings x 2 seeds with the monitors on, and one run that fails; return log_dir."""
    log_dir = tmp_path_factory.mktemp("browser") / "lightning_logs"
    overrides = [
        f"log_dir={log_dir}",
        "trainer=cpu",
        "trainer.max_epochs=2",
        "+trainer.limit_train_batches=10",
        "trainer.log_every_n_steps=1",
        "model.num_layers=1",
        "model.hidden_size=16",
        "callbacks.gradient_health.every_n_steps=5",
        "callbacks.gradient_health.details_every_n_steps=5",
        "callbacks.pooling_monitor.every_n_steps=2",
    ]
    grid = ["-m", "name=demo", "pooling=mean,learnable", "seed=0,1"]
    diverging = ["name=failed", "pooling=max", "optimizer.lr=1e30"]
    for arguments, code in ((grid, 0), (diverging, 1)):
        command = [sys.executable, "-m", "src.train", *arguments, *overrides]
        done = subprocess.run(command, cwd=CONFIG_DIR.parent, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
    return log_dir


@pytest.fixture(scope="session")
def tensorboard(sweep: Path) -> Iterator[str]:
    """Serve the sweep on a free loopback port, as `make tensorboard` does; return the address."""
    program = Path(sys.executable).parent / "tensorboard"
    command = [str(program), "--logdir", str(sweep), "--host", "127.0.0.1", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        lines = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stderr)
        yield next(found[0] for found in lines if found)
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Open a headless Chromium; without one the test is skipped."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


class Page:
    """What one of TensorBoard's pages shows."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self._browser = browser
        # A change of the hash alone would leave the old page's elements in place.
        browser.get("about:blank")
        browser.get(address)

    def text(self) -> str:
        """Return all visible text, one node a line."""
        return self._browser.execute_script(WALK + "return texts.join('\\n')")

    def count(self, tag: str, condition: str = "true") -> int:
        """Count the elements of a kind for which a JavaScript condition on `e` holds."""
        script = f"return elements.filter(e => e.localName === '{tag}' && ({condition})).length"
        return self._browser.execute_script(WALK + script)

    def wait_for(self, *texts: str) -> str:
        """Return the page's text once it holds all of these."""
        self.wait_until(lambda: all(text in self.text() for text in texts), str(texts))
        return self.text()

    def wait_until(self, holds: Callable[[], Any], what: str) -> None:
        """Wait for something to come true."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"not on the page: {what}\n{self.text()}"
            time.sleep(0.2)


@pytest.fixture
def page(browser: webdriver.Chrome, tensorboard: str) -> Callable[[str], Page]:
    """Open one of TensorBoard's pages by its name in the address, e.g. `images`."""
    return lambda name: Page(browser, f"{tensorboard}/#{name}")
