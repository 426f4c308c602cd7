"""How fast the 2-D VAE learns: this project's trainer beside pythae's, on the same network.

    pip install pythae                                  # not a dependency; better in its own venv
    python tests/benchmarks/pythae_vae.py [--seconds 60]

Both train the network of vae-2d on the 60,000 training digits, 256 a step, on one core, for the
same processor time; measuring is not counted. Ours is `diffuser.train` with the settings of
vae-2d, its rate falling over that time; pythae's is its `VAE` (reconstruction_loss="bce") with its
`BaseTrainer` as it comes, at Adam's rate of 1e-3 (its own 1e-4 learns more slowly). Printed: the
pace, the negative ELBO (grey binary cross-entropy) of 2,000 test digits at each tenth of the time,
and, where both reach 141 nats, the ratio of the times that took.
"""

import argparse
import dataclasses
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[2]))
from diffuser.autoencoders import AutoEncoder  # noqa: E402
from diffuser.data import digits  # noqa: E402
from diffuser.experiments import EXPERIMENTS  # noqa: E402
from diffuser.train import Trainer  # noqa: E402

GOAL, BATCH, TESTED = 141.0, 256, 2000


def test_elbo(net: AutoEncoder) -> float:
    """Mean negative ELBO of the first test digits in nats, always with the same noise."""
    x = torch.from_numpy(digits("test")[0][:TESTED])[:, None].float() / 255
    eps = torch.randn(TESTED, net.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        terms = net.elbo(x, eps)
    return sum(v.mean().item() for v in terms.values())


class Watch:
    """Processor time of the steps, and what the network has learned by then."""

    def __init__(self, name: str, seconds: float):
        self.name, self.seconds = name, seconds
        self.spent, self.steps, self.marks, self.goal = 0.0, 0, 0, None
        self.began = time.process_time()

    def step(self, net: Callable[[], AutoEncoder]) -> bool:
        """After each step; whether the time is over."""
        self.spent += time.process_time() - self.began
        self.steps += 1
        if self.spent >= self.seconds * (self.marks + 1) / 10:
            self.marks += 1
            self.elbo = test_elbo(net())
            print(
                f"{self.name:<8}{self.spent:8.1f} s{self.steps:7,} steps"
                f"{self.pace:9,.0f} examples/s{self.elbo:9.1f} nats",
                flush=True,
            )
            if self.elbo <= GOAL and self.goal is None:
                self.goal = self.spent
        self.began = time.process_time()
        return self.spent >= self.seconds

    @property
    def pace(self) -> float:
        """Examples a second of processor time."""
        return self.steps * BATCH / self.spent


def ours(seconds: float) -> Watch:
    """`diffuser.train`'s Trainer on vae-2d."""
    experiment = EXPERIMENTS["vae-2d"]
    trial = Trainer("vae-2d", experiment, device=torch.device("cpu"))
    trial.advance()
    began = time.process_time()
    for _ in range(5):
        trial.advance()
    steps = int(seconds / (time.process_time() - began) * 5)
    settings = {"steps": steps, "rise": steps // 20, "ramp": {"kl": steps // 5}}
    experiment = dataclasses.replace(experiment, **settings)
    trainer = Trainer("vae-2d", experiment, device=torch.device("cpu"))
    watch = Watch("ours", seconds)
    while trainer.step < steps:
        trainer.advance()
        if watch.step(trainer.averaged):
            break
    return watch


def theirs(seconds: float) -> Watch:
    """pythae's VAE and BaseTrainer around the same network."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    net: AutoEncoder = EXPERIMENTS["vae-2d"].model()

    class Encoder(BaseEncoder):
        def __init__(self, body: nn.Module):
            super().__init__()
            self.body = body

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_var = self.body(2 * x.flatten(1) - 1).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self, body: nn.Module):
            super().__init__()
            self.body = body

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z).sigmoid().view(-1, 1, 28, 28))

    class Over(Exception):
        pass

    watch = Watch("pythae", seconds)

    class Stop(TrainingCallback):
        def on_train_step_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
            if watch.step(lambda: net):
                raise Over

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=2, reconstruction_loss="bce")
    model = VAE(config, Encoder(net.encoder), Decoder(net.decoder))
    net.encoder, net.decoder = model.encoder.body, model.decoder.body
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_epochs=1000,
            learning_rate=1e-3,
            no_cuda=True,
        )
        x = torch.from_numpy(digits("train")[0])[:, None].float() / 255
        trainer = BaseTrainer(model, x, training_config=settings, callbacks=[Stop()])
        watch.began = time.process_time()
        try:
            trainer.train()
        except Over:
            pass
    return watch


def main() -> None:
    """Both, one after the other, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    ours_, theirs_ = ours(asked.seconds), theirs(asked.seconds)
    print(f"pace: {ours_.pace / theirs_.pace:.2f} x pythae's")
    print(f"after {asked.seconds:g} s: {ours_.elbo:.1f} nats, pythae {theirs_.elbo:.1f}")
    if ours_.goal and theirs_.goal:
        print(f"time to {GOAL:g} nats: {theirs_.goal / ours_.goal:.1f} x shorter than pythae's")
    else:
        missing = [w.name for w in (ours_, theirs_) if not w.goal]
        print(f"{GOAL:g} nats not reached in that time by: {', '.join(missing)}")


if __name__ == "__main__":
    main()
