"""The laboratory in the browser: the tabs put together. Run `python app.py`."""

import os
import threading

# A laboratory works alone: nothing is reported or fetched behind the visitor's back.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

from diffuser.ui import coder, forward, hierarchy, lanes, latent, prompt, reverse, theme

WELCOME = """# Diffuser
From the autoencoder to pictures made from words, one idea after another, each one to be touched.
Every picture on this page is made by a real network as you watch.
**Start here:** drag the green point below; the network draws what lies there.
Then go through the tabs from left to right. Nothing can break, and everything can be repeated."""

TABS = (
    ("Latent space", latent.build),
    ("Hierarchy", hierarchy.build),
    ("Forward", forward.build),
    ("Reverse", reverse.build),
    ("Words to picture", prompt.build),
)

with gr.Blocks(title="Diffuser", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
    gr.Markdown(WELCOME)
    with gr.Tabs():
        for title, build in TABS:
            with gr.Tab(title, id=title):
                build()

demo.queue(**lanes.QUEUE)

if __name__ == "__main__":
    # The page is there at once; the first scenes are made meanwhile, before a visitor asks.
    threading.Thread(target=coder.codes, args=("vae-2d",), daemon=True).start()
    threading.Thread(target=prompt.opening, daemon=True).start()
    demo.launch(**theme.LAUNCH)
