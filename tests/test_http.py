"""The app over HTTP, as another program sees it: good requests answered, bad ones refused."""

import base64
import gc
import json
import os
import struct
import threading
import time
import urllib.error
import urllib.request
import weakref
import zlib
from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace

import pytest
from PIL import Image

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from gradio_client import Client

from diffuser.weights import WEIGHTS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The launched app: its address and a client."""
    import app
    from diffuser.ui import theme

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        _, url, _ = app.demo.launch(prevent_thread_lock=True, quiet=True, **theme.LAUNCH)
        yield SimpleNamespace(url=url, client=Client(url, verbose=False))
        app.demo.close()


def raw(url: str, name: str, data: list) -> str:
    """What a plain POST gets to read: the refusal, or the whole stream of events.

    json.dumps writes NaN as it is, which the client's own library would not send.
    """
    address = f"{url}gradio_api/call/{name}"
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{address}/{event}", timeout=120) as stream:
            return stream.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be that large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def noise_is_well(client: Client) -> None:
    answer = client.predict(0.5, 7, "", "linear", 3, api_name="/noise")
    assert Image.open(BytesIO(base64.b64decode(answer["x_t"]))).size == (28, 28)
    assert answer["seed"] == 3


def test_noise(served: SimpleNamespace) -> None:
    noise_is_well(served.client)
    picture = BytesIO()
    Image.new("RGB", (90, 40), "red").save(picture, "PNG")
    answer = served.client.predict(t=0.0, picture=text(picture.getvalue()), api_name="/noise")
    got = Image.open(BytesIO(base64.b64decode(answer["x_t"])))
    assert got.size == (64, 64) and got.getpixel((32, 32)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"t": 2.0}, "t must be"),
        ({"schedule": "steep"}, "schedule must be one of"),
        ({"digit": 500}, "digit must be"),
        ({"seed": -2}, "seed must be"),
        ({"picture": "%%%"}, "base64"),
        ({"picture": text(SVG)}, "PNG, JPEG or WEBP"),
        ({"picture": text(b"just some text")}, "PNG, JPEG or WEBP"),
        ({"picture": text(png_header(30_000, 30_000))}, "16 megapixels"),
    ],
)
def test_noise_refuses(served: SimpleNamespace, changes: dict, words: str) -> None:
    with pytest.raises(Exception, match=words):
        served.client.predict(**{"t": 0.5, **changes}, api_name="/noise")
    noise_is_well(served.client)


def test_denoise_streams_every_step_and_ends_with_pictures(served: SimpleNamespace) -> None:
    job = served.client.submit(2, "3", 2.0, "ddim", 3, 0.0, 5, api_name="/denoise")
    last = job.result(timeout=240)
    assert len(job.outputs()) == 4 and job.outputs()[1]["step"] == 1
    assert len(last["pictures"]) == 2 and last["settings"]["seed"] == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps must be"),
        ({"steps": 10**9}, "steps must be"),
        ({"sampler": "magic"}, "sampler must be one of"),
        ({"guidance": 1e9}, "guidance must be"),
        ({"label": "eleven"}, "label must be one of"),
        ({"pictures": 100}, "pictures must be"),
    ],
)
def test_denoise_refuses_before_the_queue(
    served: SimpleNamespace, changes: dict, words: str
) -> None:
    with pytest.raises(Exception, match=words):
        served.client.predict(**changes, api_name="/denoise")


def test_train_streams_what_is_learned_and_ends_with_the_manifold(served: SimpleNamespace) -> None:
    job = served.client.submit(5, 1.0, 3, api_name="/train")
    last = job.result(timeout=240)
    told = job.outputs()
    assert told[0]["step"] == 0 and [m["step"] for m in told] == sorted(m["step"] for m in told)
    assert sum(last["test"].values()) < sum(told[0]["test"].values()), "it learned"
    picture = Image.open(BytesIO(base64.b64decode(last["manifold"])))
    assert picture.size == (420, 420) and last["seed"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": 61}, "seconds must be"),
        ({"seconds": 10**9}, "seconds must be"),
        ({"beta": -1}, "beta must be"),
        ({"beta": 11}, "beta must be"),
        ({"seed": 2**32}, "seed must be"),
    ],
)
def test_train_refuses_before_the_queue(served: SimpleNamespace, changes: dict, words: str) -> None:
    with pytest.raises(Exception, match=words):
        served.client.predict(**changes, api_name="/train")


def beat(url: str, session: str, until: threading.Event) -> None:
    """What an open page does: one connection that lasts as long as the page."""
    with urllib.request.urlopen(f"{url}gradio_api/heartbeat/{session}") as alive:
        alive.readline()
        until.wait()


def test_a_closed_page_stops_its_training_and_frees_its_net(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import app
    from diffuser.ui import latent_train

    made: weakref.WeakSet = weakref.WeakSet()

    class Noted(latent_train.Learner):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            made.add(self)

    monkeypatch.setattr(latent_train, "Learner", Noted)
    press = next(i for i, f in app.demo.fns.items() if getattr(f.fn, "__name__", "") == "begin")
    session, closed = "a-page-that-closes", threading.Event()
    page = threading.Thread(target=beat, args=(served.url, session, closed))
    page.start()
    body = json.dumps({"fn_index": press, "session_hash": session, "data": [60, 1.0, 3]}).encode()
    kind = {"Content-Type": "application/json"}
    address = f"{served.url}gradio_api/queue/"
    urllib.request.urlopen(urllib.request.Request(f"{address}join", body, kind)).close()
    with urllib.request.urlopen(f"{address}data?session_hash={session}") as stream:
        moments = 0
        while moments < 3:
            moments += b"process_generating" in stream.readline()
    [net] = made
    time.sleep(1.0)
    step = net.step
    time.sleep(1.0)
    assert net.step == step, "it went on learning for nobody"
    del net
    closed.set()
    page.join()
    deadline = time.monotonic() + 40  # gradio looks every 15 s whether a page is still there
    while made and time.monotonic() < deadline:
        time.sleep(0.2)
        gc.collect()
    assert not made, "the net outlived its page"


def test_not_a_number_is_refused(served: SimpleNamespace) -> None:
    nan = float("nan")
    assert "guidance must be" in raw(served.url, "denoise", [1, "none", nan, "ddim", 2, 0.0, 0])
    assert "steps must be" in raw(served.url, "denoise", [1, "none", 1.0, "ddim", nan, 0.0, 0])
    assert "t must be" in raw(served.url, "noise", [nan, 0, "", "linear", 0])
    noise_is_well(served.client)


needs_vae = pytest.mark.skipif(not (WEIGHTS / "vae-2d").exists(), reason="no trained weights")


@needs_vae
def test_the_latent_plane_answers_and_refuses(served: SimpleNamespace) -> None:
    shown = served.client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name in ("/decode", "/encode", "/interpolate"):
        assert name in shown
    assert served.client.predict([0.0, 0.0], "vae-2d", api_name="/decode")
    with pytest.raises(Exception, match="must be 2 numbers"):
        served.client.predict([0.0, 0.0, 0.0], "vae-2d", api_name="/decode")
    assert "must be 2 numbers" in raw(served.url, "decode", [[float("nan"), 0.0], "vae-2d"])
    for bad in (text(SVG), text(b"text"), text(png_header(30_000, 30_000))):
        with pytest.raises(Exception, match="PNG, JPEG or WEBP|megapixels"):
            served.client.predict(picture=bad, model="vae-2d", api_name="/encode")
    with pytest.raises(Exception, match="digit must be"):
        served.client.predict(a=500, b=0, model="vae-2d", api_name="/interpolate")
    assert served.client.predict(0, 1, "vae-2d", 3, api_name="/interpolate")["straight"]


needs_hvae = pytest.mark.skipif(not (WEIGHTS / "hvae").exists(), reason="no trained weights")


@needs_hvae
def test_levels_answers_and_refuses(served: SimpleNamespace) -> None:
    answer = served.client.predict(5, 20, ["a", "b", "resample", "mean"], api_name="/levels")
    assert Image.open(BytesIO(base64.b64decode(answer["png"]))).size == (28, 28)
    assert len(answer["kl"]) == 4 and [len(z) for z in answer["z"]] == [4, 8, 16, 32]
    other = served.client.predict(
        5, 20, ["a", "b", "resample", "mean"], [1, 1, 0.5, 1], [0, 0, 9, 0], api_name="/levels"
    )
    assert other["z"][:2] == answer["z"][:2] and other["z"][2] != answer["z"][2]
    for changes, words in (
        ({"a": 500}, "digit must be"),
        ({"sources": ["a"]}, "sources must be 4 of"),
        ({"sources": ["a", "a", "a", "c"]}, "level 4 must be one of"),
        ({"temperature": 3.0}, "temperature must be a number from 0 to 2"),
        ({"seed": -2}, "seed must be"),
    ):
        with pytest.raises(Exception, match=words):
            good = {"a": 0, "b": 1, "sources": ["a"] * 4}
            served.client.predict(**{**good, **changes}, api_name="/levels")
    assert "temperature must be" in raw(served.url, "levels", [0, 1, ["a"] * 4, float("nan"), 0])


@pytest.mark.skipif(not (WEIGHTS / "ablations").exists(), reason="no trained weights")
def test_ablate_answers_and_refuses(served: SimpleNamespace) -> None:
    whole = served.client.predict("vae", [0.0, 0.0], api_name="/ablate")
    bare = served.client.predict("no-kl", [0.0, 0.0], api_name="/ablate")
    assert Image.open(BytesIO(base64.b64decode(whole["png"]))).size == (28, 28)
    # the KL term is what keeps log-variance from running to minus infinity
    assert bare["log_var"] < whole["log_var"] and sum(bare["kl"]) > sum(whole["kl"])
    assert bare["frechet"] > whole["frechet"] > 0
    assert served.client.predict("ae", [0.0, 0.0], api_name="/ablate")["kl"] is None
    assert len(served.client.predict("free-nats", [0.0] * 10, api_name="/ablate")["kl"]) == 10
    for member, z, words in (
        ("magic", [0.0, 0.0], "member must be one of"),
        ("vae", [0.0], "must be 2 numbers"),
        ("beta-0", [0.0, 0.0], "must be 10 numbers"),
        ("vae", [0.0, 1e9], "from -1000 to 1000"),
    ):
        with pytest.raises(Exception, match=words):
            served.client.predict(member, z, api_name="/ablate")
    assert "must be 2 numbers" in raw(served.url, "ablate", ["vae", [float("nan"), 0.0]])
