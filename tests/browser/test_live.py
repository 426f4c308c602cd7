"""A VAE that learns in the page: its moments arrive, can be scrubbed, stopped and gone on with."""

import re

import pytest

BUFFER = "document.querySelector('#train-player .player').dataset"
BUSY = "document.querySelector('#train-player .player').getAttribute('aria-busy') === 'true'"
PIXELS = "document.querySelector('#train-player .frame canvas').toDataURL()"
MAP = "document.querySelector('#train-map canvas').toDataURL()"


@pytest.fixture
def section(page):
    """The page with the section in view, on a net before its first step."""
    page.locator("#train-go").scroll_into_view_if_needed()
    page.wait_for_function(f"{BUFFER}.have === '1'")
    return page


def fill(page, name: str, value: float) -> None:
    field = page.locator(f"#{name} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def elbo(page) -> float:
    """The negative ELBO of the test digits at the moment that is shown."""
    words = page.locator("#train-player .number").first.inner_text()
    return float(re.search(r"([\d.]+) nats$", words.strip())[1])


def test_it_learns_and_every_moment_can_be_seen_again(section) -> None:
    before, plane, codes = elbo(section), section.evaluate(PIXELS), section.evaluate(MAP)
    assert "5,000 digits" in (words := section.locator("#train-player .numbers").inner_text()) or (
        "60,000 digits" in words
    )
    fill(section, "train-seconds", 8)
    fill(section, "train-seed", 4)
    section.locator("#train-go").click()
    section.wait_for_function(f"Number({BUFFER}.have) > 3 && {BUSY}")
    assert "s left" in section.locator("#train-player .count").inner_text()
    section.wait_for_function(f"!({BUSY})")
    have = int(section.evaluate(f"{BUFFER}.have"))
    assert elbo(section) < before
    assert section.evaluate(PIXELS) != plane and section.evaluate(MAP) != codes
    assert section.locator("#train-curves .curves svg").count() == 3
    assert section.evaluate("document.querySelector('#train-curves .curves').dataset.have") == str(
        have
    )
    assert "loss" in section.locator("#train-curves .formula").inner_text()

    last = section.evaluate(PIXELS)
    bar = section.locator("#train-player input[type=range]")
    bar.fill("0")
    section.wait_for_function(f"{BUFFER}.at === '0'")
    # the first moment of seed 4 is an untrained net too, but not the one the section opens on
    assert section.evaluate(PIXELS) not in (last, plane) and elbo(section) > 500
    bar.fill(str(have - 1))
    section.wait_for_function(f"{BUFFER}.at === '{have - 1}'")
    assert section.evaluate(PIXELS) == last


def test_stop_ends_it_within_a_second_and_resume_goes_on_with_another_beta(section) -> None:
    section.locator("#train-go").click()
    section.wait_for_function(f"Number({BUFFER}.have) > 3 && {BUSY}")
    section.locator("#train-stop").click()
    section.wait_for_timeout(1000)
    have = int(section.evaluate(f"{BUFFER}.have"))
    section.wait_for_timeout(1500)
    assert int(section.evaluate(f"{BUFFER}.have")) == have
    assert not section.evaluate(BUSY)
    so_far = elbo(section)

    fill(section, "train-seconds", 5)
    fill(section, "train-beta", 3)
    section.locator("#train-resume").click()
    section.wait_for_function(f"Number({BUFFER}.have) > {have + 1} && !({BUSY})")
    assert "+ 3 ×" in section.locator("#train-curves .formula").inner_text()
    section.locator("#train-player input[type=range]").fill(str(have))
    section.wait_for_function(f"{BUFFER}.at === '{have}'")
    assert elbo(section) <= so_far + 5, "it went on from where it was"


def test_resume_with_nothing_to_resume_gets_a_sentence(section) -> None:
    section.locator("#train-resume").click()
    section.get_by_text("Press Train for a new one").first.wait_for()
    fill(section, "train-seed", -5)
    section.locator("#train-go").click()
    section.get_by_text("seed must be a whole number from -1").first.wait_for()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_on_a_phone_it_stands_below_each_other(section) -> None:
    assert section.evaluate("document.documentElement.scrollWidth") <= 390
    plane = section.locator("#train-player .frame canvas").bounding_box()
    codes = section.locator("#train-map canvas").bounding_box()
    assert plane["width"] > 300 and codes["width"] > 300 and codes["y"] > plane["y"] + 300
