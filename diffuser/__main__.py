"""The command line: python -m diffuser list | data | train | sample | evaluate."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from tqdm.auto import tqdm

from diffuser.data import DataError
from diffuser.samplers import SAMPLERS
from diffuser.weights import names


def list_models(args: argparse.Namespace) -> None:
    """Every model, and whether its weights are here."""
    from diffuser.cards import table
    from diffuser.experiments import EXPERIMENTS
    from diffuser.weights import WEIGHTS

    if args.table:
        print(table(), end="")
        return
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
    from diffuser.weights import open_weights, save_weights, trained_before

    experiment = EXPERIMENTS[args.name]
    if args.steps:
        experiment = dataclasses.replace(experiment, steps=args.steps)
    if args.restart:
        checkpoint_file(args.name).unlink(missing_ok=True)
    start = None
    if trained_before(args.name) and not args.restart:
        start = open_weights(args.name)
    elif experiment.start:
        start = experiment.model()
        start.load_state_dict(open_weights(experiment.start).state_dict())
    trainer = Trainer(args.name, experiment, start)
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


def sample(args: argparse.Namespace) -> None:
    """Draws pictures from a seed and writes them as one sheet."""
    from diffuser.autoencoders import AutoEncoder
    from diffuser.diffusion import Diffusion
    from diffuser.text_to_image import TextToImage
    from diffuser.train import save_sheet
    from diffuser.weights import load

    model = load(args.name)
    asked = {"guidance": args.guidance, "sampler": args.sampler, "steps": args.steps}
    options = {key: value for key, value in asked.items() if value is not None}
    if isinstance(model, AutoEncoder):
        pictures = next(model.sample(args.count, seed=args.seed)).x0
    elif isinstance(model, Diffusion):
        labels = [args.label[i % len(args.label)] for i in range(args.count)]
        *_, last = model.sample(args.count, labels, seed=args.seed, **options)
        pictures = ((last.x + 1) / 2).clamp(0, 1)
    elif isinstance(model, TextToImage):
        *_, last = model.sample([args.prompt] * args.count, seed=args.seed, **options)
        pictures = model.decode(last.x)
    else:
        sys.exit(f"{args.name} draws no pictures")
    file = args.out or Path(f"{args.name}.png")
    save_sheet(pictures, file)
    print(file)


def evaluate(args: argparse.Namespace) -> None:
    """Measures a model on test data, and writes its card where that is asked for."""
    import numpy as np

    from diffuser.cards import card, rows
    from diffuser.evaluate import evaluate

    found = evaluate(args.name, args.count, args.seed)
    if args.save:
        with args.save.open("wb") as file:  # savez would add .npz to a name of its own accord
            np.savez_compressed(file, **found.terms)
    if args.card:
        card(args.name, found)
    if args.json:
        print(json.dumps(found.figures))
    else:
        for what, value, unit in rows(found.figures):
            print(f"{what:32}{value:24}{unit}")


def main() -> None:
    """Reads the arguments and runs one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m diffuser", description=__doc__)
    commands = parser.add_subparsers(required=True)
    p = commands.add_parser("list", help="the models")
    p.add_argument("--table", action="store_true", help="as Markdown, with measured figures")
    p.set_defaults(run=list_models)
    p = commands.add_parser("data", help="fetch, check and cache data sets")
    p.add_argument("names", nargs="*")
    p.set_defaults(run=data)
    p = commands.add_parser("train", help="train a model and put it into weights/")
    p.add_argument("name", choices=names())
    p.add_argument("--steps", type=int, help="instead of the experiment's own number")
    p.add_argument("--restart", action="store_true", help="from random weights")
    p.add_argument("--sheet-every", type=float, default=300, metavar="SECONDS")
    p.set_defaults(run=train)
    p = commands.add_parser("sample", help="draw a sheet of pictures")
    p.add_argument("name", choices=names())
    p.add_argument("--out", type=Path, help="PNG file; NAME.png where not given")
    p.add_argument("--count", type=int, default=16)
    p.add_argument("--seed", type=int, default=0, help="picture i draws from seed + i")
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float, help="w in u + w (c - u): 1 is none")
    p.add_argument("--sampler", choices=SAMPLERS)
    p.add_argument("--label", type=int, nargs="+", choices=range(10), default=range(10))
    p.add_argument("--prompt", default="")
    p.set_defaults(run=sample)
    p = commands.add_parser("evaluate", help="measure a model on test data")
    p.add_argument("name", choices=names())
    p.add_argument("--json", action="store_true", help="one JSON object")
    p.add_argument("--save", type=Path, metavar="FILE", help="per-example terms, as npz")
    p.add_argument("--count", type=int, help="fewer examples than the full protocol's")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--card", action="store_true", help="write weights/NAME/README.md")
    p.set_defaults(run=evaluate)
    args = parser.parse_args()
    try:
        args.run(args)
    except (FileNotFoundError, DataError) as error:  # what they say is what there is to do
        sys.exit(str(error))


if __name__ == "__main__":
    main()
