"""The reverse tab in a real browser: every step arrives, can be scrubbed, and can be stopped."""

import pytest

BUFFER = "document.querySelector('#reverse-player .player').dataset"


@pytest.fixture
def tab(page):
    """The page with the reverse tab open on its first, finished scene."""
    page.set_default_timeout(120_000)
    page.get_by_role("tab", name="Reverse").click()
    page.wait_for_function(f"{BUFFER}.have === '21'")
    # A new run has other pictures; note each step that is shown, with the run it belongs to.
    page.evaluate("""() => { window.seen = []; document.addEventListener('diffuser:step',
        event => window.seen.push([event.detail.run, event.detail.i])); }""")
    return page


def fill(page, name: str, value: int) -> None:
    field = page.locator(f"#{name} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def shown(page) -> str:
    return page.evaluate(
        "document.querySelectorAll('#reverse-player .frame canvas')[0].toDataURL()"
    )


def test_twenty_steps_all_arrive_and_can_be_scrubbed(tab) -> None:
    assert tab.locator("#reverse-player .frame canvas").count() == 3
    fill(tab, "reverse-seed", 12)
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"window.seen.length > 0 && {BUFFER}.have === '21'")
    seen = tab.evaluate("window.seen")
    assert len({run for run, _ in seen}) == 1
    assert sorted({i for _, i in seen}) == list(range(21)), "every step was shown"
    assert "seed12" in tab.locator("#reverse-player .numbers").inner_text().replace("\n", "")

    pictures = set()
    bar = tab.locator("#reverse-player input[type=range]")
    for i in (0, 7, 13, 20):
        bar.fill(str(i))
        tab.wait_for_function(f"{BUFFER}.at === '{i}'")
        pictures.add(shown(tab))
    assert len(pictures) == 4, "each step has pictures of its own"
    tab.locator("#reverse-player .back").click()
    assert tab.evaluate(f"{BUFFER}.at") == "19"


def test_stop_ends_a_long_run_within_a_second(tab) -> None:
    fill(tab, "reverse-steps", 1000)
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"window.seen.length > 2 && {BUFFER}.have < 1000")
    tab.locator("#reverse-stop").click()
    tab.wait_for_timeout(1000)
    have = tab.evaluate(f"{BUFFER}.have")
    tab.wait_for_timeout(1500)
    assert tab.evaluate(f"{BUFFER}.have") == have and int(have) < 1000
    fill(tab, "reverse-steps", 4)  # and the lane is free again
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"{BUFFER}.have === '5'")


def test_play_and_pause_and_the_marker_on_the_curves(tab) -> None:
    tab.locator("#reverse-player .first").click()
    tab.wait_for_function("document.querySelector('#reverse-schedule .plots').dataset.t === '1'")
    tab.locator("#reverse-player .play").click()
    tab.wait_for_function(f"Number({BUFFER}.at) >= 3")
    tab.locator("#reverse-player .play").click()
    at = tab.evaluate(f"{BUFFER}.at")
    tab.wait_for_timeout(500)
    assert tab.evaluate(f"{BUFFER}.at") == at


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 800}}], indirect=True)
def test_a_phone_needs_no_sideways_scrolling(tab) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
