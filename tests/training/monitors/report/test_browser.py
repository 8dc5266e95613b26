"""What a user sees in a browser: the report from disk, and TensorBoard on a finished run."""

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from cuvis_ai.training.monitors import TensorBoardMonitor
from cuvis_ai.training.monitors.report import ReportMonitor
from cuvis_ai.training.monitors.report.rendering import rendered
from tests.recorded_run import fitted_graph, record

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    record(fitted_graph(), [ReportMonitor(folder / "report"), TensorBoardMonitor(folder / "tensorboard")])
    return folder


def opened(chromium, url, tmp_path, *, seconds=20):
    """Return the page as it stands after its scripts ran, and what it wrote to the console."""
    command = [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--virtual-time-budget={seconds * 1000}", "--window-size=1400,2000", "--dump-dom", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert run.returncode == 0, run.stderr
    return run.stdout, [line for line in run.stderr.splitlines() if ":CONSOLE" in line]


def shown_epochs(page):
    """Return the epoch of each image that shows."""
    return [
        re.search(r'data-epoch="(\d+)"', tag)[1]
        for tag in re.findall(r"<img [^>]*data-epoch[^>]*>", page)
        if " hidden" not in tag
    ]


def test_report_opens_from_disk_without_an_error(folder, chromium, tmp_path):
    page, console = opened(chromium, (folder / "report/report.html").as_uri(), tmp_path)
    assert console == []
    assert page.count('class="chart"') >= 4
    assert '<td>val/loss/total</td><td class="number">0.25</td><td class="number">0.75</td>' in page
    assert set(shown_epochs(page)) == {"2"}


@pytest.mark.parametrize("position", [0, 1])
def test_slider_moves_the_pictures(folder, chromium, tmp_path, position):
    moved = f'<script>slider.value = {position}; slider.dispatchEvent(new Event("input"));</script></body>'
    text = (folder / "report/report.html").read_text().replace("</body>", moved)
    (tmp_path / "moved.html").write_text(text)
    page, console = opened(chromium, (tmp_path / "moved.html").as_uri(), tmp_path)
    assert console == []
    assert set(shown_epochs(page)) == {str(position)}
    assert f'<output id="epoch-shown">{position}</output>' in page


def test_numbers_of_tables_do_not_wrap_on_a_phone(chromium, tmp_path):
    columns, row = ["rank", "peak", "pixels", "row", "column", "x", "y"], ["1", *["499999.1234"] * 6]
    scene = {"name": "a", "picture": None, "more": 0, "detections": [row], "header": columns, "facts": []}
    page = rendered("detections.html", title="", summary="", threshold="", measures=[], scenes=[scene])
    lines = """<script>document.title = "at most " + Math.max(...[...document.querySelectorAll("td.number")]
    .map(cell => { const text = document.createRange(); text.selectNodeContents(cell);
    return text.getClientRects().length; }));</script></body>"""
    phone = "<style>body { width: 366px; }</style></head>"
    (tmp_path / "phone.html").write_text(page.replace("</body>", lines).replace("</head>", phone))
    page, _ = opened(chromium, (tmp_path / "phone.html").as_uri(), tmp_path)
    assert "<title>at most 1</title>" in page


@pytest.fixture(scope="module")
def tensorboard(folder):
    command = [Path(sys.executable).with_name("tensorboard"), "--logdir", folder / "tensorboard"]
    command += ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    log = (folder / "tensorboard.log").open("w+")
    with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as server:
        try:
            yield _address(server, folder / "tensorboard.log")
        finally:
            server.terminate()
            log.close()


def _address(server, log):
    """Wait until the server runs and has read the event file."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
            with urllib.request.urlopen(f"{found[0]}data/plugin/images/tags", timeout=60) as answer:
                if "heatmap" in answer.read().decode():
                    return found[0]
        time.sleep(0.2)
    raise AssertionError(f"TensorBoard did not start: {log.read_text()}")


def shows(expected, url, chromium, tmp_path):
    """Open a page until it shows what is expected: on a busy machine its scripts may get no answer in time."""
    for attempt in range(4):
        page, _ = opened(chromium, url, tmp_path / str(attempt), seconds=30)
        if re.search(expected, page, re.DOTALL):
            return True
    return False


@pytest.mark.parametrize("tag", ["val/loss/total", "val/metric/anomaly_f1"])
def test_tensorboard_shows_scalars(tensorboard, chromium, tmp_path, tag):
    url = f"{tensorboard}?tagFilter={tag}#timeseries"
    assert shows(rf'<scalar-card.* title="{tag}"', url, chromium, tmp_path)


def test_tensorboard_shows_an_image(tensorboard, chromium, tmp_path):
    url = f"{tensorboard}?tagFilter=heatmap#timeseries"
    image = r'title="val/picture/anomaly_heatmap/heatmap".*<img[^>]* src="data/plugin/timeseries/imageData'
    assert shows(image, url, chromium, tmp_path)
