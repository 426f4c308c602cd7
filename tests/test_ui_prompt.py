"""The prompt tab without a browser: settings, steps, words, and `/generate` over HTTP."""

import base64
import json
import math
import threading
import time
from collections.abc import Iterator
from io import BytesIO

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client
from PIL import Image

from diffuser.text_to_image import TextToImage
from diffuser.ui import drawing, lanes, prompt
from diffuser.ui.gate import BadInput

GOOD = {
    "prompt": "red cat",
    "negative": "",
    "style": "any",
    "steps": 2,
    "guidance": 2.0,
    "sampler": "ddim",
    "seed": 7,
    "pictures": 1,
}
TEXTS = {
    "empty": "",
    "500 words": "cat " * 499 + "dog",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1ee \U0001f44d\U0001f3fd",
    "arabic": "\u0642\u0637\u0629 \u062d\u0645\u0631\u0627\u0621 \u202e abc",
    "control": "red\x00 cat\x1b[31m\r\n2026 ERROR\ud800",
    "markup": '<script>alert(1)</script><img src=x onerror="alert(1)">',
    "brackets": "(" * 1900,
    "format": "%s {0.__class__} ${alert(1)} {{x}}",
}


@pytest.fixture(autouse=True)
def random_network(monkeypatch: pytest.MonkeyPatch, tiny_t2i: TextToImage) -> Iterator[None]:
    monkeypatch.setattr(drawing, "model", lambda: tiny_t2i)
    prompt._first_scene.cache_clear()
    yield
    prompt._first_scene.cache_clear()


def settings(**changes: object) -> drawing.Settings:
    return drawing.clean(**(GOOD | changes))


def final(**changes: object) -> np.ndarray:
    return list(drawing.draw(settings(**changes)))[-1].pictures


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("prompt", "x" * 2001),
        ("negative", ["a"]),
        ("style", "../../x"),
        ("steps", 0),
        ("steps", 3.7),
        ("steps", "20"),
        ("steps", 10**9),
        ("guidance", math.nan),
        ("guidance", -math.inf),
        ("guidance", 1e308),
        ("sampler", "os.system"),
        ("seed", 2**64),
        ("seed", True),
        ("pictures", 0),
        ("pictures", 10**6),
    ],
)
def test_bad_values_are_refused_in_a_sentence(field: str, value: object) -> None:
    with pytest.raises(BadInput, match=r"\.$"):
        settings(**{field: value})


def test_total_work_is_bounded() -> None:
    settings(pictures=9, steps=1000, guidance=4.0)
    with pytest.raises(BadInput, match="network evaluations"):
        settings(pictures=9, steps=1000, guidance=4.0, sampler="heun")


def test_a_megabyte_is_refused_at_once() -> None:
    text, start = "x " * 500_000, time.thread_time()
    with pytest.raises(BadInput, match="2000"):
        settings(prompt=text)
    assert time.thread_time() - start < 0.05


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_gives_a_picture_and_plain_json(name: str) -> None:
    made = [s for s in prompt.scenes(settings(prompt=TEXTS[name], steps=1)) if s]
    step, news = json.loads(made[-1][0]), json.loads(made[-1][1])
    assert step["i"] == step["n"] == 1 and len(step["frames"]) == 2
    file = news["files"][0]
    assert file["name"].isascii() and "/" not in file["name"] and len(file["name"]) < 60
    saved = Image.open(BytesIO(base64.b64decode(file["data"])))
    assert saved.size == (512, 512)
    assert ("tail" in news["note"]) == bool(news["cut"])
    if name == "500 words":
        assert news["cut"].startswith("cat") and len(news["tokens"]) == 16
    if name == "empty":
        assert "without any condition" in news["note"]


def test_the_style_adds_the_words_of_its_captions() -> None:
    assert settings(style="flat").text == "red cat, flat style"
    assert settings(style="any").text == "red cat"
    assert settings(prompt=" ", style="3d").text == "3d style"


def test_every_step_comes_with_previews_and_latents() -> None:
    steps = list(drawing.draw(settings(pictures=3, steps=3)))
    assert [s.i for s in steps] == [0, 1, 2, 3] and steps[-1].t == 0
    assert all(s.pictures.shape == (3, 64, 64, 3) for s in steps)
    assert all(s.latents.shape == (3, 32, 32, 1) for s in steps)
    assert steps[0].latents.std() > 30, "it begins with noise"


def test_mosaic_keeps_each_channel_whole() -> None:
    z = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 2, 2) - 1.5
    made = drawing.mosaic(z)[0, :, :, 0]
    corners = made[0, 0], made[0, 2], made[2, 0], made[2, 2]
    assert sorted(corners) == list(corners) and (made[:2, :2] == made[0, 0]).all()


def test_random_seeds_are_told_and_repeat() -> None:
    first = settings(seed=-1)
    assert 0 <= first.seed < 2**32
    drawn = list(drawing.draw(first))[-1].pictures
    assert np.array_equal(drawn, final(seed=first.seed))


def test_a_long_run_shows_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SHOWN", 3)
    steps = list(drawing.draw(settings(steps=5)))
    assert [s.i for s in steps if s] == [0, 2, 4, 5] and len(steps) == 6
    assert "not every step" in drawing.words(settings(steps=5))["note"]


def test_two_jobs_at_once_draw_what_each_draws_alone() -> None:
    jobs = [{"seed": 1, "steps": 3}, {"seed": 2, "steps": 4, "sampler": "dpmpp-2m"}]
    alone = [final(**job) for job in jobs]
    together: list[np.ndarray | None] = [None, None]

    def work(k: int) -> None:
        together[k] = final(**jobs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_absent_weights_are_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> TextToImage:
        raise BadInput(drawing.ABSENT)

    monkeypatch.setattr(drawing, "model", absent)
    _, news = prompt.opening()
    assert "weights/text-to-image" in json.loads(news)["note"]
    with pytest.raises(gr.Error, match="not here"):
        next(lanes.heavy(5)(prompt.page_run)(*GOOD.values()))


def test_the_opening_scene_is_whole_and_drawn_once() -> None:
    first = prompt.opening()
    assert first is prompt.opening() or first == prompt.opening()
    steps = json.loads(first[0])
    assert [s["i"] for s in steps] == list(range(21))
    assert json.loads(first[1])["busy"] is False


def test_examples_and_kept_seeds() -> None:
    words, negative, style, seed, pictures = prompt.example(0)
    drawing.clean(words, negative, style, 20, 4.0, "ddim", seed, pictures)
    for bad in (-1, 99, "0", None):
        with pytest.raises(BadInput):
            prompt.example(bad)
    assert prompt.kept_seed('{"seed": 5}') == 5
    assert prompt.kept_seed(None) == prompt.kept_seed('{"seed": 1e99}') == -1


def test_bad_values_are_refused_before_the_queue() -> None:
    assert all(answer["is_valid"] for answer in prompt.refuse_early(*GOOD.values()))
    answers = prompt.refuse_early(*(GOOD | {"steps": 0}).values())
    bad = [a["message"] for a in answers if not a["is_valid"]]
    assert len(answers) == 8 and bad == ["steps must be a whole number from 1 to 1000."]


@pytest.fixture
def client() -> Iterator[Client]:
    with gr.Blocks(analytics_enabled=False) as demo:
        prompt.build()
    demo.queue(**lanes.QUEUE)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    yield Client(url, verbose=False)
    demo.close()


def test_generate_over_http(client: Client) -> None:
    job = client.submit(**(GOOD | {"seed": -1, "pictures": 2}), api_name="/generate")
    answer = job.result(timeout=120)
    assert [a["step"] for a in job.outputs()] == [0, 1, 2] and answer["finished"]
    seed = answer["settings"]["seed"]
    assert seed >= 0 and answer["seeds"] == [seed, seed + 1]
    again = client.predict(**(GOOD | {"seed": seed, "pictures": 2}), api_name="/generate")
    assert again["pictures"] == answer["pictures"]
    made = Image.open(BytesIO(base64.b64decode(answer["pictures"][1])))
    assert made.size == (64, 64)

    for bad in ({"prompt": "x" * 2001}, {"sampler": "os.system"}, {"steps": 0}):
        with pytest.raises(Exception, match="prompt|sampler|steps"):
            client.predict(**(GOOD | bad), api_name="/generate")
    assert client.predict("", api_name="/generate", steps=1)["finished"]
