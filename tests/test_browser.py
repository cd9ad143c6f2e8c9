"""Pages in headless Chromium: they load whole, fetch nothing, fit the window, answer a hover."""

import json
import os
import shutil
import time

import pytest
from tiny import ROOT
from tiny_objects import words as objects_words

from astro_jax.main import main
from astro_jax.report_html import write_page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
KINDS = ("trained", "classified", "transients", "explored", "doctor")
pytestmark = pytest.mark.usefixtures("hastily")


@pytest.fixture(scope="module")
def pages(request, tmp_path_factory):
    """Return the pages that real jobs wrote, by kind."""
    need_browser()  # before anything is trained for it
    names = "finished", "classified", "transferred", "labelled"
    finished, classified, transferred, labelled = map(request.getfixturevalue, names)
    folder = tmp_path_factory.mktemp("pages")
    config = f"--config={ROOT}/configs"
    clip, seen = folder / "clip", folder / "seen"
    words = [f"{config}/pretrain_astrom3.py", *objects_words("pretrain_astrom3")]
    assert main(["main", *words, f"--workdir={clip}"]) == 0
    words = [f"{config}/explore.py", f"--config.init={clip}", *objects_words("explore")]
    assert main(["main", *words, f"--workdir={seen}"]) == 0
    words = [f"{config}/doctor.py", f"--config.init={finished}", f"--config.data.path={labelled}"]
    assert main(["main", *words, f"--workdir={folder}"]) == 0
    return {
        "trained": finished / "report.html",
        "classified": classified / "report.html",
        "transients": transferred / "report.html",
        "explored": seen / "report.html",
        "doctor": folder / "doctor.html",
    }


def need_browser() -> None:
    """Skip where there is no Chromium, but fail in CI (ASTRO_JAX_CI is set by .ci/run)."""
    if CHROMIUM and DRIVER:
        return
    told = "no chromium and chromedriver: apt-get install chromium chromium-driver"
    if os.environ.get("ASTRO_JAX_CI"):
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return a headless Chromium that keeps its console and its requests."""
    need_browser()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    home = tmp_path_factory.mktemp("chromium")
    for word in ("headless=new", "no-sandbox", "disable-gpu", f"user-data-dir={home}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def show(browser, path, width: int = 1280) -> None:
    """Open a page in a window of a width; what was logged before is gone."""
    size = {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(f"file://{path}")


def requests(browser) -> list[str]:
    """Return the addresses that were asked for since the page was opened, but those in the page."""
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith("data:")]


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_loads_whole_and_fits(pages, browser, kind, width):
    show(browser, pages[kind], width)
    assert browser.execute_script("return innerWidth") == width
    assert browser.get_log("browser") == []
    assert requests(browser) == [f"file://{pages[kind]}"]
    sizes = browser.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])"
    )
    assert len(sizes) >= (0 if kind == "doctor" else 1)
    assert all(whole and natural > 0 and 0 < shown <= width for whole, natural, shown in sizes)
    script = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
    whole, seen = browser.execute_script(script)
    assert whole <= seen <= width
    wide = (
        "return [...document.querySelectorAll('section *')].filter(e => !e.closest('.scroll, pre'))"
    )
    right = browser.execute_script(
        f"{wide}.map(e => e.getBoundingClientRect()).filter(r => r.width).map(r => r.right)"
        ".reduce((a, b) => Math.max(a, b), 0)"
    )
    assert 0 < right <= width + 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "doctor"])
def test_hovering_shows_the_light_curve(pages, browser, kind):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    show(browser, pages[kind])
    data = json.loads(browser.execute_script(
        "return document.querySelector('.map script').textContent"
    ))  # fmt: skip
    card = browser.find_element(By.CSS_SELECTOR, ".map .card")
    assert not card.find_elements(By.CSS_SELECTOR, "path.dots")
    points = browser.find_elements(By.CSS_SELECTOR, ".map .point[data-i]")
    assert len(points) == len(data["curves"])
    places = [float(point.get_attribute("data-x")) for point in points]
    ends = [points[places.index(f(places))] for f in (min, max)]
    seen = []
    for point in ends:
        ActionChains(browser).scroll_to_element(point).move_to_element(point).perform()
        (chosen,) = browser.find_elements(By.CSS_SELECTOR, ".map .point.chosen")
        assert chosen.get_attribute("data-x") == point.get_attribute("data-x")
        curve = data["curves"][int(chosen.get_attribute("data-i"))]
        drawn = card.find_elements(By.CSS_SELECTOR, "path.dots")
        dots = sum(path.get_attribute("d").count("h0") for path in drawn)
        assert dots == len(curve["x"]) > 0
        assert card.find_element(By.TAG_NAME, "b").text == curve["name"]
        box = browser.execute_script(
            "const [p, f] = ['.map .card path.dots', '.map .card .frame'].map(s => "
            "document.querySelector(s).getBoundingClientRect());"
            "return p.left >= f.left && p.right <= f.right && p.top >= f.top - 1 && "
            "p.bottom <= f.bottom + 1"
        )
        assert box
        seen.append(card.find_element(By.TAG_NAME, "svg").get_attribute("innerHTML"))
    assert seen[0] != seen[1]
    assert browser.get_log("browser") == [] and len(requests(browser)) == 1


def test_arrow_keys_go_from_object_to_object(pages, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, pages["classified"])
    plane, names = browser.find_element(By.CSS_SELECTOR, ".map > svg"), []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT):
        plane.send_keys(key)
        names.append(browser.find_element(By.CSS_SELECTOR, ".map .card b").text)
    assert names[0] == names[2] != names[1]


def test_a_page_follows_a_dark_scheme(pages, browser):
    colours = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        show(browser, pages["classified"])
        script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        colours.append([brightness(text) for text in browser.execute_script(script)])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    (paper, ink), (dark_paper, dark_ink) = colours
    assert paper - ink > 150 and dark_ink - dark_paper > 150


def brightness(colour: str) -> float:
    parts = [float(x) for x in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    return sum(parts) / 3


def test_a_script_that_slipped_in_does_not_run(browser, tmp_path):
    slipped = "<script>window.bad = 1</script>", '<img src="http://127.0.0.1:9/a.png">'
    write_page(tmp_path / "x.html", "x", [("y", content) for content in slipped])
    show(browser, tmp_path / "x.html")
    time.sleep(0.2)
    assert browser.execute_script("return window.bad") is None
    assert "Content Security Policy" in " ".join(x["message"] for x in browser.get_log("browser"))
