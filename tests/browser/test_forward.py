"""The forward tab in a real browser: what is asked for is what is shown."""

import base64

import pytest

from diffuser.ui import forward

# The red channel of the k-th canvas of a component, one number a pixel.
PIXELS = """([name, k]) => { const c = document.querySelectorAll('#' + name + ' .frame canvas')[k];
  return c ? Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)
    .filter((_, i) => i % 4 === 0) : null; }"""


@pytest.fixture
def tab(page):
    """The page with the forward tab open and its first picture there."""
    page.get_by_role("tab", name="Forward").click()
    page.wait_for_selector("#forward-noise .frame canvas")
    return page


def see(page, name: str, part: str) -> None:
    """Scrolls to a component, which draws when it is first seen, and waits for a part of it."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name} {part}")


def wait_for_mixture(page, args: dict) -> None:
    wanted = list(base64.b64decode(forward.draw(args)["frames"][2]["px"]))
    page.wait_for_function(
        f"wanted => ({PIXELS})(['forward-noise', 2]).every((v, i) => v === wanted[i])", arg=wanted
    )


def test_dragging_t_shows_the_last_position_without_the_queue(tab) -> None:
    joined = []
    tab.on("request", lambda r: joined.append(r.url) if "/queue/join" in r.url else None)
    wait_for_mixture(tab, {"source": "digit", "digit": 7, "t": 0.2})
    slider = tab.locator("#forward-t input[type=range]")
    box = slider.bounding_box()
    tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    tab.mouse.down()
    for k in range(30, 71):
        tab.mouse.move(box["x"] + k / 100 * box["width"], box["y"] + box["height"] / 2)
    tab.mouse.up()
    t = float(slider.input_value())
    assert 0.6 < t < 0.8
    wait_for_mixture(tab, {"source": "digit", "digit": 7, "t": t})
    assert f"{t:.3f}" in tab.locator("#forward-noise .numbers").inner_text()
    formula = tab.locator("#forward-noise .formula").inner_text()
    assert "xₜ" in formula and "·" in formula
    assert not joined


def test_the_check_is_green_and_breaking_the_chain_makes_it_red(tab) -> None:
    see(tab, "forward-identity", ".holds")
    assert tab.locator("#forward-identity .checks .holds").count() == 12
    assert tab.locator("#forward-identity .curves svg").count() == 4
    tab.locator("#forward-forget input").check()
    tab.wait_for_selector("#forward-identity .fails")


def test_nine_schedules_and_their_curves(tab) -> None:
    for name in ("forward-schedules", "forward-films"):
        see(tab, name, ".frame canvas")
        assert tab.locator(f"#{name} .frame canvas").count() == 9
    assert tab.locator("#forward-curves svg").count() == 3
    chip = tab.locator("#forward-curves .chips button").nth(2)
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    tab.mouse.move(0, 0)
    assert tab.locator("#forward-curves .curve.faint").count() == 3 * 8


def test_a_stroke_becomes_the_picture(tab) -> None:
    tab.get_by_label("Your own").check()
    paper = tab.locator("#forward-paper canvas")
    paper.wait_for()
    before = tab.evaluate(PIXELS, ["forward-noise", 0])
    box = paper.bounding_box()
    tab.mouse.move(box["x"] + 40, box["y"] + 40)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 120, box["y"] + 120)
    tab.mouse.up()
    tab.wait_for_function(
        f"""before => {{ const now = ({PIXELS})(['forward-noise', 0]);
        return now.length === 48 * 48 && now.some(v => v > 200); }}""",
        arg=before,
    )


def test_a_wrong_seed_gets_a_sentence(tab) -> None:
    field = tab.get_by_label("Seed of the noise")
    field.fill("-5")
    field.press("Tab")
    note = tab.locator("#forward-noise .note")
    note.get_by_text("seed must be a whole number from -1").wait_for()
    field.fill("5")
    field.press("Tab")
    wait_for_mixture(tab, {"source": "digit", "digit": 7, "t": 0.2, "seed": 5})
    assert note.inner_text() == ""
