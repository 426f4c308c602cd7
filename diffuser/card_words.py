"""What the model cards say that cannot be measured."""

from dataclasses import dataclass

MNIST = """the 60,000 training digits of MNIST (Y. LeCun, C. Cortes, C. J. C. Burges,
  <http://yann.lecun.com/exdb/mnist/>), usually cited as CC BY-SA 3.0"""
EMOJI = """emoji of eight styles with captions from Unicode's names: Noto Emoji, Noto Emoji v1 and
  FxEmoji (Apache-2.0), Fluent Emoji in two styles (MIT), the others CC BY 4.0; held-out pairs and
  concepts were never trained on"""
LIMITS = "Small models for learning and teaching; not for reading real handwriting."


@dataclass(frozen=True)
class Words:
    """What a card says that cannot be measured."""

    about: str
    data: str
    use: str
    limits: str = LIMITS


VAE_USE = """\
vae = diffuser.load("{name}")
mean, log_var = vae.encode(x)  # x: (B, 1, 28, 28) in [0, 1]
x = vae.decode(mean)"""
WORDS = {
    "ae-2d": Words(
        "A plain autoencoder of digits with a two-dimensional code: what a variational one is "
        "compared with. Its code has gaps, and draws from N(0, I) need not be digits.",
        MNIST,
        VAE_USE,
    ),
    "vae-2d": Words(
        "A variational autoencoder of digits with a two-dimensional latent, which fits on a page.",
        MNIST,
        VAE_USE,
    ),
    "vae-20d": Words(
        "A variational autoencoder of digits with a twenty-dimensional latent.",
        MNIST,
        VAE_USE,
        LIMITS + " These weights are of one run whose settings changed on the way: 9,000 steps on "
        "the digits as they are, 4,000 with half of them warped, the rest as the experiment says.",
    ),
    "vae-50d": Words(
        "A variational autoencoder of binary digits, small and with fifty latent dimensions: its "
        "negative log-likelihood can be measured, which with grey pixels it cannot.",
        MNIST + "; each pixel drawn anew at each look",
        VAE_USE,
    ),
    "iwae-50d": Words(
        "The network of vae-50d trained on, from its weights, with the importance-weighted bound "
        "of 50 samples (Burda et al. 2016): the bound is tighter, so the posterior need not be "
        "as simple as a VAE wants it, and the likelihood grows.",
        MNIST + "; each pixel drawn anew at each look",
        VAE_USE,
    ),
    "ablations": Words(
        "What each part of a VAE is for: small networks that differ in one thing each, trained "
        "side by side on the same pictures in the same order. Without the noise nothing opposes "
        "the KL term's wish for log-variance 0, and the means, free to be exact, shrink into a "
        "smaller cloud than N(0, I). Without the KL term the log-variance falls without end "
        "and the VAE becomes an autoencoder. A large beta switches dimensions off, one after "
        "another. The textbook ones are the 784-256-2 network that introductions show.",
        MNIST,
        """\
family = diffuser.load("{name}")
x = family["no-kl"].decode(z)  # each member is an AutoEncoder; `diffuser.ablations` lists them""",
        "One seed each; the samples are one row a member, drawn from N(0, I).",
    ),
    "hvae": Words(
        "A hierarchical VAE of binary digits: four levels of latents, each drawn given those above "
        "it. The picture shows draws from the prior, a row a level: what is known down to it.",
        MNIST + "; each pixel drawn anew at each look, some digits a little warped at first",
        """\
hvae = diffuser.load("{name}")
for step in hvae.sample(8, seed=0):  # one Step a level, from the top
    step.x, step.x0  # the level's latents, and the picture as far as it is decided
latents, logits = hvae.walk(len(x), hvae.features(x))  # x: (B, 1, 28, 28) in {{0, 1}}""",
    ),
    "ddpm-digits": Words(
        "A class-conditional diffusion model of digits, 28 x 28. `unet/` and `scheduler/` open "
        'with diffusers\' `UNet2DModel` and `DDIMScheduler`; label 10 is "no label".',
        MNIST,
        """\
model = diffuser.load("{name}")
*_, last = model.sample(8, label=3, guidance=2.0, sampler="dpmpp-2m", steps=20, seed=0)
pictures = (last.x + 1) / 2  # (8, 1, 28, 28)""",
    ),
    "judge-digits": Words(
        "A classifier of digits, trained on real ones alone, by whose labels and features "
        "generated digits are measured. The picture shows the test digits that it gets wrong.",
        MNIST,
        """\
judge = diffuser.load("{name}")
features, logits = judge.judge(x)  # x: (N, 1, 28, 28) in [-1, 1]""",
    ),
    "text-to-image": Words(
        "Latent diffusion of 64 x 64 emoji from captions, in stock parts: the folder opens with "
        "diffusers' `DiffusionPipeline.from_pretrained`.",
        EMOJI,
        """\
model = diffuser.load("{name}")
model.generate("a red apple, flat style", seed=0).save("apple.png")""",
        "Trained in two runs on one core of a CPU: 1,700 steps from nothing, then, from there, the "
        "2,600 steps that `experiment.json` tells of. Of the 48 prompts above (in the order of "
        "`diffuser.sheets.PROMPTS`; guidance 4, 20 steps) apples, houses, hearts, cars, buses, "
        "guitar, umbrella, rainbow, football, cake, mushroom, tree and the simple faces are what "
        "they should be, and a colour is followed for apple, heart, car, cat, house, background. "
        "Octopus, pizza, snowman, robot, turtle, fish are mere shapes; the pumpkin is a rose and "
        "the yellow fish is blue; a cat with sunglasses has none; a ship is stripes and a bunny is "
        "almost blank.",
    ),
    "text-to-image-vae": Words(
        "The autoencoder of latent diffusion: 64 x 64 pictures to 16 x 16 x 4 latents and back. "
        "Its weights are `vae/` in the folder of text-to-image.",
        EMOJI,
        """\
vae = diffuser.load("{name}")
x = vae.decode(vae.encode(x))  # x: (B, 3, 64, 64) in [-1, 1]""",
    ),
    "text-to-image-text": Words(
        "A BERT of three layers that reads prompts, distilled from all-MiniLM-L6-v2: its word "
        "vectors and layers 0, 2 and 5, with the strongest two thirds of their neurons, learned to "
        "give its token states and sentence vectors. `text_encoder/` and `tokenizer/`, in the "
        "folder of text-to-image, open with "
        "transformers' `AutoModel` and `AutoTokenizer`.",
        """50,000 sentences: captions of the emoji, and templates filled with their names and tags,
  colours, adjectives and everyday words; as told by all-MiniLM-L6-v2 (Apache-2.0; N. Reimers and
  I. Gurevych, <https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2>)""",
        """\
model = diffuser.load("{name}")
states, mask = model.encode(["a red apple, flat style"])  # (1, 24, 384), (1, 24)""",
        "English only; other alphabets are unknown to it, and a prompt is cut after 24 tokens.",
    ),
    "judge-emoji": Words(
        "A classifier of emoji, trained on real ones alone, by which generated ones are measured. "
        "Its classes are the concepts of `diffuser.data.emoji.load()`, in that order. The picture "
        "shows the unseen real ones that it takes for another of the 200 scoring concepts.",
        EMOJI,
        """\
judge = diffuser.load("{name}")
features, logits = judge.judge(x)  # x: (N, 3, 64, 64) in [-1, 1]""",
        "It goes by colour and outline: a picture with the right ones may pass though a person "
        "would wince. It knows its own training pictures by heart.",
    ),
}
