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
# # 2 · Train one model · 모델 하나를 학습하기
#
# Which model, with which settings, and did it learn or learn by heart? Everything is chosen by validation; the test part
# is not touched here. Each execution leaves one run folder.
#
# 어떤 모델을 어떤 설정으로 학습했고, 제대로 배웠는지 아니면 외웠는지를 봅니다. 모든 선택은 검증 데이터로 하며
# 테스트 데이터는 여기서 쓰지 않습니다. 한 번 실행할 때마다 실행 폴더가 하나 남습니다.

# %% tags=["parameters"]
DATA_DIR = ""  # folder of the CSVs; empty: csv/ of the shared folder (empty too: the synthetic sample)
OUT_DIR = ""  # runs/ goes below it; empty: the shared folder
SEED = 7  # of the split, the first weights, the negatives and the dropout
SPLIT = "leave_one_out_random"  # or leave_one_out_last, leave_10_out_random, fraction, temporal, fold_1_of_5, user_holdout ...
K = 5  # length of the lists; recall@K on validation chooses the best epoch
MODEL = "neumf"  # a name of the table below
MODEL_CONFIG = {}  # options of the model, e.g. {"layers": [128, 64, 32], "dropout": 0.2}
TRAIN_CONFIG = {}  # settings of the training, e.g. {"learning_rate": 0.001, "epochs": 50}
RESUME = True  # go on with your own run of these very settings that was cut off, where there is one
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

from recsys_lib import (
    Evaluator,
    Trainer,
    build_model,
    cut_offs,
    finish_training,
    fit_recall,
    make_split,
    model_options,
    open_training,
    read_dataset,
    train_config,
    train_options,
    training_form,
)
from recsys_lib.display.fonts import keep_hangul

pd.set_option("display.max_colwidth", None, "display.precision", 4)
parameters = {name: globals()[name] for name in ("SEED", "SPLIT", "K", "MODEL", "MODEL_CONFIG", "TRAIN_CONFIG")}

# %% [markdown]
# ## The data and its split · 데이터와 분할
#
# If the held-out part is lopsided against train, a score on it speaks for another kind of rows.
#
# 따로 떼어 둔 부분이 학습 데이터와 다르게 치우쳐 있으면, 그 점수는 다른 종류의 데이터에 대한 점수입니다.

# %%
keep_hangul()  # in figures of your own too, whatever theme they use
dataset = read_dataset(ws.data_dir)
split = make_split(SPLIT, dataset.interactions, seed=SEED)
print(dataset.title, "|", dataset.interactions, "|", split.verdict())
split.describe()

# %% [markdown]
# ## The model and its options · 모델과 설정
#
# Every option, its default and what is used now. A misspelt name is an error, not a silent default.
#
# 모든 설정의 기본값과 지금 쓰는 값입니다. 이름을 잘못 쓰면 조용히 무시하지 않고 오류로 알려 줍니다.

# %%
model = build_model(MODEL, dataset.catalogue, seed=SEED, **MODEL_CONFIG)
config = train_config(MODEL, **{"monitor": f"recall@{K}", "seed": SEED} | TRAIN_CONFIG)
display(model_options(model), train_options(config) if model.needs_training else "a closed form: nothing to train")

# %% [markdown]
# ## Training · 학습
#
# The learning rate falls when recall on validation stands still; at its floor, training ends and says so.
#
# 검증 recall이 멈추면 학습률이 내려가고, 하한에 닿으면 학습을 끝내고 그 이유를 알려 줍니다.

# %%
run = open_training(ws, dataset, split, model=model, config=config, parameters=parameters, run_dir=RUN_DIR, resume=RESUME)
ks = cut_offs(K, split.train.n_items)
validate = Evaluator(split.validation, seen=split.known_before_validation, ks=ks).evaluate
record = Trainer(config, run).fit(model, split.train, validate)
print(record.verdict)
print(f"{record.seconds_training:.1f} s in training, {record.seconds_evaluation:.1f} s in evaluation")

# %% [markdown]
# ## What it reached on validation · 검증 결과
#
# Full catalogue, train rows masked; 95 % intervals over users. The last column is recall over the full training matrix without
# a split: nothing masked, the answers were shown to the model. It says whether anything was learned, nothing of new rows.
#
# 전체 아이템 중 순위, 학습 데이터는 제외, 사용자 기준 95 % 구간입니다. 마지막 열은 분할 없이 학습 행렬 전체로 잰 recall로,
# 모델이 이미 본 답이므로 검증이 아닙니다. 무언가를 배웠는지만 알려 줍니다.

# %%
memory = fit_recall(model, split.train, ks=ks)
record.report.table().assign(**{memory.kind: memory.table()["mean"]})

# %% [markdown]
# ## Does recall follow the loss? Which loss to aim at? · 로스가 내려가면 recall도 오르나? 목표 로스는?
#
# The curves and the path of recall over loss; both are kept in the run folder. · 두 그림은 실행 폴더에 저장됩니다.

# %%
figures = finish_training(
    run, model, record, dataset=dataset, split=split, config=config, seed=SEED, parameters=parameters
)
display(*figures)

# %%
print(run.said_at_the_end())

# %% [markdown]
# ## Rather click? · 코드 대신 눌러서 설정하기
#
# The same settings as a form; Start trains one run and leaves its folder. · 같은 설정을 화면에서 바꾸고 시작 버튼을 누르면 실행 하나가 남습니다.

# %%
training_form(dataset, split, ws, seed=SEED, k=K, parameters=parameters)
