"""The hierarchy tab in a real browser, on a network with random weights."""

from collections.abc import Iterator

import gradio as gr
import pytest
import torch

import diffuser
from diffuser.hierarchical import HierarchicalVAE
from diffuser.ui import hierarchy, lanes, levels, show, theme

PIXELS = """([name, k]) => { const c = document.querySelectorAll('#' + name + ' canvas')[k];
  const read = () => c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  return c && c.width > 1 ? Array.from(read()).filter((_, i) => i % 4 === 0) : null; }"""
LAST = "document.querySelector('#hierarchy-player .count').textContent.startsWith('step 4')"


@pytest.fixture(scope="module")
def app_url() -> Iterator[str]:
    """A page with this tab alone, instead of the whole app."""
    torch.manual_seed(0)
    net = HierarchicalVAE(levels.SIZES, width=16, encoder_blocks=1, decoder_blocks=1)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    net.eval().requires_grad_(False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffuser, "load", lambda name: net)
        levels.usual_nats.cache_clear()
        with gr.Blocks(analytics_enabled=False) as demo:
            hierarchy.build()
        demo.queue(**lanes.QUEUE)
        _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
        yield url.rstrip("/")
        demo.close()
        levels.usual_nats.cache_clear()


def expected(**changes: object) -> list[int]:
    """The picture of the desk with these settings."""
    args = hierarchy.START | changes
    a, b = levels.picture(args), hierarchy.second(args)
    _, logits = levels.mix(a, b, args["sources"], args["temperature"], args["seed"])
    return show.pictures(logits.sigmoid()).flatten().tolist()


def wait_for(page, wanted: list[int]) -> None:
    page.wait_for_function(
        f"""wanted => {{ const got = ({PIXELS})(['hierarchy-picture', 0]);
        return got && got.length === wanted.length
          && got.every((v, i) => Math.abs(v - wanted[i]) <= 1); }}""",
        arg=wanted,
    )


def level(page, k: int):
    return page.locator("#hierarchy-desk .level").nth(k)


def choose(page, k: int, name: str) -> None:
    """By the words on the button, as a visitor does."""
    level(page, k).locator(".from").get_by_text(hierarchy.WORDS[name], exact=True).click()


def test_a_level_from_b_changes_the_picture(page) -> None:
    wait_for(page, expected())
    joined = []
    page.on("request", lambda r: joined.append(r.url) if "queue/join" in r.url else None)
    choose(page, 0, "b")
    changed = expected(sources=["b", "a", "a", "b"])
    assert changed != expected()
    wait_for(page, changed)
    page.get_by_text("All from A").click()
    wait_for(page, expected(sources=["a"] * 4))
    assert not joined, "the desk must not use the queue"


def test_resample_draws_anew_and_leaves_the_stripes_above(page) -> None:
    page.get_by_text("Draw all").click()
    wait_for(page, expected(sources=["resample"] * 4))
    before = [page.evaluate(PIXELS, ["hierarchy-desk", 2 * k + 1]) for k in range(4)]
    level(page, 2).get_by_text("Resample").click()
    wait_for(page, expected(sources=["resample"] * 4, seed=[0, 0, 1, 0]))
    after = [page.evaluate(PIXELS, ["hierarchy-desk", 2 * k + 1]) for k in range(4)]
    assert before[:2] == after[:2] and before[2] != after[2] and before[3] != after[3]
    assert level(page, 2).locator(".seed input").input_value() == "1"


def test_temperature_draws_its_level(page) -> None:
    wait_for(page, expected())
    slider = level(page, 1).locator("input[type=range]")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert level(page, 1).locator("input[value=resample]").is_checked()
    warm = [1.0, 1.2, 1.0, 1.0]
    wait_for(page, expected(sources=["a", "resample", "a", "b"], temperature=warm))
    assert level(page, 1).locator("output").inner_text() == "1.20"
    slider.fill("0")
    wait_for(page, expected(sources=["a", "mean", "a", "b"]))


def test_arrow_keys_choose_and_another_digit_is_used(page) -> None:
    wait_for(page, expected())
    level(page, 0).locator("input[value=a]").focus()
    page.keyboard.press("ArrowRight")
    wait_for(page, expected(sources=["b", "a", "a", "b"]))
    field = page.get_by_label("number input for B: a test digit")
    field.fill("77")
    field.press("Tab")
    wait_for(page, expected(sources=["b", "a", "a", "b"], b=77))


def test_a_random_seed_is_shown_and_a_bad_one_gets_a_sentence(page) -> None:
    wait_for(page, expected())
    field = level(page, 3).locator(".seed input")
    field.fill("-1")
    page.wait_for_function(
        "() => Number(document.querySelectorAll('#hierarchy-desk .seed input')[3].value) >= 0"
    )
    seed = int(field.input_value())
    wait_for(page, expected(sources=["a", "a", "a", "resample"], seed=[0, 0, 0, seed]))
    field.fill("-7")
    page.get_by_text("seed must be a whole number from -1").wait_for()
    field.fill("3")
    page.get_by_text("seed must be a whole number from -1").wait_for(state="hidden")
    wait_for(page, expected(sources=["a", "a", "a", "resample"], seed=[0, 0, 0, 3]))


def test_a_drawing_becomes_a_in_every_view(page) -> None:
    wait_for(page, expected())
    page.locator("#hierarchy-nats").scroll_into_view_if_needed()
    page.wait_for_selector("#hierarchy-nats .numbers .number")
    before = page.locator("#hierarchy-nats .formula").inner_text()
    page.locator("#hierarchy-paper .clear").click()
    empty = show.base64_of(bytes(784))
    wait_for(page, expected(px=empty))
    page.wait_for_function(
        "t => document.querySelector('#hierarchy-nats .formula').innerText !== t", arg=before
    )
    assert page.locator("#hierarchy-decided figure").count() == 8


def test_digits_are_drawn_level_by_level(page) -> None:
    page.locator("#hierarchy-player").scroll_into_view_if_needed()
    count = page.locator("#hierarchy-player .count")
    page.wait_for_function(f"() => {LAST}")
    finished = page.evaluate(PIXELS, ["hierarchy-player", 0])
    page.locator("#hierarchy-player .first").click()
    assert count.inner_text() == "step 0 of 4, t = 1.000"
    assert page.evaluate(PIXELS, ["hierarchy-player", 0]) != finished
    page.locator("#hierarchy-again").click()
    page.wait_for_function(
        f"old => {{ const got = ({PIXELS})(['hierarchy-player', 0]);"
        f" return {LAST} && got.some((v, i) => v !== old[i]); }}",
        arg=finished,
    )


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_on_a_phone_nothing_is_wider_than_the_screen(page) -> None:
    wait_for(page, expected())
    choose(page, 3, "mean")
    wait_for(page, expected(sources=["a", "a", "a", "mean"]))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
