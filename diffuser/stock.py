"""Our schedules as diffusers' schedulers, and back: the one place that knows both vocabularies."""

from collections.abc import Mapping

from diffusers import DDIMScheduler

from diffuser.gaussian import Kind

TRAIN_STEPS = 1000
"""T of the tables: step i of T is t = (i + 1) / T, the index that the stock networks are given."""

_BETAS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled-linear": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
    "zero-snr": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "rescale_betas_zero_snr": True,
    },
}
_KINDS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def stock_scheduler(schedule: str, kind: Kind) -> DDIMScheduler:
    """The scheduler with which diffusers walks the same times and the same numbers as we do."""
    return DDIMScheduler(
        num_train_timesteps=TRAIN_STEPS,
        prediction_type=_KINDS[kind],
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        **_BETAS[schedule],
    )


def schedule_and_kind(config: Mapping) -> tuple[str, Kind]:
    """The names of our schedule and kind that a saved scheduler's config stands for.

    Raises ValueError for a scheduler that is not one of our tables.
    """
    kinds = {theirs: ours for ours, theirs in _KINDS.items()}
    for name, betas in _BETAS.items():
        wanted = {"rescale_betas_zero_snr": False, **betas}
        if all(config.get(key, False) == value for key, value in wanted.items()):
            return name, kinds[config["prediction_type"]]
    raise ValueError(f"no schedule of ours has the betas of {dict(config)}")
