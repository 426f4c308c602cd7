"""What the VAE that learns in the page has learned after a minute of one core.

    python tests/benchmarks/live.py [--seconds 60] [--digits shipped|all] [--seed 0]

The same Learner as in the tab Latent space, in this process alone; the clock is the processor
time of its steps, so that a busy machine does not count as a slow one. At each mark: the negative
ELBO of 500 test digits (grey binary cross-entropy; one draw each), and how many cells of the
15 x 15 grid the judge of digits reads with a confidence of at least 90 %.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))
import diffuser  # noqa: E402
from diffuser.data import digits, shipped_digits  # noqa: E402
from diffuser.device import one_thread  # noqa: E402
from diffuser.live import BATCH, Learner  # noqa: E402

CONFIDENT, WANTED = 0.9, 0.6


def read_by_judge(grid: torch.Tensor) -> float:
    """Share of pictures (N, 1, 28, 28) in [0, 1] whose digit the judge is confident of."""
    _, logits = diffuser.load("judge-digits", device="cpu").judge(2 * grid - 1)
    return (logits.softmax(1).amax(1) >= CONFIDENT).float().mean().item()


def main() -> None:
    """Trains, and prints a row at each mark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--digits", choices=("shipped", "all"), default="shipped")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    pictures, _ = (shipped_digits if asked.digits == "shipped" else digits)("train")
    learner = Learner(torch.from_numpy(pictures)[:, None], asked.seed)
    print(f"{len(pictures):,} digits, batch {BATCH}, seed {asked.seed}, one thread")
    print("CPU s   steps   ms/step   test -ELBO   training -ELBO     KL   read by the judge")
    spent = 0.0
    with one_thread():
        for mark in sorted({m for m in (5.0, 10.0, 20.0, 30.0) if m < asked.seconds}) + [
            asked.seconds
        ]:
            while spent < mark:
                began = time.thread_time()
                learner.advance()
                spent += time.thread_time() - began
            m = learner.moment()
            share = read_by_judge(m.grid)
            print(
                f"{spent:5.1f}{m.step:8,}{1000 * spent / m.step:10.2f}{sum(m.test):13.1f}"
                f"{sum(m.train):17.1f}{m.test[1]:7.2f}{share:20.1%}",
                flush=True,
            )
    verdict = "holds" if share >= WANTED else "FAILS"
    print(f"at least {WANTED:.0%} of the grid read with confidence: {verdict}")


if __name__ == "__main__":
    main()
