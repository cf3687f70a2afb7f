"""A form of settings with a Start button, and a field for a user id: for those who would rather click than type code.

Core controls of ipywidgets only, those that look and work alike in 7.7 (Colab) and in 8, driven by buttons. Under
papermill nothing is drawn; without ipywidgets one line says what does the same.
"""

from __future__ import annotations

import ast
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_lib.display.progress import is_batch

N_EXAMPLES = 20
_LABEL, _CONTROL = "190px", "400px"


@dataclass(frozen=True)
class Field:
    """One setting: a control with its label and its line of help.

    Attributes:
        name: the label, and the key of the value handed over.
        value: at the start. Its type makes the control: bool a check box, int and float a number, str a text; anything
            else (a list, None) is typed as in Python, e.g. [64, 32, 16].
        help: a line of text.
        choices: the values to choose from, if they are few.
    """

    name: str
    value: Any
    help: str = ""
    choices: tuple = ()


def settings_form(
    groups: Callable[[str], Mapping[str, Sequence[Field]]],
    start: Callable[[dict[str, Any]], object],
    *,
    choice: Field,
    title: str = "Settings · 설정",
    instead: str,
) -> None:
    """Draw the form; Start reads and checks every value and calls start(values), its prints and figures shown below.

    A ValueError (of a value typed, or raised by `start`) is shown as one line; anything else is a fault and shows its
    traceback.

    Args:
        groups: what is chosen in the first control -> group title -> fields; asked anew when the choice changes.
        start: is handed {choice.name: ..., name: value of every field}.
        choice: the first control, with its choices.
        instead: what does the same without the form; printed where ipywidgets is absent.
    """
    if (widgets := _widgets(instead)) is None:
        return
    first = _control(choice)
    fields = widgets.VBox()
    button = widgets.Button(description="Start · 시작", button_style="primary", layout=widgets.Layout(width="160px"))
    said, output = widgets.HTML(), widgets.Output()
    controls: dict[str, tuple[Field, Any]] = {}

    def draw() -> None:
        chosen = groups(first.value)
        listed = [field for group in chosen.values() for field in group]
        names = [choice.name, *(field.name for field in listed)]
        if len(set(names)) < len(names):
            raise ValueError(f"two fields share a name: {', '.join(sorted({name for name in names if names.count(name) > 1}))}")
        controls.update({field.name: (field, _control(field)) for field in listed})
        rows = []
        for heading, group in chosen.items():
            rows.append(widgets.HTML(f"<b>{html.escape(heading)}</b>"))
            rows += [_row(field, controls[field.name][1]) for field in group]
        fields.children = tuple(rows)

    def swap(_: object) -> None:
        before = fields.children
        controls.clear()
        fields.children, said.value, button.disabled = (), "", False
        _close(before)
        try:
            draw()
        except ValueError as error:  # what is given does not fit this choice: nothing to start
            said.value, button.disabled = _problem(error), True

    def run(_: object) -> None:
        def work() -> None:
            start({choice.name: first.value} | {name: _read(*control) for name, control in controls.items()})

        _shown(work, button, said, output)

    draw()
    first.observe(swap, names="value")
    button.on_click(run)
    _display(widgets.VBox([widgets.HTML(_heading(title)), _row(choice, first), fields, widgets.HBox([button, said]), output]))


def explorer(
    user_ids: Iterable,
    show: Callable[[str], object],
    *,
    title: str = "A user · 사용자 살펴보기",
    instead: str,
) -> None:
    """Draw a field for a user id; the button, or the choice of an example, calls show(user_id) and shows what it displays.

    A ValueError (an unknown user) is shown as one line.

    Args:
        user_ids: the examples to choose from; of more than 20, 20 evenly spaced.
        show: is handed the id as text.
        instead: what does the same without the field; printed where ipywidgets is absent.
    """
    if (widgets := _widgets(instead)) is None:
        return
    user_ids = [str(user) for user in user_ids]
    step = max(1, -(-len(user_ids) // N_EXAMPLES))
    examples = user_ids[::step]
    style = {"description_width": "110px"}
    typed = widgets.Text(
        value=examples[0] if examples else "", description="user id · 사용자", style=style, layout=widgets.Layout(width="280px")
    )
    listed = [("choose · 고르기", ""), *((user, user) for user in examples)]
    example = widgets.Dropdown(options=listed, description="examples · 예시", style=style, layout=widgets.Layout(width="280px"))
    button = widgets.Button(description="Show · 보기", button_style="primary", layout=widgets.Layout(width="120px"))
    said, output = widgets.HTML(), widgets.Output()

    def run(_: object) -> None:
        _shown(lambda: show(typed.value.strip()), button, said, output)

    def take(change: Mapping) -> None:
        if change["new"]:
            typed.value = change["new"]
            run(change)

    example.observe(take, names="value")
    button.on_click(run)
    _display(widgets.VBox([widgets.HTML(_heading(title)), widgets.HBox([typed, button, example]), said, output]))


# ---- parts


def _widgets(instead: str):
    """The module ipywidgets; None where nothing is to be drawn."""
    if is_batch():
        return None
    try:
        import ipywidgets
    except ImportError:
        print(f"ipywidgets is not installed, so there is nothing to click here; the same is done by | 위젯 없이 같은 일을 하는 방법: {instead}")
        return None
    return ipywidgets


def _control(field: Field):
    import ipywidgets as widgets

    about = {"description": field.name, "style": {"description_width": _LABEL}, "layout": widgets.Layout(width=_CONTROL)}
    if field.choices:
        return widgets.Dropdown(options=list(field.choices), value=field.value, **about)
    if isinstance(field.value, bool):
        return widgets.Checkbox(value=field.value, **about)
    if isinstance(field.value, int):
        return widgets.IntText(value=field.value, **about)
    if isinstance(field.value, float):
        return widgets.FloatText(value=field.value, **about)
    return widgets.Text(value=field.value if isinstance(field.value, str) else repr(field.value), **about)


def _read(field: Field, control: Any) -> Any:
    """Raises: ValueError for what is not written as Python writes it."""
    value = control.value
    if not isinstance(value, str) or field.choices:
        return value
    if isinstance(field.value, str) and not value.lstrip().startswith("["):  # "all", or a list of names
        return value.strip()
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError):  # a TypeError: {[1]: 2} has no such key
        raise ValueError(f"{field.name}: {value!r} cannot be read; write it as in {_example(field)}") from None


def _example(field: Field) -> str:
    return '["one", "two"]' if isinstance(field.value, str) else repr(field.value)


def _row(field: Field, control: Any):
    import ipywidgets as widgets

    text = f'<span style="color:#6B6B6B;line-height:1.3;padding-left:8px">{html.escape(field.help)}</span>'
    return widgets.HBox([control, widgets.HTML(text)], layout=widgets.Layout(align_items="center"))


def _heading(title: str) -> str:
    return f'<span style="font-size:115%"><b>{html.escape(title)}</b></span>'


def _shown(work: Callable[[], object], button: Any, said: Any, output: Any) -> None:
    """Call work() with what it prints and displays going to `output`; one at a time, an error in a line."""
    button.disabled = True
    said.value = "running … · 실행 중"
    problem = ""
    output.clear_output(wait=True)
    try:
        with output:
            try:
                work()
            except ValueError as error:
                problem = _problem(error)
    finally:
        if problem:
            output.clear_output()  # at once: what was there before answers another question
        said.value = problem
        button.disabled = False


def _problem(error: ValueError) -> str:
    return f'<span style="color:#B00020">{html.escape(" ".join(str(error).split()))}</span>'


def _display(widget: Any) -> None:
    from IPython.display import display

    display(widget)


def _close(widgets: Iterable) -> None:
    """Their places in the front end too: a form that is swapped often would fill it with controls that nobody sees."""
    for widget in widgets:
        _close(getattr(widget, "children", ()))
        widget.close()
