# ---
# jupyter:
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
# # 1 · What is in the data? · 데이터에는 무엇이 있나
#
# Five questions a recommender team asks before it trains anything, a picture each. A picture is drawn once and kept in
# `eda_outputs/`; it is drawn again only if the data, the drawing code or a parameter changed.
#
# 학습 전에 추천 팀이 확인하는 다섯 가지 질문과 그림입니다. 그림은 한 번만 그려 `eda_outputs/`에 보관하고,
# 데이터·코드·설정이 바뀐 그림만 다시 그립니다.

# %% tags=["parameters"]
DATA_DIR = ""  # folder of the CSVs; empty: csv/ of the shared folder (empty too: the synthetic sample)
OUT_DIR = ""  # eda_outputs/ goes below it; empty: the shared folder
SEED = 7  # of the split, and of the deals that tell what chance gives
SPLIT = "leave_one_out_random"  # or leave_one_out_last, leave_10_out_random, fraction, temporal, fold_1_of_5, user_holdout ...
K = 5  # length of the lists
PAIR = []  # [user feature, item feature] of figure 3; empty: degree and education, else the clearest pair
REDRAW = False  # draw every picture again

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

# %% [markdown]
# ## The data set · 데이터
#
# What was read, merged and repaired. · 무엇을 읽고, 합치고, 고쳤는지 보여 줍니다.

# %%
from functools import partial

import pandas as pd

from recsys_lib.data.splits import make_split
from recsys_lib.datasets import read_dataset
from recsys_lib.display.fonts import keep_hangul
from recsys_lib.eda import figures
from recsys_lib.eda.gallery import Gallery

keep_hangul()  # in figures of your own too, whatever theme they use
dataset = read_dataset(ws.data_dir)
gallery = Gallery(ws.eda_dir / dataset.name, title=dataset.title)
show = partial(gallery.show, sources=dataset.sources, redraw=REDRAW)
pd.set_option("display.max_colwidth", None)
dataset.describe()

# %% [markdown]
# ## 1 How long are histories, how popular are items? · 이력의 길이와 아이템의 인기
#
# The flatter the curve, the less a popularity list can do; whatever a model reaches later is to be read against
# these two bars.
#
# 곡선이 완만할수록 인기 순 추천으로는 맞히기 어렵습니다. 이후 모든 모델의 점수는 오른쪽 두 막대와 비교해 읽습니다.

# %%
show("1_histories_and_popularity", partial(figures.histories_and_popularity, dataset, k=K), parameters={"k": K})

# %% [markdown]
# ## 2 Which features of users go with which features of items? · 어떤 특성끼리 관련이 있나
#
# A cell counts only if it stands above what chance gives; a feature whose whole row is grey is unlikely to help by itself.
#
# 우연히 나올 수 있는 수준을 넘는 칸만 의미가 있습니다. 한 줄 전체가 회색인 특성은 그것만으로는 도움이 되기 어렵습니다.

# %%
show("2_association", partial(figures.association, dataset, seed=SEED), parameters={"seed": SEED})

# %% [markdown]
# ## 3 One pair in detail: degree and required education · 한 쌍을 자세히: 학력과 요구 학력
#
# Lift is how many times as often as independence would give; data without these two features shows its clearest pair.
#
# 리프트는 두 특성이 무관할 때보다 몇 배 자주 선택되는지를 뜻합니다. 두 특성이 없는 데이터에서는 가장 뚜렷한 쌍을 보여 줍니다.

# %%
pair = PAIR or figures.pair_if_there(dataset, "degree", "education")
show("3_lift", partial(figures.lift, dataset, pair=pair, seed=SEED), parameters={"pair": pair, "seed": SEED})

# %% [markdown]
# ## 4 Cold start: who has little or no history? · 콜드 스타트
#
# The orange bars are where ids alone cannot learn, and where features or popularity have to serve.
#
# 주황색 막대는 아이디만으로 학습하기 어려운 구간으로, 특성이나 인기 순 추천이 필요합니다.

# %%
show("4_cold_start", partial(figures.cold_start, dataset))

# %% [markdown]
# ## 5 Is the split lopsided? · 분할이 한쪽으로 치우쳤나
#
# If the curves lie on one another, a score on the held-out part speaks for the whole.
#
# 곡선이 겹치면 평가 점수를 전체에 대한 점수로 믿을 수 있습니다.

# %%
show(
    "5_split_side_by_side",
    lambda: figures.split_side_by_side(dataset, make_split(SPLIT, dataset.interactions, seed=SEED)),
    parameters={"split": SPLIT, "seed": SEED},
)

# %%
gallery
