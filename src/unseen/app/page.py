"""The page itself: what is where, and which action a control sets off."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from unseen.app import controls, files, picture, videos
from unseen.app.models import Models
from unseen.app.session import (
    KINDS,
    LONGEST_NAME,
    LONGEST_PROMPT,
    MOST_ERASERS,
    MOST_STRENGTH,
    Session,
)
from unseen.errors import AppError

LEAD = """# unseen: erase a concept from a video model
Name something, and a small **eraser** is learned for it in about a minute. With the eraser attached, a text-to-video
model draws everything but that. Its weights stay as they are; only how the prompt is read changes. The model on this
page is **Diorama**, a toy that comes with the package (96 × 96 pixels, nine frames, cartoon subjects), unless you chose
another. What you see here shows how the method works, not how well it works on your model.
"""
LIMITS = """## What this cannot do
- The model still knows the concept. Whoever holds it can take the eraser off.
- An eraser is no safeguard on its own: searched words bring back much of what was erased, and so do some ordinary
  wordings. `docs/` says how much, with numbers.
- It sees prompts alone. A pipeline that starts from an image or a video is refused.
- Four pictures on a page prove nothing. `unseen evaluate` measures, with intervals and controls.
"""
_EXAMPLES = ("a French horn drifts left over a green meadow", "a valve horn in the snow", "a trumpet on a green meadow")
_SPEAK = """() => { for (const id of ["fit-status", "draw-status", "use-status", "near-status", "file-status",
  "own-status"]) {
  const one = document.getElementById(id); if (one) { one.setAttribute("role", "status");
  one.setAttribute("aria-live", "polite"); } } document.documentElement.lang = "en"; }"""
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]


def gradio() -> Any:
    """The package, which then reports to nobody. Raises `AppError` where it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ImportError as error:
        raise AppError(
            f'The page needs gradio, which cannot be imported ({error}): pip install "unseen[app]".'
        ) from error
    return gradio


def serve(
    models: Models, erasers: Path | None, runs: Path, *, host: str, port: int, opens: bool, waits: bool = True
) -> Any:
    """Build the page and serve it until it is interrupted, or with `waits` off return it while it runs.

    Raises:
        AppError: gradio is not installed, or the address cannot be used.
    """
    gr = gradio()
    page = build(models, erasers, runs)
    page.queue(default_concurrency_limit=8, api_open=False)
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=_MONO).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        slider_color="*primary_700",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_border_width="1px",
        input_border_color="*neutral_400",
        checkbox_border_color="*neutral_500",
    )
    try:
        page.launch(
            server_name=host,
            server_port=port,
            inbrowser=opens,
            share=False,
            quiet=True,
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            max_file_size="300mb",
            prevent_thread_lock=not waits,
            theme=theme,
            css_paths=[Path(__file__).with_name("page.css")],
        )
    except OSError as error:
        raise AppError(
            f"The page cannot be served at {host}:{port} ({error}). Choose another --host or --port."
        ) from error
    return page


def build(models: Models, erasers: Path | None, runs: Path) -> Any:
    """The page, not served yet.

    Args:
        models: The pipelines, which all tabs share.
        erasers: A folder of erasers that can be taken from there.
        runs: Where reports of the demo and the benchmarks lie.
    """
    gr = gradio()
    made = tempfile.TemporaryDirectory(prefix="unseen-app-")  # files to download; goes with the page
    with gr.Blocks(title="unseen: erase a concept", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        page.unseen_files = made
        session, fitted, last, suggested = gr.State(Session()), gr.State(None), gr.State(None), gr.State(())
        gr.Markdown(LEAD, elem_classes="unseen-lead")
        with gr.Tabs():
            with gr.Tab("Erase"), gr.Row():
                with gr.Column(min_width=300):
                    concept = _concept_part(gr, models)
                with gr.Column(min_width=300):
                    slots = _slots_part(gr)
                    compare = _compare_part(gr)
            with gr.Tab("What stays"):
                near = _near_part(gr)
            with gr.Tab("Files"):
                moved = _files_part(gr, erasers)
            with gr.Tab("Own videos"):
                own = _videos_part(gr)
            with gr.Tab("Reports"):
                _reports_part(gr, runs)
            with gr.Tab("Limits"):
                gr.Markdown(LIMITS)
        shown = [session, *slots["all"], slots["status"]]

        # Fit
        words = concept["synonyms"]
        concept["suggest"].click(
            controls.suggest, [concept["name"], concept["kind"], words], [words, concept["status"], suggested],
            show_progress="hidden",
        )  # fmt: skip
        concept["name"].input(
            controls.forget, [words, suggested], [words, suggested], show_progress="hidden", trigger_mode="always_last"
        )
        concept["fit"].click(
            controls.fitter(models),
            [concept[n] for n in ("model", "name", "kind", "synonyms", "replacement")],
            [fitted, concept["status"], concept["found"]],
            concurrency_id="fit", concurrency_limit=1, show_progress="minimal", show_progress_on=concept["status"],
        ).then(controls.add, [session, fitted], shown, show_progress="hidden")  # fmt: skip

        # Draw
        drawing = {
            "inputs": [session, concept["model"], compare["prompt"], compare["seed"]],
            "outputs": [last, compare["status"], compare["pair"], compare["words"], compare["film"]],
            "concurrency_id": "draw",
            "concurrency_limit": 1,
            "show_progress": "minimal",
            "show_progress_on": compare["status"],
        }
        draw, redraw = controls.drawer(models), controls.drawer(models, again=True)
        gr.on([compare["draw"].click, compare["prompt"].submit], draw, **drawing)
        again = {**drawing, "inputs": [*drawing["inputs"], last]}
        for place, (_, on, dial, away) in enumerate(slots["rows"]):
            on.input(controls.switcher(place), [session, on], shown, show_progress="hidden").then(redraw, **again)
            dial.input(controls.turner(place), [session, dial], [session, slots["status"]], show_progress="hidden",
                       trigger_mode="always_last")  # fmt: skip
            dial.release(
                controls.turner(place), [session, dial], [session, slots["status"]], show_progress="hidden"
            ).then(redraw, **again)
            away.click(controls.remover(place), [session], shown, show_progress="hidden")
        compare["film"].click(
            controls.filmer(Path(made.name)), [last], [compare["file"], compare["status"]], show_progress="hidden"
        )

        # Neighbours, files
        near["draw"].click(
            controls.neighbours(models), [session, concept["model"], compare["seed"]],
            [near["status"], near["gallery"]],
            concurrency_id="draw", show_progress="minimal", show_progress_on=near["status"],
        )  # fmt: skip
        told = moved["status"]
        moved["pack"].click(controls.packer(Path(made.name)), [session], [moved["out"], told], show_progress="hidden")
        moved["up"].upload(controls.uploader, [moved["up"]], [fitted, told], show_progress="hidden").then(
            controls.add, [session, fitted], shown, show_progress="hidden"
        )
        if moved["saved"] is not None:
            moved["take"].click(controls.taker(erasers), [moved["saved"]], [fitted, told], show_progress="hidden").then(
                controls.add, [session, fitted], shown, show_progress="hidden"
            )
        own["score"].click(
            controls.scorer(Path(made.name)), [own["folder"], own["single"], own["choice"]],
            [own["status"], own["summary"], own["table"], own["out"]],
            concurrency_id="score", concurrency_limit=1, show_progress="minimal", show_progress_on=own["status"],
        )  # fmt: skip
        page.load(None, js=_SPEAK)
    return page


# What is on the page


def _concept_part(gr: Any, models: Models) -> dict[str, Any]:
    gr.Markdown("## 1. What to erase")
    names = models.names()
    return {
        "model": gr.Dropdown(names, value=names[0], label="Model", allow_custom_value=True,
                             info="or type the hub id or folder of a diffusers pipeline", elem_id="model"),
        "name": gr.Textbox("French horn", label="Concept", info="without a, an or the", max_length=LONGEST_NAME + 1,
                           elem_id="concept"),
        "kind": gr.Radio([(f"{kind}: {about}", kind) for kind, about in KINDS.items()], value="object", label="Kind",
                         elem_id="kind"),
        "synonyms": gr.Textbox("", label="Other words for it", info="separated by commas; they are erased as well",
                               elem_id="synonyms"),
        "suggest": gr.Button("Suggest other words", size="sm", elem_id="suggest"),
        "replacement": gr.Textbox("", label="Put in its place (optional)", info="another concept of the same kind",
                                  elem_id="replacement"),
        "fit": gr.Button("Learn an eraser", variant="primary", elem_id="fit"),
        "status": gr.HTML(picture.message("This takes about a minute on two processor cores."), elem_id="fit-status"),
        "found": gr.HTML("", elem_id="fit-found"),
    }  # fmt: skip


def _slots_part(gr: Any) -> dict[str, Any]:
    gr.Markdown("## 2. Erasers on this page")
    status = gr.HTML(picture.message(controls.USE), elem_id="use-status")
    rows = []
    for place in range(MOST_ERASERS):
        with gr.Group(visible=False) as row:
            on = gr.Checkbox(True, label="", elem_id=f"on-{place}")
            dial = gr.Slider(0, MOST_STRENGTH, value=1.0, step=0.05, label="Strength", elem_id=f"dial-{place}",
                             info="0: nothing is erased", buttons=[])  # fmt: skip
            away = gr.Button("Remove", size="sm", elem_id=f"away-{place}")
        rows.append((row, on, dial, away))
    return {"rows": rows, "all": [part for row in rows for part in row], "status": status}


def _compare_part(gr: Any) -> dict[str, Any]:
    gr.Markdown("## 3. Compare")
    with gr.Row():
        prompt = gr.Textbox(_EXAMPLES[0], label="Prompt", lines=3, max_length=LONGEST_PROMPT + 1, elem_id="prompt",
                            scale=4, min_width=180, info="Shift + Enter draws")  # fmt: skip
        seed = gr.Number(0, label="Seed", info="of the noise", elem_id="seed", scale=1, min_width=90)
    gr.Examples([[text] for text in _EXAMPLES], [prompt], label="Prompts to try")
    draw = gr.Button("Draw before and after", variant="primary", elem_id="draw")
    status = gr.HTML("", elem_id="draw-status")
    found = gr.HTML("", elem_id="pair")
    words = gr.HTML("", elem_id="words")
    with gr.Row():
        film = gr.Button("Make an MP4 of both", size="sm", visible=False, elem_id="film")
        file = gr.File(label="MP4", interactive=False, visible=False, elem_id="mp4")
    return {"prompt": prompt, "seed": seed, "draw": draw, "status": status, "pair": found, "words": words,
            "film": film, "file": file}  # fmt: skip


def _near_part(gr: Any) -> dict[str, Any]:
    gr.Markdown(
        "## Neighbours\nWhat looks like the concept, or shares a word with its name, has to stay as it was. Three such"
        " prompts for each eraser that is on, drawn before and after."
    )
    return {
        "draw": gr.Button("Draw the neighbours", variant="primary", elem_id="near-draw"),
        "status": gr.HTML("", elem_id="near-status"),
        "gallery": gr.HTML("", elem_id="gallery"),
    }


def _files_part(gr: Any, erasers: Path | None) -> dict[str, Any]:
    gr.Markdown("## Erasers as files\nAn eraser is some hundred kilobytes, and works on the text encoder that it was"
                " learned on.")  # fmt: skip
    parts: dict[str, Any] = {"status": gr.HTML("", elem_id="file-status"), "saved": None, "take": None}
    known = files.saved_erasers(erasers)
    if erasers is not None:
        parts["saved"] = gr.Dropdown(list(known), value=next(iter(known), None), label=f"Erasers in {erasers}",
                                     elem_id="saved")  # fmt: skip
        parts["take"] = gr.Button("Use this eraser", elem_id="take")
    parts["up"] = gr.File(label="Upload an eraser: its .zip, or both of its files", file_count="multiple", elem_id="up")
    parts["pack"] = gr.Button("Make files of the erasers on this page", elem_id="pack")
    parts["out"] = gr.File(label="Download", file_count="multiple", interactive=False, visible=False, elem_id="out")
    return parts


def _videos_part(gr: Any) -> dict[str, Any]:
    gr.Markdown("## Score your own videos\nWhoever made them: before an eraser and after, or with another method. They"
                " stay on the machine that serves this page.")  # fmt: skip
    with gr.Row():
        folder = gr.File(label="A folder of videos", file_count="directory", elem_id="own-folder", min_width=280)
        single = gr.File(label="Or single videos", file_count="multiple", elem_id="own-single", min_width=280)
    boxes = [(f"{name}: {about}", name) for name, about in videos.choices().items()]
    choice = gr.CheckboxGroup(
        boxes, value=["flicker", "motion"], label="What to look for", info="Scores go into a table, with intervals",
        elem_id="own-choice",
    )  # fmt: skip
    return {
        "folder": folder,
        "single": single,
        "choice": choice,
        "score": gr.Button("Score the videos", variant="primary", elem_id="own-score"),
        "status": gr.HTML("", elem_id="own-status"),
        "summary": gr.Markdown("", elem_id="own-summary"),
        "table": gr.HTML("", elem_id="own-table"),
        "out": gr.File(label="Download", file_count="multiple", interactive=False, visible=False, elem_id="own-out"),
    }


def _reports_part(gr: Any, runs: Path) -> None:
    gr.Markdown(f"## Reports in `{runs}`\n`unseen demo` and `unseen evaluate` write them.")
    choice = gr.Dropdown(list(files.reports(runs)), value=None, label="Report", elem_id="report-choice")
    look = gr.Button("Look for new ones", size="sm", elem_id="report-look")
    shown = gr.HTML("", elem_id="report")

    def show(name: str | None) -> str:
        try:
            return "" if not name else picture.framed(files.report_text(runs, name), f"Report {name}")
        except controls.EXPECTED as error:
            return picture.message(str(error), problem=True)

    def refresh() -> tuple[Any, str]:
        found = list(files.reports(runs))
        words = f"{len(found)} found" if found else f"There is none in {runs} yet. Run unseen demo there"
        return gr.update(choices=found, value=None), picture.message(words)

    choice.input(show, [choice], [shown], show_progress="hidden")
    look.click(refresh, None, [choice, shown], show_progress="hidden")


# What its controls do: each reads the session that the tab has now, and returns another
