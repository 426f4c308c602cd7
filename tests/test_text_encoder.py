"""Laws of the text encoder: nothing unknown, padding harmless, opens with stock transformers."""

import json
import string
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizer

from diffuser import text_encoder
from diffuser.data import captions, emoji, sentences
from diffuser.data.fetch import cache_dir
from diffuser.evaluate_text import partner_top1
from diffuser.lessons import aligned
from diffuser.text_encoder import (
    LAYERS,
    NEURONS,
    TOKENS,
    Distillation,
    make_student,
    make_tokenizer,
    mean_pool,
    sentence_vectors,
    vocabulary,
)

FOLDER = Path(text_encoder.__file__).parents[1] / "weights" / "text-to-image"
needs_emoji = pytest.mark.skipif(
    not (cache_dir() / "emoji.npz").exists(), reason="needs the prepared emoji.npz"
)


@pytest.fixture(scope="module")
def model() -> Distillation:
    return Distillation.from_pretrained(FOLDER).float().eval()


@pytest.fixture(scope="module")
def toy() -> tuple[BertModel, BertTokenizer]:
    letters = [*string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase)]
    words = ["the", "of", "cat", "dog", "red", "##s", "ñandu", "senate", "zebra"]
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", "é"]
    pieces = list(dict.fromkeys([*special, *letters, *words]))
    tokenizer = BertTokenizer({piece: i for i, piece in enumerate(pieces)})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=24,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=NEURONS + 50,
    )
    return BertModel._from_config(config, attn_implementation="eager").eval(), tokenizer


def test_no_ascii_is_unknown(model):
    tokenizer = model.tokenizer
    texts = [*string.printable, string.printable, "zyxgrump QWERTZ~`^| x9Z a#b$c", "!" * 5000]
    texts += ["".join(string.printable[(7 * i + k) % 95] for i in range(60)) for k in range(95)]
    for ids in tokenizer(texts).input_ids:
        assert tokenizer.unk_token_id not in ids


@pytest.mark.parametrize("text", ["", " ", "\0\x07", "🙂", "قطة", "ab" * 500_000, "<b>&amp;</b>"])
def test_any_text_is_read(model, text):
    states, mask = model.encode([text])
    assert states.shape == (1, TOKENS, 384) and states.isfinite().all()
    assert 2 <= mask.sum() <= TOKENS


def test_opens_with_stock_classes_and_reads_the_same(model):
    network = AutoModel.from_pretrained(
        FOLDER / "text_encoder", local_files_only=True, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "tokenizer", local_files_only=True)
    assert type(network) is BertModel and network.config.use_attention_mask
    assert tokenizer.model_max_length == TOKENS
    prompts = ["red apple, flat style", ""]
    batch = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        states = network(batch.input_ids, attention_mask=batch.attention_mask)[0]
    torch.testing.assert_close(states, model.encode(prompts)[0], atol=1e-4, rtol=1e-4)


def test_padding_does_not_change_the_states_of_words(model):
    text = "a purple car on a yellow background"
    ids = model.tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        alone = model.student(ids).last_hidden_state
    padded, mask = model.encode([text, "cat"])
    torch.testing.assert_close(padded[:1, : ids.shape[1]], alone, atol=1e-4, rtol=1e-4)
    assert mask[0].sum() == ids.shape[1]
    assert torch.equal(model.encode([text])[0], model.encode([text])[0])


def test_saved_again_it_is_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = Distillation.from_pretrained(tmp_path).eval()
    assert again.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_size():
    files = [f for part in ("text_encoder", "tokenizer") for f in (FOLDER / part).rglob("*")]
    assert sum(f.stat().st_size for f in files) <= 15_000_000


def test_meaning(model):
    texts = ["a red apple", "a crimson fruit", "a fire truck", "a kitty", "cat", "submarine"]
    v = sentence_vectors(model.student, model.tokenizer, texts)
    near = v @ v.T
    assert near[0, 1] > near[0, 2] and near[3, 4] > near[3, 5]


def test_hand_written_paraphrases_find_their_concept(model):
    phrases, names = zip(*captions.paraphrases(), strict=True)
    pool = sorted(set(names))
    said, all_names = (
        sentence_vectors(model.student, model.tokenizer, texts) for texts in (phrases, pool)
    )
    five = (said @ all_names.T).topk(5).indices
    wanted = torch.tensor([[pool.index(name)] for name in names])
    assert (five == wanted).any(1).float().mean() > 0.82


@needs_emoji
def test_the_card_tells_the_truth(model):
    pairs = sentences.pairs(emoji.load())
    said, meant = (
        sentence_vectors(model.student, model.tokenizer, texts)
        for texts in zip(*pairs, strict=True)
    )
    card = json.loads((FOLDER.with_name("text-to-image-text") / "evaluation.json").read_text())
    assert partner_top1(said, meant) == pytest.approx(card["retrieval_top1"], abs=0.004)
    assert card["share_of_teacher"] >= 0.9


@needs_emoji
def test_paraphrases_are_unseen_and_sentences_a_function_of_the_seed():
    data = emoji.load()
    pairs = sentences.pairs(data)
    texts = {text for pair in pairs for text in pair}
    assert len(pairs) == 1000 and len(texts) == 2000 and pairs == sentences.pairs(data)
    learned = sentences.sentences(data, ["house", "run"], 3000)
    assert len(set(learned)) == len(learned) == 3000
    assert learned == sentences.sentences(data, ["house", "run"], 3000)
    assert not texts & set(learned)
    assert not {phrase for phrase, _ in captions.paraphrases()} & set(learned)


def test_vocabulary_keeps_what_is_said_then_the_frequent_in_order(toy):
    tokenizer = toy[1]
    everything = list(tokenizer.get_vocab())
    kept = vocabulary(tokenizer, ["zebra dogs"], len(everything) - 4)
    assert {"zebra", "dog", "##s", "[PAD]", "[UNK]", "!"} < set(kept)
    assert set(string.ascii_lowercase) < set(kept)
    assert not {"[unused0]", "ñandu", "é", "senate"} & set(kept)
    assert {"the", "of", "cat", "red"} < set(kept)
    order = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    assert kept == [piece for piece in order if piece in kept]


def test_the_student_begins_as_the_teacher_does(toy):
    teacher, tokenizer = toy
    pieces = vocabulary(tokenizer, ["red cat"], 60)
    weak = torch.randperm(NEURONS + 50)[:50]
    with torch.no_grad():
        for layer in teacher.encoder.layer:
            layer.output.dense.weight[:, weak] = 0
    student = make_student(teacher, tokenizer, pieces).eval()
    own = make_tokenizer(pieces)
    ours, theirs = (t("red cats", return_tensors="pt").input_ids for t in (own, tokenizer))
    with torch.no_grad():
        x = teacher.embeddings(theirs)
        torch.testing.assert_close(student.embeddings(ours), x)
        for layer in LAYERS:
            x = teacher.encoder.layer[layer](x)
        result = student(ours).last_hidden_state
    torch.testing.assert_close(result, x, atol=1e-4, rtol=1e-4)


def test_no_distance_to_itself_and_unshared_tokens_do_not_count(toy):
    teacher, tokenizer = toy
    pieces = vocabulary(tokenizer, ["red cat"], 60)
    model = Distillation(make_student(teacher, tokenizer, pieces), make_tokenizer(pieces)).eval()
    states, mask = model.encode(["red cats", "a dog"])
    ids = model.tokenizer(["red cats", "a dog"], padding="max_length").input_ids
    shared = mask.float()
    shared[0, 2] = 0
    said = states.clone()
    said[0, 2] += 100
    said[1, -1] += 100  # padding
    terms = model(torch.tensor(ids), mask, said, shared, mean_pool(states, mask))
    assert set(terms) == {"states", "pooled"}
    for value in terms.values():
        assert value.shape == (2,)
        torch.testing.assert_close(value, torch.zeros(2), atol=1e-5, rtol=0)
    said[0, 1] += 1  # one of four shared tokens, by one in each channel
    terms = model(torch.tensor(ids), mask, said, shared, mean_pool(states, mask))
    count = float(shared[0].sum())
    torch.testing.assert_close(terms["states"][0], torch.tensor(1 / 0.24 / count))


def test_mean_pool_is_the_mean_of_real_tokens():
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [99.0, 99.0]]])
    pooled = mean_pool(states, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(pooled, torch.tensor([[0.6, 0.8]]))


def test_tokens_are_aligned_by_the_characters_they_cover():
    theirs = [(0, 0), (0, 3), (4, 9), (0, 0)]
    ours = [(0, 0), (0, 3), (4, 6), (6, 9), (0, 0)]
    assert aligned(ours, theirs) == [0, 1, -1, -1, 3]
    assert aligned(theirs, theirs) == [0, 1, 2, 3]


def test_partner_top1():
    x = torch.eye(4)
    assert partner_top1(x, x) == 1
    assert partner_top1(x, x[[1, 0, 2, 3]]) == 0.5


def test_a_stock_pipeline_reads_prompts_as_we_do(model):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=None,
        text_encoder=model.student,
        tokenizer=model.tokenizer,
        unet=None,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    prompts = ["a green turtle, flat style", "word " * 500]
    with torch.no_grad():
        positive, negative = pipeline.encode_prompt(
            prompts, "cpu", 1, True, negative_prompt=["red", ""]
        )
    torch.testing.assert_close(positive, model.encode(prompts)[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(negative, model.encode(["red", ""])[0], atol=1e-5, rtol=1e-5)
