"""Diffuser: one road through generative image models, in code that can be read.

    import diffuser
    vae = diffuser.load("vae-2d")
    *_, last = diffuser.load("ddpm-digits").sample(8, label=3, guidance=2.0, seed=0)
    diffuser.load("text-to-image").generate("a green turtle, flat style")

The theory in twelve lines. Numbers in brackets are equations of Luo, "Understanding Diffusion
Models: A Unified Perspective" (arXiv 2208.11970), where it has them. Time t runs from 0 (data) to
1 (noise); s < t.

Latent variables. q(z|x) = N(mean(x), diag var(x)), p(z) = N(0, I), and log p(x) is at least

 1  ELBO = E_q log p(x|z) - KL(q(z|x) || p(z))                          reconstruction - KL   [19]
 2  z = mean + exp(log_var / 2) eps,  eps ~ N(0, I)                     the noise by hand     [21]

Diffusion. A schedule is t -> (alpha, sigma); nothing else about it is written by hand.

 3  x_t = alpha x0 + sigma eps                                          any t at once         [70]
 4  log-SNR = log(alpha^2 / sigma^2)                                    falls with t         [109]
 5  x0, eps, v = alpha eps - sigma x0, score = -eps / sigma             one guess, four spellings
 6  q(x_s | x_t, x0) = N(a sigma_s^2 x_t + alpha_s var x0, sigma_s^2 var I) / sigma_t^2       [84]
       a = alpha_t / alpha_s,  var = sigma_t^2 - a^2 sigma_s^2          (mean and variance divided)
 7  loss = w(t) |eps - eps_hat|^2                                       w = 1: DDPM, score   [130]
       w = -1/2 d log-SNR / dt: the continuous ELBO of VDM

Walking back. From x_t and the guess (x0, eps) to x_s:

 8  x_s = alpha_s x0 + sqrt(sigma_s^2 - v) eps + sqrt(v) z              DDIM: v = 0
       v = the variance in 6                                            DDPM
 9  d(x / alpha) / d(sigma / alpha) = eps                               the flow as an ODE: Heun
10  dx = f x dt + g dw,  f = d log alpha / dt,  g^2 = -sigma^2 d log-SNR / dt         the SDE
11  guess(w) = u + w (c - u)                                            guidance: w = 1 is none

Text to image is 3 to 11 on the latents of an autoencoder, with words as the condition:

12  prompt -> tokens -> states -> x_1 ... x_0 -> picture
"""

from diffuser.weights import load, names

__all__ = ["load", "names"]
