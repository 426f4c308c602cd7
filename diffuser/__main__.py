"""The command line: python -m diffuser list | data | train | sample | evaluate."""

import argparse
import dataclasses
import time

from tqdm.auto import tqdm


def list_models(_: argparse.Namespace) -> None:
    """Every model, and whether its weights are here."""
    from diffuser.experiments import EXPERIMENTS
    from diffuser.weights import WEIGHTS

    for name, experiment in EXPERIMENTS.items():
        state = "weights" if (WEIGHTS / name).exists() else "-"
        print(f"{name:24}{state:10}{experiment.about}")


def data(args: argparse.Namespace) -> None:
    """Fetches, checks, converts and caches the named data sets."""
    from diffuser.data import NAMES, prepare, show

    show(prepare(args.names or NAMES))


def train(args: argparse.Namespace) -> None:
    """Trains with a progress bar, logs sheets of samples, and saves the averaged weights."""
    from diffuser.experiments import EXPERIMENTS
    from diffuser.train import Trainer, checkpoint_file, save_sheet, train
    from diffuser.weights import WEIGHTS, open_weights, save_weights

    experiment = EXPERIMENTS[args.name]
    if args.steps:
        experiment = dataclasses.replace(experiment, steps=args.steps)
    if args.restart:
        checkpoint_file(args.name).unlink(missing_ok=True)
    fresh = args.restart or not (WEIGHTS / args.name).exists()
    trainer = Trainer(args.name, experiment, None if fresh else open_weights(args.name))
    main = trainer.accelerator.is_main_process
    folder = checkpoint_file(args.name).parent / args.name
    mean: dict[str, float] = {}
    drawn = time.monotonic()
    with tqdm(total=experiment.steps, disable=not main, mininterval=5) as bar:
        for record in train(trainer):
            for key, value in record.terms.items():
                mean[key] = value if key not in mean else 0.98 * mean[key] + 0.02 * value
            bar.n = record.step
            words = {key: f"{value:.4g}" for key, value in mean.items()}
            bar.set_postfix({**words, "per_s": f"{record.examples_per_second:.0f}"}, refresh=False)
            bar.update(0)
            last = record.step == record.steps
            if main and experiment.sheet and (last or time.monotonic() - drawn > args.sheet_every):
                save_sheet(experiment.sheet(trainer.averaged()), folder / f"{record.step:07}.png")
                drawn = time.monotonic()
    if main:
        model = trainer.averaged()
        if experiment.finish:
            experiment.finish(model)
        print(save_weights(args.name, model, trainer.seconds))


def main() -> None:
    """Reads the arguments and runs one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m diffuser", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("list", help="the models").set_defaults(run=list_models)
    p = commands.add_parser("data", help="fetch, check and cache data sets")
    p.add_argument("names", nargs="*")
    p.set_defaults(run=data)
    p = commands.add_parser("train", help="train a model and put it into weights/")
    p.add_argument("name")
    p.add_argument("--steps", type=int, help="instead of the experiment's own number")
    p.add_argument("--restart", action="store_true", help="from random weights")
    p.add_argument("--sheet-every", type=float, default=300, metavar="SECONDS")
    p.set_defaults(run=train)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
