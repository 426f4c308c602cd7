"""A small BERT that reads prompts, distilled from all-MiniLM-L6-v2 (as in arXiv 1910.01108).

It keeps the teacher's width and word vectors, three of its six layers, two thirds of the neurons in
each, and the word pieces that captions and everyday English need; it is trained to give the
teacher's token states and sentence vectors. What is saved opens with stock transformers.
"""

import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizer

from diffuser.data import captions, emoji, sentences, teacher

TOKENS = 24
"""Prompts are cut and padded to this many tokens, as Stable Diffusion's are to 77."""
PIECES = 7950
LAYERS = (0, 2, 5)
NEURONS = 1024
TYPOGRAPHY = "‘’“”–—…•°©®×÷½£€"


def read_teacher(dtype: torch.dtype = torch.float32) -> tuple[BertModel, BertTokenizer]:
    """The teacher, from the cache; raises DataError where it is not prepared."""
    folder = teacher()
    # plain attention: at these lengths it is as fast, and faster to differentiate
    model = AutoModel.from_pretrained(
        folder, local_files_only=True, dtype=dtype, attn_implementation="eager"
    )
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def vocabulary(tokenizer: BertTokenizer, texts: Iterable[str], size: int = PIECES) -> list[str]:
    """The word pieces kept, in the teacher's order (by frequency).

    All that occur in `texts`, every ASCII character, alone and inside a word, so that no ASCII text
    is unknown; then the most frequent pieces in Latin letters until `size` are together.
    """
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    order = [piece for piece, _ in pieces]
    kept = {order[i] for ids in tokenizer(sorted(set(texts))).input_ids for i in ids}
    kept |= {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    kept |= set(string.ascii_lowercase + string.digits + string.punctuation + TYPOGRAPHY)
    kept |= {f"##{c}" for c in string.ascii_lowercase + string.digits}
    kept &= set(order)
    for piece in order:
        letters = piece.removeprefix("##")
        if len(kept) < size and letters.isascii() and letters.isalpha():
            kept.add(piece)
    return [piece for piece in order if piece in kept]


def spoken(data: emoji.Emoji) -> set[str]:
    """All texts whose word pieces are kept: captions, names, tags, and the evaluation's words."""
    names, tags = sentences.things(data)
    fixed = [*sentences.ADJECTIVES, *sentences.COLOURS, *sentences.TEMPLATES]
    fixed += [text for pair in sentences.pairs(data) for text in pair]
    fixed += [phrase for phrase, _ in captions.paraphrases()]
    return {*names, *tags, *fixed, *captions.all_captions(data, 2)}


def make_student(model: BertModel, tokenizer: BertTokenizer, pieces: Sequence[str]) -> BertModel:
    """A shorter, narrower copy of the teacher, reading `pieces`."""
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=model.config.hidden_size,
        num_hidden_layers=len(LAYERS),
        num_attention_heads=model.config.num_attention_heads,
        intermediate_size=NEURONS,
        max_position_embeddings=TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
        # a Stable Diffusion pipeline passes the mask on only to an encoder that says so
        use_attention_mask=True,
    )
    student = BertModel._from_config(config, attn_implementation="eager")
    state = {k: v.clone() for k, v in model.state_dict().items() if "encoder.layer" not in k}
    index = torch.tensor(tokenizer.convert_tokens_to_ids(list(pieces)))
    words, places = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    state[words], state[places] = state[words][index], state[places][:TOKENS]
    for ours, theirs in enumerate(LAYERS):
        layer = {k: v.clone() for k, v in model.encoder.layer[theirs].state_dict().items()}
        into, out = layer["intermediate.dense.weight"], layer["output.dense.weight"]
        strongest = (into.norm(dim=1) * out.norm(dim=0)).topk(NEURONS).indices.sort().values
        layer["intermediate.dense.weight"] = into[strongest]
        layer["intermediate.dense.bias"] = layer["intermediate.dense.bias"][strongest]
        layer["output.dense.weight"] = out[:, strongest]
        state |= {f"encoder.layer.{ours}.{k}": v for k, v in layer.items()}
    student.load_state_dict(state, strict=False)
    return student


def make_tokenizer(pieces: Sequence[str]) -> BertTokenizer:
    """The teacher's tokenizer with fewer word pieces; pads and cuts at TOKENS."""
    return BertTokenizer({piece: i for i, piece in enumerate(pieces)}, model_max_length=TOKENS)


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Sentence vectors of length 1, (B, C), from token states (B, T, C) and their mask (B, T)."""
    weight = mask[..., None].to(states.dtype)
    return F.normalize((states * weight).sum(1) / weight.sum(1), dim=-1)


class Distillation(nn.Module):
    """The student and its tokenizer; its loss is the distance to the teacher."""

    def __init__(self, student: BertModel, tokenizer: BertTokenizer):
        super().__init__()
        self.student, self.tokenizer = student, tokenizer

    @classmethod
    def from_teacher(cls) -> Self:
        """The untrained student; needs the teacher and the emoji in the cache."""
        model, tokenizer = read_teacher()
        pieces = vocabulary(tokenizer, spoken(emoji.load()))
        return cls(make_student(model, tokenizer, pieces), make_tokenizer(pieces))

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """From `folder/text_encoder` and `folder/tokenizer`."""
        student = BertModel.from_pretrained(folder / "text_encoder", local_files_only=True)
        return cls(
            student, BertTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        )

    def save_pretrained(self, folder: Path) -> None:
        """Writes `text_encoder` and `tokenizer` into any folder, also a pipeline's."""
        self.student.save_pretrained(folder / "text_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")

    def forward(
        self, ids: Tensor, mask: Tensor, states: Tensor, shared: Tensor, pooled: Tensor
    ) -> dict[str, Tensor]:
        """Distances to the teacher, (B,): of token states, in units of their variance (0.24),
        where both cut the text alike, and of sentence vectors, 1 - cosine, times four.

        ids, mask, shared: (B, T); states: (B, T, C); pooled: (B, C), of length 1.
        """
        ours = self.student(ids, attention_mask=mask).last_hidden_state.float()
        error = (ours - states.float()).square().mean(-1) / 0.24
        token = (error * shared).sum(1) / shared.sum(1)
        cosine = (mean_pool(ours, mask) * pooled.float()).sum(-1)
        return {"states": token, "pooled": 4 * (1 - cosine)}

    loss = forward

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token states (B, TOKENS, C) as a stock pipeline computes them, and their mask."""
        batch = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt"
        ).to(self.student.device)
        mask = batch.attention_mask
        return self.student(batch.input_ids, attention_mask=mask).last_hidden_state, mask


@torch.no_grad()
def sentence_vectors(
    model: BertModel, tokenizer: BertTokenizer, texts: Sequence[str], batch: int = 100
) -> Tensor:
    """Mean-pooled vectors (N, C) of length 1, by the teacher or by the student."""
    found = []
    for start in range(0, len(texts), batch):
        part = tokenizer(
            list(texts[start : start + batch]),
            padding=True,
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
        )
        found.append(mean_pool(model(**part).last_hidden_state.float(), part.attention_mask))
    return torch.cat(found)
