"""How well words are read and drawn: retrieval by vector, and by a judge of real pictures."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from diffuser.data import captions, emoji, sentences
from diffuser.judges import Judge
from diffuser.latents import LatentAutoencoder
from diffuser.text_encoder import Distillation, read_teacher, sentence_vectors
from diffuser.text_to_image import TextToImage


def binomial_error(share: float, count: int) -> float:
    """Standard error of a share of `count` independent cases."""
    return sqrt(share * (1 - share) / count)


def partner_top1(captioned: Tensor, other: Tensor) -> float:
    """How often row i finds row i of the other as its nearest; vectors of length 1, (N, C)."""
    found = (captioned @ other.T).argmax(1) == torch.arange(len(other))
    return float(found.float().mean())


def paraphrase_retrieval(model: Distillation, count: int = 1000) -> dict[str, object]:
    """How often a caption finds its own paraphrase among `count`, by student and by teacher.

    None of the texts was trained on. Needs the teacher and the emoji in the cache.
    """
    said, meant = zip(*sentences.pairs(emoji.load(), count), strict=True)
    readers = {"student": (model.student, model.tokenizer), "teacher": read_teacher()}
    phrases, names = zip(*captions.paraphrases(), strict=True)
    pool = sorted(set(names))
    named, every = torch.tensor([pool.index(name) for name in names]), torch.arange(len(pool))
    top1, vectors, by_hand = {}, {}, {}
    for who, (network, tokenizer) in readers.items():
        vectors[who] = sentence_vectors(network, tokenizer, said)
        top1[who] = partner_top1(vectors[who], sentence_vectors(network, tokenizer, meant))
        asked, offered = (sentence_vectors(network, tokenizer, t) for t in (phrases, pool))
        found = hits(asked @ offered.T, named, every)
        by_hand |= {f"{who}_{key}": value for key, value in found.items()}
    return {
        "retrieval_top1": top1["student"],
        "retrieval_top1_error": binomial_error(top1["student"], len(said)),
        "teacher_top1": top1["teacher"],
        "teacher_top1_error": binomial_error(top1["teacher"], len(said)),
        "share_of_teacher": top1["student"] / top1["teacher"],
        "cosine_to_teacher": float((vectors["student"] * vectors["teacher"]).sum(1).mean()),
        "hand_written": {**by_hand, "count": len(phrases)},
        "count": len(said),
        "protocol": "unseen captions find their paraphrases (other words, order and templates) "
        "among each other by mean-pooled vectors; "
        f"{len(phrases)} hand-written phrases find their concept among {len(pool)} names",
    }


def on_white(rgba: np.ndarray) -> Tensor:
    """Pictures of bytes (N, H, W, 4) as a judge takes them: (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(emoji.over(rgba)).permute(0, 3, 1, 2).float() / 127.5 - 1


def hits(logits: Tensor, wanted: Tensor, among: Tensor) -> dict[str, float]:
    """Shares of rows whose wanted class is the first, or in the first five, of the classes `among`.

    logits: (N, classes); wanted: (N,), each one of `among`. Adds the binomial standard errors.
    """
    own = logits.gather(1, wanted[:, None])
    ahead = (logits[:, among] > own).sum(1)
    result = {}
    for k in (1, 5):
        share = float((ahead < k).float().mean())
        result[f"top{k}"] = share
        result[f"top{k}_error"] = binomial_error(share, len(logits))
    return result


def retrieval(judge: Judge, pictures: Tensor, wanted: Tensor, among: Tensor) -> dict[str, float]:
    """`hits` of pictures (N, 3, 64, 64) in [-1, 1] by the judge's logits."""
    return hits(judge.judge(pictures)[1], wanted, among)


def draw(
    model: TextToImage,
    prompts: Sequence[str],
    *,
    guidance: float,
    steps: int,
    sampler: str,
    seed: int,
    batch: int = 32,
) -> Tensor:
    """One picture for each prompt, (N, 3, 64, 64) in [-1, 1]; picture i from seed + i."""
    pictures = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        *_, last = model.sample(
            part, guidance=guidance, sampler=sampler, steps=steps, seed=seed + start
        )
        pictures.append(2 * model.decode(last.x).cpu() - 1)
    return torch.cat(pictures)


def nearest(features: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row (N, F) the nearest of the real ones (M, F), and d1 / d2; (N,), (N,).

    d1 and d2 are the distances to the nearest and to the second nearest; a ratio below 1/3 marks a
    copy (as in arXiv 2505.16959).
    """
    two = torch.cdist(features, real).topk(2, largest=False)
    return two.indices[:, 0], two.values[:, 0] / two.values[:, 1].clamp(min=1e-9)


def seen_pairs(data: emoji.Emoji, per_concept: int | None, seed: int) -> np.ndarray:
    """Training pictures of the scoring concepts: all, or that many of each, drawn with the seed."""
    rng = np.random.default_rng(seed)
    chosen = []
    for concept in data.scoring:
        own = np.flatnonzero((data.concept == concept) & (data.split == emoji.TRAIN))
        chosen.append(rng.permutation(own)[:per_concept])
    return np.concatenate(chosen)


def evaluate_text_to_image(
    model: TextToImage,
    judge: Judge,
    *,
    guidance: float = 4.0,
    steps: int = 20,
    sampler: str = "dpmpp-2m",
    seed: int = 0,
    per_concept: int | None = 1,
    count: int | None = None,
) -> dict[str, object]:
    """Whether pictures show what their prompts say, judged among the 200 scoring concepts.

    "seen": prompts "name, style words" for (concept, style) pairs of the training set, one of each
    concept, or `per_concept` (None: all). "held_out_pairs": all such pairs that were never drawn.
    "paraphrases": the hand-written phrases alone. Of each kind at most `count`. The first two also
    hold the score of the real pictures of the same pairs, and the generated score as a share of
    it; the judge knows the real seen ones by heart. Needs the emoji in the cache; about a second a
    picture on one core.
    """
    data = emoji.load()
    among = torch.from_numpy(data.scoring)
    number = {c.name: i for i, c in enumerate(data.concepts)}
    real = judge.judge(on_white(data.images[data.split == emoji.TRAIN]))[0]
    settings = {"guidance": guidance, "steps": steps, "sampler": sampler, "seed": seed}

    def score(prompts: Sequence[str], wanted: Tensor) -> dict[str, object]:
        features, logits = judge.judge(draw(model, prompts, **settings))
        found = {f"retrieval_{k}": v for k, v in hits(logits, wanted, among).items()}
        ratio = nearest(features, real)[1]
        copies = float((ratio < 1 / 3).float().mean())
        return {**found, "count": len(prompts), "copies": copies}

    def score_pairs(index: np.ndarray) -> dict[str, object]:
        wanted = torch.from_numpy(data.concept[index])
        found = score([data.plain_caption(int(i)) for i in index], wanted)
        truth = retrieval(judge, on_white(data.images[index]), wanted, among)
        for k in ("top1", "top5"):
            found[f"real_{k}"] = truth[k]
            found[f"share_{k}"] = found[f"retrieval_{k}"] / truth[k] if truth[k] else None
        return found

    held = (data.split == emoji.HELD_OUT_PAIR) & np.isin(data.concept, data.scoring)
    seen = score_pairs(seen_pairs(data, per_concept, seed)[:count])
    phrases = captions.paraphrases()[:count]
    return {
        "retrieval_top1": seen["retrieval_top1"],
        "retrieval_top5": seen["retrieval_top5"],
        "count": seen["count"],
        "seen": seen,
        "held_out_pairs": score_pairs(np.flatnonzero(held)[:count]),
        "paraphrases": score(
            [phrase for phrase, _ in phrases], torch.tensor([number[name] for _, name in phrases])
        ),
        "protocol": f"a judge of real training pictures names one of {len(among)} concepts; "
        "picture i from seed + i; errors are binomial standard errors",
        **settings,
    }


def judge_scores(judge: Judge, count: int | None = None) -> tuple[dict[str, object], Tensor]:
    """The judge's score on real pictures of (concept, style) pairs that it has not seen.

    Among the scoring concepts, and among all that it was trained on; of at most `count` pictures.
    Also the pictures (N, 3, 64, 64) in [0, 1] whose concept it does not find among the former.
    """
    data = emoji.load()
    held = np.flatnonzero(data.split == emoji.HELD_OUT_PAIR)
    scored = held[np.isin(data.concept[held], data.scoring)]
    trained = np.unique(data.concept[data.split == emoji.TRAIN])

    def score(index: np.ndarray, among: np.ndarray) -> tuple[dict[str, object], Tensor]:
        pictures, wanted = on_white(data.images[index]), torch.from_numpy(data.concept[index])
        logits, classes = judge.judge(pictures)[1], torch.from_numpy(among)
        found = {f"retrieval_{k}": v for k, v in hits(logits, wanted, classes).items()}
        wrong = pictures[classes[logits[:, classes].argmax(1)] != wanted] / 2 + 0.5
        return {**found, "count": len(index), "classes": len(among)}, wrong

    figures, wrong = score(scored[:count], data.scoring)
    return {
        **figures,
        "among_all": score(held[:count], trained)[0],
        "protocol": "real pictures, on white, of (concept, style) pairs that were not trained on, "
        f"among {len(data.scoring)} scoring concepts, and such pairs of any among all concepts",
    }, wrong


@torch.no_grad()
def reconstruction_scores(
    vae: LatentAutoencoder, count: int | None = None
) -> tuple[dict[str, object], np.ndarray]:
    """PSNR in dB of emoji that training never saw, through the latents and back; also each one's.

    psnr is the mean over pictures; psnr_of_mean_error is that of the mean squared error, in which
    the few hardest pictures weigh most.
    """
    data = emoji.load()
    held = np.flatnonzero(data.split != emoji.TRAIN)[:count]
    errors = []
    for part in on_white(data.images[held]).split(32):
        x = part.to(vae.vae.device)
        y = vae.decode(vae.encode(x)).float().clamp(-1, 1)
        errors.append((((y - x) / 2) ** 2).mean((1, 2, 3)).cpu())
    error = torch.cat(errors).double()
    psnr = -10 * error.log10()
    return {
        "psnr": float(psnr.mean()),
        "psnr_error": float(psnr.std() / len(psnr) ** 0.5),
        "psnr_of_mean_error": float(-10 * error.mean().log10()),
        "count": len(held),
        "protocol": "emoji of held-out pairs and concepts, on white, without noise in the latents",
    }, psnr.numpy()
