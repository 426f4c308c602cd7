"""The latent tab in a real browser: what is dragged is what is shown."""

import base64

import pytest
import torch

from diffuser.ui import coder, latent_collapse, show
from diffuser.weights import WEIGHTS

needed = [WEIGHTS / name for name in coder.MODELS]
pytestmark = pytest.mark.skipif(not all(p.exists() for p in needed), reason="no trained weights")

PIXELS = """name => { const c = document.querySelector('#' + name + ' .frame canvas');
  return c ? Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)
    .filter((_, i) => i % 4 === 0) : null; }"""


def expected(model: str, z: list[float]) -> list[int]:
    return show.pictures(coder.decode(model, torch.tensor([z]))).flatten().tolist()


def wait_for_pixels(page, name: str, wanted: list[int]) -> None:
    page.wait_for_function(
        f"""wanted => {{ const got = ({PIXELS})('{name}');
        return got && got.length === wanted.length
          && got.every((v, i) => Math.abs(v - wanted[i]) <= 1); }}""",
        arg=wanted,
    )


def point(page) -> list[float]:
    return [float(v) for v in page.locator("#latent-pad .pad").get_attribute("data-z").split(",")]


def test_dragging_shows_the_last_position(page) -> None:
    page.wait_for_selector("#latent-picture .frame canvas")
    before = page.evaluate(PIXELS, "latent-picture")
    events = []
    page.on("request", lambda r: events.append(r.url) if "/queue/" in r.url else None)
    box = page.locator("#latent-pad .pad").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    for k in range(60):
        page.mouse.move(box["x"] + 60 + 4 * k, box["y"] + 60 + 3 * k)
    page.mouse.up()
    z = point(page)
    wait_for_pixels(page, "latent-picture", expected("vae-2d", z))
    assert page.evaluate(PIXELS, "latent-picture") != before
    assert not [url for url in events if "join" in url], "dragging must not use the queue"
    assert not page.evaluate("Object.keys(localStorage).some(k => k.includes('history'))")


def test_arrow_keys_move_the_point(page) -> None:
    page.wait_for_selector("#latent-picture .frame canvas")
    page.locator("#latent-pad .pad").focus()
    x, y = point(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    right, up = point(page)
    assert right > x and up > y
    wait_for_pixels(page, "latent-picture", expected("vae-2d", [right, up]))


def test_the_other_network_brings_its_own_map(page) -> None:
    page.wait_for_selector("#latent-picture .frame canvas")
    before = page.locator("#latent-pad .pad").get_attribute("data-z")
    page.get_by_role("radio", name="Autoencoder", exact=True).check()
    page.wait_for_function(
        "z => document.querySelector('#latent-pad .pad').dataset.z !== z", arg=before
    )
    wait_for_pixels(page, "latent-picture", expected("ae-2d", point(page)))


def test_eps_moves_z_within_the_ellipse(page) -> None:
    pad = page.locator("#posterior-pad .pad")
    pad.scroll_into_view_if_needed()
    page.wait_for_selector("#posterior-picture .numbers .number")
    first = page.locator("#posterior-picture .number").first
    before = first.inner_text()
    pad.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "t => document.querySelector('#posterior-picture .number').innerText !== t", arg=before
    )
    z1 = float(pad.get_attribute("data-z").split(",")[0])
    page.wait_for_function(
        "t => document.querySelector('#posterior-picture .number').innerText.includes(t)",
        arg=f"{z1:.3f}",
    )


def test_a_drawing_is_encoded(page) -> None:
    paper = page.locator("#posterior-paper canvas")
    paper.scroll_into_view_if_needed()
    page.wait_for_selector("#posterior-picture .frame")
    page.locator("#posterior-paper .clear").click()
    before = page.locator("#posterior-picture .numbers").inner_text()
    box = paper.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 40, steps=10)
    page.mouse.up()
    page.wait_for_function(
        "t => document.querySelector('#posterior-picture .numbers').innerText !== t", arg=before
    )
    middle = page.evaluate(
        "() => { const c = document.querySelector('#posterior-paper canvas');"
        " return c.getContext('2d').getImageData(14, 14, 1, 1).data[0]; }"
    )
    assert middle > 200


def test_an_upload_that_is_no_picture_gets_a_sentence(page) -> None:
    page.locator("#posterior-paper").scroll_into_view_if_needed()
    chooser = page.locator("#posterior-paper input[type=file]")
    chooser.set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"not a picture"})
    page.get_by_text("not a readable PNG, JPEG or WEBP").wait_for()
    good = show.png(show.pictures(coder.digits()[0][0])[0], scale=4)
    chooser.set_input_files({"name": "7.png", "mimeType": "image/png", "buffer": good})
    page.get_by_text("not a readable PNG, JPEG or WEBP").wait_for(state="hidden")


def test_a_pasted_vector_is_drawn_and_a_bad_one_refused(page) -> None:
    page.locator("#vector-pad").scroll_into_view_if_needed()
    page.wait_for_selector("#vector-pad .row")
    field = page.locator("#vector-pad .text")
    z = [round(0.1 * k - 1, 1) for k in range(20)]
    field.fill(str(z))
    field.press("Enter")
    wait_for_pixels(page, "vector-picture", expected("vae-20d", z))
    field.fill('[1, "<img src=x onerror=alert(1)>"]')
    field.press("Enter")
    page.get_by_text("A vector is [20 numbers from -6 to 6]").wait_for()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_finger_moves_the_point(page) -> None:
    page.wait_for_selector("#latent-picture .frame canvas")
    box = page.locator("#latent-pad .pad").bounding_box()
    before = point(page)
    page.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    z = point(page)
    assert z != before
    wait_for_pixels(page, "latent-picture", expected("vae-2d", z))


def test_the_strips_come_with_a_gif(page) -> None:
    page.locator("#path-view").scroll_into_view_if_needed()
    link = page.locator("#path-view .save")
    link.wait_for()
    data = link.get_attribute("href").split(",")[1]
    assert base64.b64decode(data).startswith(b"GIF89a")


needs_family = pytest.mark.skipif(not (WEIGHTS / "ablations").exists(), reason="no trained weights")


@needs_family
def test_one_point_is_drawn_by_four_networks(page) -> None:
    page.locator("#ablation-2").scroll_into_view_if_needed()
    page.wait_for_selector("#ablations .frame:nth-child(4) canvas")
    page.wait_for_function(
        "document.querySelector('#ablation-2 .read').innerText.includes('noise')"
    )
    box = page.locator("#ablation-2 .pad").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"], steps=20)
    page.mouse.up()
    dragged = page.locator("#ablation-2 .pad").get_attribute("data-z")
    z = [float(v) for v in dragged.split(",")]
    assert z[0] < -1 and z[1] > 0.5
    wait_for_pixels(page, "ablations", expected("vae", z))
    for other in ("ablation-1", "ablation-3", "ablation-4"):
        page.wait_for_function(
            "([n, z]) => document.querySelector('#' + n + ' .pad').dataset.z === z",
            arg=[other, dragged],
        )
    page.locator("#ablation-group").get_by_label("Textbook").check()
    wait_for_pixels(page, "ablations", expected("textbook-ce-sum", z))
    page.locator("#ablation-planes").scroll_into_view_if_needed()
    page.wait_for_selector("#ablation-planes .frame:nth-child(4) canvas")
    page.locator("#ablation-planes .checks").get_by_text(
        "Squared error, KL averaged"
    ).first.wait_for()


@needs_family
def test_more_weight_on_the_kl_term_changes_strips_and_bars(page) -> None:
    page.locator("#collapse-costs").scroll_into_view_if_needed()
    page.wait_for_selector("#collapse-costs .curves svg:nth-child(4)")
    page.wait_for_selector("#collapse .frame:nth-child(3) canvas")
    bars = "#collapse-costs .curves svg:nth-child(4) .bar"
    strip = "document.querySelectorAll('#collapse .frame canvas')[1].toDataURL()"
    before = page.evaluate(strip)
    green = "([bars, k]) => document.querySelectorAll(bars)[k].style.fill === 'var(--q-z)'"
    members = list(latent_collapse.NAMES)
    page.wait_for_function(green, arg=[bars, members.index("beta-1")])
    heaviest = latent_collapse.NAMES[latent_collapse.TWIN]
    page.locator("#collapse-member").get_by_label(heaviest, exact=True).check()
    page.wait_for_function(f"before => {strip} !== before", arg=before)
    assert "0 of 10" in page.locator("#collapse .numbers").inner_text()
    page.wait_for_function(green, arg=[bars, members.index(latent_collapse.TWIN)])
    page.locator("#collapse-twins").scroll_into_view_if_needed()
    page.wait_for_selector("#collapse-twins .curves svg:nth-child(2)")


def test_the_posterior_s_nats_stand_in_the_formula(page) -> None:
    page.locator("#posterior-pad").scroll_into_view_if_needed()
    page.wait_for_selector("#posterior-picture .curves svg:nth-child(2)")
    assert page.locator("#posterior-picture .curves svg:nth-child(2) .bar").count() == 20
    assert "nats" in page.locator("#posterior-picture .formula").inner_text()
