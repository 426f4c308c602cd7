"""The look: system fonts, one accent, and one colour for each quantity (theme.css)."""

from pathlib import Path

import gradio as gr

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace"]
THEME = gr.themes.Base(
    primary_hue="indigo",
    neutral_hue="zinc",
    font=SANS,
    font_mono=MONO,
    radius_size="sm",
    spacing_size="lg",
).set(
    body_background_fill="#fcfcfa",
    body_background_fill_dark="#15161a",
    background_fill_primary="#fcfcfa",
    background_fill_primary_dark="#15161a",
    background_fill_secondary="#f4f3ef",
    background_fill_secondary_dark="#1d1f25",
    block_background_fill="transparent",
    block_background_fill_dark="transparent",
    block_border_width="0px",
    block_border_width_dark="0px",
    block_shadow="none",
    block_label_background_fill="transparent",
    block_label_background_fill_dark="transparent",
    block_label_border_width="0px",
    block_label_text_weight="500",
    block_title_text_weight="500",
    block_padding="4px 0px",
    layout_gap="20px",
    button_primary_background_fill="#4a4fb8",
    button_primary_background_fill_hover="#3d42a3",
    button_primary_background_fill_dark="#6a6fe0",
    button_primary_background_fill_hover_dark="#7b80ec",
    button_primary_text_color="#ffffff",
    button_large_text_weight="500",
    slider_color="#4a4fb8",
    slider_color_dark="#8a8ff0",
)
# Gradio counts how many tabs fit before our style is there; this makes it count again.
MEASURE = "() => setTimeout(() => window.dispatchEvent(new Event('resize')), 500)"
CSS = (Path(__file__).parent / "theme.css").read_text()
LAUNCH = {
    "theme": THEME,
    "css": CSS,
    "js": MEASURE,
    "run_history": False,
    "enable_monitoring": False,
    "max_file_size": "10mb",
    "footer_links": ["api"],
    "show_error": False,
    "share": False,
    "max_threads": 16,
}
