# ---
# jupyter:
#   accelerator: GPU
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Which model is best, and the submission · 어느 모델이 가장 좋은가, 그리고 제출 파일
#
# The test part judges models that validation has chosen. Then the best one is fitted again on every row and writes the file.
#
# 검증으로 고른 모델들을 테스트 데이터로 평가합니다. 그다음 가장 좋은 모델을 모든 데이터로 다시 학습해 제출 파일을 만듭니다.

# %% tags=["parameters"]
DATA_DIR = ""  # folder of the CSVs; empty: csv/ of the shared folder (empty too: the synthetic sample)
OUT_DIR = ""  # where runs/ is; empty: the shared folder
SEED = 7  # of the split: the one that the models were trained with
SPLIT = "leave_one_out_random"  # likewise
K = 5  # length of the lists
RUNS = []  # names of run folders; empty: the newest finished training of every model on this data and split
BLEND = False  # also weigh their lists against one another; a blend that is best on validation is what gets submitted
FEATURE_MINUTES = 0  # minutes to find out which features help, and for whom; 0: do not ask
FEATURE_MODEL = "ease"  # whose features: ease is quick; neumf and multi_dae are trained several times for each feature
SUBMIT = True  # refit the best model on every row and write submission.csv
COMPARE_WITH = ""  # an earlier submission, a run's name or a file: say what changed since; empty: do not compare
RUN_DIR = ""  # the run folder that a batch made; empty: a new one

# %%
import os
import sys
from glob import escape, glob

root, drive_root = os.environ.get("RECSYS_ROOT", ""), os.path.join(os.environ.get("RECSYS_CONTENT", "/content"), "drive")
if "google.colab" in sys.modules and (not root or root.startswith(drive_root)) and not os.path.isdir(f"{drive_root}/MyDrive"):
    from google.colab import drive

    try:
        drive.mount(drive_root)
    except Exception as error:  # once more by force; Colab's own message says the rest
        print(f"{error}. 'credential': allow the pop-up and cookies, choose this session's account. 'timeout': too many files at the top of My "
              "Drive. In VS Code: update its Colab extension. | 팝업을 허용하고 이 세션과 같은 계정 선택 · 시간 초과: 내 드라이브 최상위 파일이 너무 많음")
        drive.mount(drive_root, force_remount=True)
places = [escape(root) or ".", "..", "../../..", f"{drive_root}/*/*", f"{drive_root}/*/*/*"]
found = [os.path.dirname(os.path.abspath(path)) for place in places for path in glob(f"{place}/colab_bootstrap.py")]
if not found:
    raise FileNotFoundError(
        "The team's folder is not in this Drive. drive.google.com > Shared with me > right-click it > Organise > Add shortcut > My Drive.\n"
        "drive.google.com > 공유 문서함 > 팀 폴더 오른쪽 클릭 > 정리 > 바로가기 추가 > 내 드라이브. 그다음 이 셀을 다시 실행해 주세요.")
sys.path[:0] = found[:1]

from colab_bootstrap import bootstrap

ws = bootstrap(DATA_DIR, OUT_DIR)

# %%
import pandas as pd

from recsys_lib import RunFolder, blend_runs, board_of, compare_runs, compare_submissions, feature_worth, finish_evaluation
from recsys_lib import keep_evaluation, load_model, log_submission, make_split, read_dataset, recommend, refit, runs_to_compare
from recsys_lib import submission_file, template_of, user_explorer, write_submission
from recsys_lib.display.fonts import keep_hangul

names = "SEED SPLIT K RUNS BLEND FEATURE_MINUTES FEATURE_MODEL SUBMIT COMPARE_WITH".split()
parameters = {name: globals()[name] for name in names}

# %% [markdown]
# ## The runs · 비교할 실행
#
# Only runs on the same rows and the same split stand in one table. · 같은 데이터와 같은 분할로 학습한 실행만 한 표에 놓습니다.

# %%
pd.set_option("display.max_colwidth", None, "display.precision", 4)
keep_hangul()  # in figures of your own too, whatever theme they use
dataset = read_dataset(ws.data_dir)
split = make_split(SPLIT, dataset.interactions, seed=SEED)
runs = runs_to_compare(ws.runs_dirs, dataset, split, RUNS)
earlier = submission_file(COMPARE_WITH, ws.runs_dirs, dataset, K) if COMPARE_WITH and SUBMIT else None
print(dataset.title, *(run.name for run in runs), sep="\n")

# %% [markdown]
# ## A blend of them · 여러 모델을 섞기
#
# Models that err differently are better together. The weights are found on validation and judged there on users who did not choose
# them; where the gain is inside the noise it says so. The blend is a run like any other. To blend, set `BLEND = True` above.
#
# 서로 다르게 틀리는 모델은 섞으면 더 좋아집니다. 가중치는 검증 데이터에서 찾고, 그 가중치를 고르지 않은 사용자로 평가합니다. 이득이 오차
# 범위 안이면 그렇다고 알려 줍니다. 위에서 `BLEND = True`로 정하면 실행됩니다.

# %%
if BLEND:
    blended = blend_runs(
        runs, dataset, split, metric=f"recall@{K}", runs_dir=ws.runs_dir, member=ws.member, publish_to=ws.publish_to
    )
    runs = [*(run for run in runs if run.model != "blend"), blended.run]
    print(blended.sentence(), blended.run.said_at_the_end(), sep="\n")
    display(blended.table())

# %% [markdown]
# ## One table · 하나의 표
#
# Every user, the whole catalogue, everything known masked. · 모든 사용자, 전체 아이템, 이미 아는 아이템은 제외합니다.

# %%
comparison = compare_runs(runs, dataset, split, metric=f"recall@{K}")
print(comparison.caption)
comparison.table()

# %% [markdown]
# ## Is it more than luck? · 우연이 아닌 차이인가?
#
# Every pair of models, the better one first, paired over the users; intervals and p hold for all pairs at once. By group of users or
# items: `comparison.differences("activity")`, `"popularity"`, `"slice"`.
#
# 모든 모델 쌍을 같은 사용자끼리 비교합니다(앞이 더 좋은 모델). 신뢰 구간과 p 값은 비교 횟수를 반영해 보정했습니다. 사용자나 아이템 그룹별로는
# `comparison.differences("activity")`처럼 봅니다.

# %%
if len(runs) > 1:
    display(comparison.differences()[["model", "other", "difference", "low", "high", "p", "effect_size", "verdict"]])

# %% [markdown]
# ## For whom, and for which items? · 어떤 사용자, 어떤 아이템에 강한가?
#
# A model that leads on average may lose among the quiet users or the rare items. Warm: users with three rows or more; sparse: one
# or two; cold users: none; cold items: chosen by nobody before, whoever asks. Models whose lists share little are worth blending.
#
# 평균이 높아도 활동이 적은 사용자나 드문 아이템에는 약할 수 있습니다. warm은 이력이 3개 이상, sparse는 1~2개, cold users는 이력이
# 없는 사용자이고, cold items는 아무도 선택한 적이 없는 아이템입니다. 추천 목록이 적게 겹치는 모델끼리는 섞어 볼 만합니다.

# %%
run = RunFolder.open_or_create(RUN_DIR, ws.runs_dir, kind="evaluation", model="evaluation", member=ws.member, publish_to=ws.publish_to)
figures = keep_evaluation(run, comparison)
display(*figures.values(), comparison.by_slice())

# %% [markdown]
# ## Which features help, and whom? · 어떤 특성이, 누구에게 도움이 되나?
#
# The model is trained without each feature, and asked with its values dealt anew; a verdict needs more than luck. The rows that
# test holds out are not touched, and what the minutes did not allow is said. To ask, set `FEATURE_MINUTES` above, e.g. to 10.
#
# 특성을 하나씩 빼고 다시 학습하거나 값을 무작위로 섞어 물어봅니다. 우연을 넘는 차이만 판정하며 테스트 데이터는 쓰지 않고, 시간이
# 모자라 하지 못한 것도 알려 줍니다. 위의 `FEATURE_MINUTES`를 10처럼 정하면 실행됩니다.

# %%
if FEATURE_MINUTES:
    worth = feature_worth(FEATURE_MODEL, dataset, split=SPLIT, seed=SEED, minutes=FEATURE_MINUTES, k=K)
    worth.save(run.path / "feature_worth.json")
    print(f"{worth.headline()}.", *(f"Not asked: {line}" for line in worth.left_out), sep="\n")
    if worth.can_be_drawn:
        run.save_figure("feature_worth", worth.figure())
        display(worth.figure(), worth.verdicts()[["feature", "verdict", "sentence"]])

# %% [markdown]
# ## The submission · 제출 파일
#
# The model that was best on validation, with the same options, on every row. The file is checked before it exists: columns,
# users and their order, list lengths, unknown, duplicate and already chosen items.
#
# 검증에서 가장 좋았던 모델을 같은 설정으로 모든 데이터에 다시 학습합니다. 파일은 저장 전에 열, 사용자 순서, 개수, 중복,
# 이미 선택한 아이템까지 모두 검사합니다.

# %%
recommendations = None
if SUBMIT:
    template = template_of(dataset, K)
    final = refit(comparison.best, dataset)
    recommendations = recommend(final, dataset.interactions, users=template.users, k=template.k)
    path = run.path / "submission.csv"
    write_submission(recommendations, template, seen=dataset.interactions, catalogue=dataset.catalogue, path=path)
    print(f"{comparison.best.model} refitted on {len(dataset.interactions):,} rows; {len(recommendations):,} rows written")
    n_popular, n_by_features = (recommendations.attrs[name] for name in ("n_fallback", "n_newcomers"))
    print(f"of the users without history, {n_popular:,} got popular items and {n_by_features:,} what their features say")
    display(recommendations.head(template.k))

# %%
submission = "submission.csv" if SUBMIT else None
finish_evaluation(run, comparison, parameters=parameters, submission=submission, recommendations=recommendations)

# %%
print(run.said_at_the_end())

# %% [markdown]
# ## Why these? · 왜 이것을 추천했나?
#
# Type a user: the history, the recommendations, the nearest items and users behind each. · 사용자를 입력하면 이력, 추천, 그 근거가 된 비슷한 아이템과 사용자를 보여 줍니다.

# %%
user_explorer(final if SUBMIT else load_model(comparison.best, dataset, split), dataset, K)

# %% [markdown]
# ## What changed, and the leaderboard · 바뀐 점과 리더보드
#
# Before an upload is spent: for whom this file differs from an earlier one (`COMPARE_WITH` above). After it, write down what the
# leaderboard said, in a cell of your own; once four submissions have both scores, this says which split to trust.
#
# 제출하기 전에 이전 파일과 누구의 추천이 달라졌는지 봅니다(위의 `COMPARE_WITH`). 제출한 뒤에는 새 셀에 아래처럼 리더보드 점수를 적어 둡니다.
# 두 점수가 모두 있는 제출이 네 개가 되면 어떤 분할을 믿을지 알려 줍니다.
#
# `log_submission(team_runs, run, split=split.protocol, metric=f"recall@{K}", validation=comparison.validation,
# member=ws.member, public=0.1717)`

# %%
print(f"what validation said of {comparison.best.model}: recall@{K} {comparison.validation:.4f}")
team_runs = ws.publish_to or ws.runs_dir  # a view-only member writes in a folder of their own; both logs are read
board = board_of(*ws.runs_dirs)
print(board.sentence)
if len(board.log):
    display(board.figure())
if COMPARE_WITH:
    print(compare_submissions(earlier, path, dataset, ws.runs_dirs) if SUBMIT else "nothing to compare: SUBMIT is False")
