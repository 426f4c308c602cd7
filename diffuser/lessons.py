"""What the teacher says to each training sentence, computed once, in batches of like lengths."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffuser.data import emoji, sentences
from diffuser.device import default_device, fast_dtype
from diffuser.text_encoder import TOKENS, Distillation, mean_pool, read_teacher

Span = tuple[int, int]


def aligned(ours: list[Span], theirs: list[Span]) -> list[int]:
    """For each token of ours the teacher's token over the same characters, or -1.

    Spans are (start, end) in the text; the first and last tokens, [CLS] and [SEP], are alike.
    """
    place = {span: i for i, span in enumerate(theirs[1:-1], 1)}
    return [0, *(place.get(span, -1) for span in ours[1:-1]), len(theirs) - 1]


@torch.inference_mode()
def teach(texts: list[str], batch: int = 128) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(ids, states, shared, pooled) of each text, ordered by length; states in fp16.

    50,000 short texts take 0.4 GB and, on one core, two minutes.
    """
    device = default_device()
    model, tokenizer = read_teacher(fast_dtype(device))
    model = model.to(device)
    own = Distillation.from_teacher().tokenizer
    settings = {"truncation": True, "max_length": TOKENS, "return_offsets_mapping": True}
    ours, theirs = own(texts, **settings), tokenizer(texts, **settings)
    order = sorted(range(len(texts)), key=lambda i: len(theirs.input_ids[i]))
    found = []
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        ids = [torch.tensor(theirs.input_ids[i]) for i in part]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(device)
        mask = (padded > 0).long()
        states = model(padded, attention_mask=mask).last_hidden_state
        pooled = mean_pool(states.float(), mask).half().cpu()
        states = states.half().cpu()
        for row, i in enumerate(part):
            index = torch.tensor(aligned(ours.offset_mapping[i], theirs.offset_mapping[i]))
            found.append(
                (
                    torch.tensor(ours.input_ids[i]),
                    states[row, index.clamp(min=0)],
                    (index >= 0).float(),
                    pooled[row],
                )
            )
    return sorted(found, key=lambda item: len(item[0]))


def sentence_batches(
    count: int = 50_000,
) -> Callable[[int, int, torch.Generator], tuple[Tensor, ...]]:
    """Batches for `Distillation`, each of sentences of about the same length, so none is wasted."""
    data = emoji.load()
    words = [
        word
        for word in Distillation.from_teacher().tokenizer.get_vocab()
        if word.isalpha() and len(word) > 2
    ]
    lessons = teach(sentences.sentences(data, sorted(words), count))

    def batch(step: int, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        middle = int(torch.randint(len(lessons), (), generator=generator))
        low = max(0, min(middle - 4 * size, len(lessons) - 8 * size))
        near = low + torch.randint(min(8 * size, len(lessons)), (size,), generator=generator)
        ids, states, shared, pooled = zip(*(lessons[i] for i in near.tolist()), strict=True)
        mask = [torch.ones_like(i) for i in ids]
        pad = torch.nn.utils.rnn.pad_sequence
        parts = (pad(list(part), batch_first=True) for part in (ids, mask, states, shared))
        return (*parts, torch.stack(pooled))

    return batch
