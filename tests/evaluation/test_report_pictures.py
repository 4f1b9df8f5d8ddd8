"""The report as a browser shows it: light and dark, printed, and 400 pixels wide.

Needs Chromium. Where there is none it is skipped, and fails where ``CUSTOMIZE_REQUIRE`` names
chromium or ``CI`` says that nobody is there to read what was skipped. Set ``REPORT_PICTURES`` to a
folder to look at the pictures.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from saying import asked, compared, taught

from customize import better, no_worse
from customize.evaluation import SnapshotColumn, Terms, evaluate
from customize.evaluation.gates import judged
from customize.evaluation.scorers import as_scorers
from customize.runs import report
from customize.runs.report import keep

Pixels = npt.NDArray[np.uint8]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
LIGHT, DARK = 1, 0  # Blink's preferredColorScheme
TEMPLATE = Path(report.__file__).with_name("report.html").read_text("utf-8")


def wanting(environment: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """What becomes of a test that needs Chromium where there is none."""
    required = "chromium" in environment.get("CUSTOMIZE_REQUIRE", "").split(",")
    is_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    return pytest.fail if required or is_ci else pytest.skip


@pytest.fixture
def browser() -> str:
    if CHROMIUM is None:
        wanting(os.environ)("there is no Chromium to look with: install it")
    return CHROMIUM


@pytest.mark.parametrize(
    ("environment", "outcome"),
    [
        ({}, pytest.skip.Exception),
        ({"CI": "false", "CUSTOMIZE_REQUIRE": "cuda"}, pytest.skip.Exception),
        ({"CUSTOMIZE_REQUIRE": "cuda,chromium"}, pytest.fail.Exception),
        ({"CI": "true"}, pytest.fail.Exception),
    ],
)
def test_a_missing_browser_is_no_silent_skip_where_it_is_required(
    environment: dict[str, str], outcome: type[BaseException]
) -> None:
    with pytest.raises(outcome):
        wanting(environment)("there is none")


needs_browser = pytest.mark.usefixtures("browser")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything: gates, slices, metrics, general ability, flags, costs, answers."""
    long = "How much is a Margherita with a rather long list of extra toppings on it? " * 2
    rows = [
        asked(
            n,
            trait=("short and polite", "refunds", "a slice with few rows")[n % 2 if n < 55 else 2],
            base="yes" if n % 5 == 0 else "no, and that is why this answer is long " * 4,
            customized="yes" if n % 9 else "Write to ada@example.org.",
        )
        for n in range(60)
    ]
    rows[0]["messages"] = [{"role": "user", "content": long}]
    training = [{"messages": [{"role": "user", "content": "question 3"}]}]
    scorers = as_scorers(["degeneration", "calibration", "leaks"])
    for row in rows:
        row["retrieved"] = row["base"]
    got = compared(rows, "base retrieved customized", scorers=scorers, training=training)
    session = taught("yes")
    columns = [SnapshotColumn("base", session.base()), SnapshotColumn("customized", session)]
    toy = evaluate(columns, rows[:5], Terms(max_tokens=4, general=60))
    costs = {name: attrs.evolve(one, device_bytes=5 * 10**9) for name, one in toy.costs.items()}
    got = judged(
        attrs.evolve(got, general=toy.general, costs=costs),
        [better(), no_worse("general", margin=0.1), no_worse("degeneration.words", margin=0.01)],
    )
    folder = tmp_path_factory.mktemp("report")
    keep(got, folder, None)
    return folder / "report.html"


def browse(folder: Path, address: Path, *options: str) -> str:
    """What Chromium prints; it has no network, and a profile of its own."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-sync", "--no-first-run"),
        *("--proxy-server=127.0.0.1:9", f"--user-data-dir={folder / 'profile'}"),
        *("--allow-file-access-from-files", *options, address.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def picture(folder: Path, page: Path, name: str, scheme: int, width: int, height: int) -> Pixels:
    place = Path(os.environ.get("REPORT_PICTURES", folder)) / f"{name}.png"
    browse(
        folder,
        page,
        f"--screenshot={place}",
        f"--window-size={width},{height}",
        f"--blink-settings=preferredColorScheme={scheme}",
    )
    return pixels(place.read_bytes())


def pixels(png: bytes) -> Pixels:
    """[rows, columns, 3] of a PNG of eight bits without interlacing, as Chromium writes them."""
    place, packed, shape = 8, b"", (0, 0, 0)
    while place < len(png):
        size, kind = struct.unpack(">I4s", png[place : place + 8])
        data = png[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", data[:10])
            shape = (height, width, {2: 3, 6: 4}[colour])
        packed += data if kind == b"IDAT" else b""
        place += 12 + size
    return _unfiltered(zlib.decompress(packed), *shape)[:, :, :3]


def _unfiltered(raw: bytes, height: int, width: int, depth: int) -> Pixels:
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * depth)
    made = np.zeros((height, width * depth), np.uint8)
    for y, line in enumerate(lines):
        kind, given = line[0], line[1:]
        above = made[y - 1] if y else np.zeros_like(given)
        if kind in (0, 2):
            made[y] = given + (above if kind == 2 else 0)
            continue
        row = bytearray(given.tobytes())
        for x in range(width * depth):
            left = row[x - depth] if x >= depth else 0
            up, corner = int(above[x]), int(above[x - depth]) if x >= depth else 0
            row[x] = (row[x] + _predicted(kind, left, up, corner)) & 255
        made[y] = np.frombuffer(row, np.uint8)
    return made.reshape(height, width, depth)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) // 2
    away = [abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)]
    return (left, up, corner)[away.index(min(away))]


@needs_browser
@pytest.mark.parametrize(("name", "scheme"), [("light", LIGHT), ("dark", DARK)])
def test_it_follows_the_scheme_and_is_not_empty(
    name: str, scheme: int, page: Path, tmp_path: Path
) -> None:
    shown = picture(tmp_path, page, name, scheme, 1100, 1600)
    paper = shown[5, 5]
    assert (paper.mean() > 200) == (scheme == LIGHT)
    inked = np.abs(shown.astype(int) - paper).max(axis=2) > 60
    assert 0.01 < inked.mean() < 0.4
    assert inked[:120].any()  # it opens with the verdict


@needs_browser
@pytest.mark.parametrize("width", [400, 1100])
def test_nothing_sticks_out_of_a_narrow_window(width: int, page: Path, tmp_path: Path) -> None:
    """Wide tables scroll inside their own box; the page itself does not."""
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<iframe id="f" src="{page.name}" width="{width}" height="800" style="border:0"></iframe>'
        "<script>f.onload = () => { const d = f.contentDocument.documentElement;"
        " document.title = `${d.scrollWidth} of ${d.clientWidth}`; }</script>"
    )
    shown = browse(tmp_path, frame, "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert found
    assert found[1] == found[2] == str(width)
    picture(tmp_path, page, f"wide-{width}", LIGHT, width, 2400)


@needs_browser
def test_it_prints_on_white_paper_whatever_the_scheme(page: Path, tmp_path: Path) -> None:
    place = Path(os.environ.get("REPORT_PICTURES", tmp_path)) / "print.pdf"
    assert grounds(tmp_path, page, place) == {"1 1 1"}
    black = page.with_name("black.html")
    black.write_text(page.read_text("utf-8").replace("--paper: #fff", "--paper: #14181f"))
    assert "1 1 1" not in grounds(tmp_path, black, tmp_path / "black.pdf")


def grounds(folder: Path, page: Path, place: Path) -> set[str]:
    """The colours of rectangles that fill more than half of a printed page, as the PDF has them."""
    dark = f"--blink-settings=preferredColorScheme={DARK}"
    browse(folder, page, f"--print-to-pdf={place}", "--no-pdf-header-footer", dark)
    packed = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)endstream", place.read_bytes(), re.DOTALL)
    found, colour, area = set(), "", 0.0
    for line in b"\n".join(zlib.decompressobj().decompress(each) for each in packed).splitlines():
        words = line.decode("latin1").split()
        if words[-1:] == ["rg"]:
            colour = " ".join(words[-4:-1])
        if words == ["f"] and area > 0.5 * 816 * 1056:  # US letter in CSS pixels
            found.add(colour)
        is_rectangle = len(words) == 5 and words[-1] == "re"
        area = float(words[2]) * float(words[3]) if is_rectangle else 0.0
    return found


@pytest.mark.parametrize("scheme", [0, 1])
def test_every_colour_of_text_can_be_read_on_both_grounds(scheme: int) -> None:
    """A contrast of 4.5 (WCAG 2.2, 1.4.3)."""
    colours = dict(re.findall(r"--(\w+): (#\w+)", TEMPLATE.split("{ :root")[scheme]))
    for ink in ("ink", "soft", "one", "two", "good", "bad"):
        for ground in ("paper", "wash"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_each_verdict_has_a_sign_beside_its_colour(page: Path) -> None:
    text = page.read_text("utf-8")
    for kind in ("pass", "fail", "inconclusive"):
        for sign in re.findall(rf'<span class="verdict {kind}">([^<]+)</span>', text):
            assert sign[0] in "✓✗?"
    assert "✓ right" in text
    assert "✗ wrong" in text
