"""The whole page in a real browser, tab by tab: on a phone, nothing is wider than the screen."""

import pytest

TABS = ("Latent space", "Hierarchy", "Forward", "Reverse", "Words to picture")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}

# Whether a view that is now in sight still waits for its first picture.
WAITING = """() => [...document.querySelectorAll('.live[aria-busy=true]')].some(e => {
  const r = e.getBoundingClientRect();
  return r.width > 0 && r.bottom > 0 && r.top < innerHeight; })"""

# What sticks out to the right, but for what is within a box that scrolls by itself.
WIDE = """() => {
  const boxed = e => e && e !== document.body
    && (getComputedStyle(e).overflowX !== 'visible' || boxed(e.parentElement));
  return [...document.querySelectorAll('main *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !boxed(e.parentElement))
    .map(e => e.tagName + '.' + e.getAttribute('class')).slice(0, 5); }"""


def open_tab(page, name: str) -> None:
    """In the bar, or in its menu where the bar is too short."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.get_by_label("More tabs").click()
        tab = page.locator(".overflow-dropdown").get_by_text(name)
    tab.click()


def scroll_through(page) -> None:
    """From top to bottom, waiting for each view: they draw when they are first seen."""
    y = 0
    while y < page.evaluate("document.documentElement.scrollHeight"):
        page.evaluate("y => window.scrollTo(0, y)", y)
        page.wait_for_function(f"() => !({WAITING})()")
        y += 600


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_on_a_phone_no_tab_is_wider_than_the_screen(page) -> None:
    for name in TABS:
        open_tab(page, name)
        page.wait_for_selector(".tabitem .diffuser >> visible=true")
        scroll_through(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{name} is {width} px wide: {page.evaluate(WIDE)}"
        assert page.get_by_role("tab", name=name).get_attribute("aria-selected") == "true"
