"""The controls driven as a person drives them; run under ipywidgets 7.7 (Colab) and 8 alike."""

from __future__ import annotations

import re
import sys

import pytest

ipywidgets = pytest.importorskip("ipywidgets")

from recsys_lib.display import widgets as module  # noqa: E402
from recsys_lib.display.widgets import Field, explorer, settings_form  # noqa: E402

CORE = {"Dropdown", "IntText", "FloatText", "Text", "BoundedIntText", "Checkbox", "Button", "HBox", "VBox", "HTML", "Output"}
CHOICE = Field("model", "small", "which one", ("small", "large"))


@pytest.fixture
def shown(monkeypatch):
    """What was displayed; somebody is watching."""
    monkeypatch.setenv("RECSYS_BATCH", "0")
    displayed = []
    monkeypatch.setattr(module, "_display", displayed.append)
    return displayed


def groups(model):
    own = [Field("layers", [64, 32], "widths"), Field("dropout", 0.1)] if model == "small" else [Field("layers", [200]), Field("width", 7)]
    return {"Model": own, "Training": [Field("epochs", 3, "how <long>"), Field("below", None), Field("quick", True), Field("features", "all")]}


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def control(root, name):
    (found,) = [one for one in every(root) if getattr(one, "description", "") == name]
    return found


def text_of(root):
    return " ".join(one.value for one in every(root) if isinstance(one, ipywidgets.HTML))


def form(shown, start=lambda values: None):
    settings_form(groups, start, choice=CHOICE, instead="train_run()")
    (root,) = shown
    return root


def test_start_hands_over_every_value_with_its_type(shown):
    got = []
    root = form(shown, got.append)
    assert not got
    control(root, "epochs").value = 5
    control(root, "layers").value = " [16, 8] "
    control(root, "quick").value = False
    control(root, "Start · 시작").click()
    assert got == [
        {"model": "small", "layers": [16, 8], "dropout": 0.1, "epochs": 5, "below": None, "quick": False, "features": "all"}
    ]
    assert type(got[0]["epochs"]) is int and type(got[0]["dropout"]) is float


def test_a_list_may_stand_where_a_text_is_the_default(shown):
    got = []
    root = form(shown, got.append)
    control(root, "features").value = '["degree", "career"]'
    control(root, "below").value = "0.3"
    control(root, "Start · 시작").click()
    assert got[0]["features"] == ["degree", "career"] and got[0]["below"] == 0.3


def test_another_choice_brings_its_own_fields(shown):
    got = []
    root = form(shown, got.append)
    control(root, "epochs").value = 9
    control(root, "model").value = "large"
    assert {"layers", "width", "epochs"} <= {getattr(one, "description", "") for one in every(root)}
    assert control(root, "layers").value == "[200]" and "dropout" not in {getattr(one, "description", "") for one in every(root)}
    control(root, "Start · 시작").click()
    assert got == [{"model": "large", "layers": [200], "width": 7, "epochs": 3, "below": None, "quick": True, "features": "all"}]


def test_controls_of_another_choice_do_not_pile_up(shown):
    root = form(shown)
    old = control(root, "dropout")
    control(root, "model").value = "large"
    assert old.comm is None  # closed


def test_a_choice_that_does_not_fit_is_a_line_until_another_is_made(shown):
    def picky(model):
        if model == "large":
            raise ValueError("learning_rate must be at least min_learning_rate")
        return groups(model)

    got = []
    settings_form(picky, got.append, choice=CHOICE, instead="x")
    root, start = shown[0], control(shown[0], "Start · 시작")
    control(root, "model").value = "large"
    assert "at least min_learning_rate" in text_of(root) and start.disabled
    control(root, "model").value = "small"
    assert "at least" not in text_of(root) and not start.disabled and control(root, "layers").value == "[64, 32]"
    start.click()
    assert got[0]["model"] == "small"


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("layers", "[16, 8", r"layers: &#x27;\[16, 8&#x27; cannot be read; write it as in \[64, 32\]"),
        ("below", "half", "below: &#x27;half&#x27; cannot be read; write it as in None"),
        ("features", "[degree]", r"features: &#x27;\[degree\]&#x27; cannot be read; write it as in \[&quot;one&quot;, &quot;two&quot;\]"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_starts_nothing(shown, capsys, name, typed, message):
    got = []
    root = form(shown, got.append)
    control(root, name).value = typed
    control(root, "Start · 시작").click()
    assert re.search(message, text_of(root)) and not got
    assert "Traceback" not in "".join(capsys.readouterr())
    control(root, name).value = "[1]"
    control(root, "Start · 시작").click()
    assert len(got) == 1 and "cannot be read" not in text_of(root)


def test_a_value_error_of_the_work_is_a_line_and_the_button_comes_back(shown):
    def start(values):
        assert control(root, "Start · 시작").disabled and "실행 중" in text_of(root)
        raise ValueError("no <model> 'x';\n   did you mean 'y'?")

    root = form(shown, start)
    control(root, "Start · 시작").click()
    assert "no &lt;model&gt; &#x27;x&#x27;; did you mean &#x27;y&#x27;?" in text_of(root)
    assert not control(root, "Start · 시작").disabled


def test_a_fault_is_not_swept_away(shown):
    def start(values):
        raise KeyError("a fault of ours")

    root = form(shown, start)
    with pytest.raises(KeyError, match="a fault of ours"):  # without a kernel it rises; in a notebook Output shows the traceback
        module._shown(lambda: start({}), control(root, "Start · 시작"), ipywidgets.HTML(), ipywidgets.Output())
    assert not control(root, "Start · 시작").disabled


def test_what_is_printed_while_it_runs_is_caught_by_the_output(shown):
    entered = []

    class Output(ipywidgets.Output):
        def __enter__(self):
            entered.append("in")
            return super().__enter__()

        def __exit__(self, *error):
            entered.append("out")
            return super().__exit__(*error)

    output = Output()
    module._shown(lambda: entered.append("work"), ipywidgets.Button(), ipywidgets.HTML(), output)
    assert entered[-3:] == ["in", "work", "out"]


def test_help_and_headings_are_shown_as_text(shown):
    root = form(shown)
    assert "how &lt;long&gt;" in text_of(root) and "<b>Training</b>" in text_of(root) and "which one" in text_of(root)


def test_two_fields_of_one_name_are_refused(shown):
    with pytest.raises(ValueError, match="two fields share a name: epochs"):
        settings_form(lambda _: {"a": [Field("epochs", 1)], "b": [Field("epochs", 2)]}, print, choice=CHOICE, instead="x")


def test_only_controls_that_colab_has_too(shown):
    root = form(shown)
    explorer(["a"], print, instead="explain()")
    kinds = {type(one).__name__ for box in shown for one in every(box)}
    assert kinds <= CORE and {"Dropdown", "IntText", "FloatText", "Text", "Checkbox", "Output"} <= kinds
    assert root is shown[0]


# ---- the explorer


def test_the_explorer_shows_who_is_typed(shown):
    asked = []
    explorer(["u1", "u2"], asked.append, instead="explain()")
    assert not asked
    root = shown[0]
    control(root, "Show · 보기").click()
    control(root, "user id · 사용자").value = "  u9 "
    control(root, "Show · 보기").click()
    assert asked == ["u1", "u9"]


def test_an_example_is_shown_at_once(shown):
    asked = []
    explorer([3, 4], asked.append, instead="explain()")
    control(shown[0], "examples · 예시").value = "4"
    assert asked == ["4"] and control(shown[0], "user id · 사용자").value == "4"
    control(shown[0], "examples · 예시").value = ""  # "choose" is nobody
    assert asked == ["4"] and control(shown[0], "user id · 사용자").value == "4"
    control(shown[0], "examples · 예시").value = "3"  # the first one can be chosen too
    assert asked == ["4", "3"]


def test_an_unknown_user_is_one_line(shown):
    def show(user):
        raise ValueError(f"no user {user!r}; did you mean 'u1'?")

    explorer(["u1"], show, instead="explain()")
    control(shown[0], "user id · 사용자").value = "q"
    control(shown[0], "Show · 보기").click()
    assert "did you mean &#x27;u1&#x27;?" in text_of(shown[0])


def test_of_many_users_twenty_are_examples(shown):
    explorer(range(1000), print, instead="explain()")
    options = control(shown[0], "examples · 예시").options
    assert len(options) == 1 + 20 and options[1] == ("0", "0") and options[-1] == ("950", "950")
    explorer([], print, instead="explain()")  # nobody to choose from: the field alone


# ---- where nothing is drawn


def test_a_batch_draws_and_prints_nothing(shown, monkeypatch, capsys):
    monkeypatch.setenv("RECSYS_BATCH", "1")
    assert settings_form(groups, print, choice=CHOICE, instead="train_run()") is None
    assert explorer(["u1"], print, instead="explain()") is None
    assert not shown and "".join(capsys.readouterr()) == ""


def test_without_ipywidgets_one_line_says_what_does_the_same(shown, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    settings_form(groups, print, choice=CHOICE, instead="train_run()")
    explorer(["u1"], print, instead="explain()")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "train_run()" in lines[0] and "explain()" in lines[1] and not shown
