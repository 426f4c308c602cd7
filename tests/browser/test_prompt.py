"""The prompt tab in a real browser, on a network with random weights."""

from collections.abc import Iterator

import gradio as gr
import pytest

from diffuser.text_to_image import TextToImage
from diffuser.ui import drawing, lanes, prompt, theme

PICTURE = """() => { const c = document.querySelector('#prompt-player .frame canvas');
  return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); }"""


@pytest.fixture(scope="module")
def app_url(tiny_t2i: TextToImage) -> Iterator[str]:
    """A page with this tab alone, instead of the whole app."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "model", lambda: tiny_t2i)
        prompt._first_scene.cache_clear()
        with gr.Blocks(analytics_enabled=False) as demo:
            prompt.build()
        demo.queue(**lanes.QUEUE)
        _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
        yield url.rstrip("/")
        demo.close()
        prompt._first_scene.cache_clear()


def set_number(page, label: str, value: int) -> None:
    field = page.get_by_label(f"number input for {label}")
    field.fill(str(value))
    field.press("Tab")


def wait_for_step(page, i: int, n: int) -> None:
    page.wait_for_function(
        "t => document.querySelector('#prompt-player .count')?.textContent.startsWith(t)",
        arg=f"step {i} of {n},",
    )


def test_it_opens_on_a_finished_scene(page) -> None:
    wait_for_step(page, 20, 20)
    assert page.locator("#prompt-player figcaption").first.inner_text() == "seed 1"
    assert "Drawn in" in page.locator("#prompt-outcome .status").inner_text()


def test_words_become_a_picture_that_can_be_scrubbed_and_saved(page) -> None:
    wait_for_step(page, 20, 20)
    text = '<img src=x onerror="window.hit=1"> red ${window.hit=1}'
    page.locator("#prompt-text textarea").fill(text)
    page.locator("#prompt-seed input").fill("42")
    page.get_by_text("More", exact=True).click()
    set_number(page, "Steps", 6)
    set_number(page, "Pictures", 2)
    page.locator("#prompt-go").click()
    wait_for_step(page, 6, 6)
    names = page.locator("#prompt-player figcaption").all_inner_texts()
    assert names[:2] == ["seed 42", "seed 43"]
    assert page.locator("#prompt-player .player").get_attribute("data-have") == "7"

    finished = page.evaluate(PICTURE)
    page.locator("#prompt-player .first").click()
    wait_for_step(page, 0, 6)
    assert page.evaluate(PICTURE) != finished
    page.locator("#prompt-player .last").click()
    assert page.evaluate(PICTURE) == finished

    assert "<" in page.locator("#prompt-outcome .tokens").inner_text()
    assert page.locator("#prompt-outcome img").count() == 0
    assert page.evaluate("window.hit") is None
    with page.expect_download() as download:
        page.get_by_text("Save 42").click()
    assert download.value.suggested_filename.endswith("-42.png")


def test_enter_draws_and_a_random_seed_is_shown_and_kept(page) -> None:
    wait_for_step(page, 20, 20)
    page.locator("#prompt-seed input").fill("-1")
    page.get_by_text("More", exact=True).click()
    set_number(page, "Steps", 3)
    page.get_by_label("Style").click()
    page.get_by_role("option", name="any").click()
    page.locator("#prompt-text textarea").fill("")
    page.locator("#prompt-text textarea").press("Enter")
    wait_for_step(page, 3, 3)
    page.get_by_text("without any condition").wait_for()
    seed = page.locator("#prompt-player figcaption").first.inner_text().removeprefix("seed ")
    page.locator("#prompt-keep").click()
    page.wait_for_function(
        "v => document.querySelector('#prompt-seed input').value === v", arg=seed
    )


def test_stop_keeps_what_is_there(page) -> None:
    wait_for_step(page, 20, 20)
    page.get_by_text("More", exact=True).click()
    set_number(page, "Steps", 100)
    set_number(page, "Pictures", 9)
    page.locator("#prompt-go").click()
    page.wait_for_function(
        "() => { const p = document.querySelector('#prompt-player .player').dataset;"
        " return p.have > 2 && p.have < 21; }"
    )
    page.locator("#prompt-stop").click()
    page.get_by_text("Stopped.").wait_for()
    have = "Number(document.querySelector('#prompt-player .player').dataset.have)"
    page.wait_for_timeout(500)
    stopped = page.evaluate(have)
    page.wait_for_timeout(1500)
    assert page.evaluate(have) == stopped < 100


def test_an_example_is_drawn_at_a_click(page) -> None:
    wait_for_step(page, 20, 20)
    page.locator("#prompt-chips .chip").nth(1).click()
    page.wait_for_function(
        "s => document.querySelector('#prompt-player figcaption').textContent === `seed ${s}`",
        arg=prompt.EXAMPLES[1][2],
    )
    wait_for_step(page, 20, 20)
    assert page.locator("#prompt-text textarea").input_value() == prompt.EXAMPLES[1][0]


def test_a_text_that_is_too_long_gets_a_sentence(page) -> None:
    wait_for_step(page, 20, 20)
    page.locator("#prompt-text textarea").fill("x" * 2001)
    page.locator("#prompt-go").click()
    page.get_by_text("at most 2000 characters").first.wait_for()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_on_a_phone_nothing_is_wider_than_the_screen(page) -> None:
    wait_for_step(page, 20, 20)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#prompt-player .frame canvas").first.bounding_box()
    assert box["width"] > 250 and box["y"] < 300
