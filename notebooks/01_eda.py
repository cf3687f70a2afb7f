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
# Ten questions a recommender team asks before it trains anything, a picture or two each. A picture is drawn once and kept
# in `eda_outputs/`; it is drawn again only if its data, its drawing code or a parameter changed.
#
# 학습 전에 추천 팀이 확인하는 열 가지 질문과 그림입니다. 그림은 한 번만 그려 `eda_outputs/`에 보관하고,
# 데이터·코드·설정이 바뀐 그림만 다시 그립니다. 한국어 그림: `LANGUAGE = "ko"`.

# %% tags=["parameters"]
DATA_DIR = ""  # folder of the CSVs; empty: csv/ of the shared folder (empty too: the synthetic sample)
OUT_DIR = ""  # eda_outputs/ goes below it; empty: the shared folder
SEED = 7  # of the split, of users drawn, and of the deals that tell what chance gives
SPLIT = "leave_one_out_random"  # or leave_one_out_last, leave_10_out_random, fraction, temporal, fold_1_of_5, user_holdout ...
K = 5  # length of the lists
PAIR = []  # [user feature, item feature] seen in detail; empty: degree and education, else the clearest pair
LANGUAGE = "en"  # of the pictures: en or ko
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
import pandas as pd

from recsys_lib.data.splits import split_named
from recsys_lib.display.fonts import keep_hangul
from recsys_lib.eda import figures
from recsys_lib.eda.gallery import Gallery

split_named(SPLIT)  # a misspelt one is told now, not at the last picture
keep_hangul()  # in figures of your own too, whatever theme they use
pd.set_option("display.max_colwidth", None)
gallery = Gallery(ws.data_dir, ws.eda_dir, language=LANGUAGE, redraw=REDRAW)
show = gallery.show  # reads the data only if a picture must be drawn
gallery.describe()

# %% [markdown]
# ## 1 How long are histories, how popular are items? · 이력의 길이와 아이템의 인기
#
# The flatter the curve, the less a popularity list can do; whatever a model reaches later is to be read against
# these two bars.
#
# 곡선이 완만할수록 인기 순 추천으로는 맞히기 어렵습니다. 이후 모든 모델의 점수는 오른쪽 두 막대와 비교해 읽습니다.

# %%
show("01_histories", figures.histories_and_popularity, k=K)

# %% [markdown]
# ## 2 How dense is it, and what would a k-core leave? · 얼마나 촘촘하고, k-core에는 무엇이 남나
#
# Papers often report on a 5-core; what it leaves out is what a contest asks for all the same.
#
# 논문은 5-core로 평가하는 일이 많지만, 대회에서는 거기서 빠지는 사용자도 채점합니다.

# %%
show("02_density", figures.density)

# %% [markdown]
# ## 3 What competes with what, and how many factors are worth having? · 무엇이 무엇과 경쟁하고, 요인은 몇 개면 되나
#
# A user with few neighbours leaves a kNN nothing to work with; one who has nearly everybody for a neighbour leaves it no
# choice. The second picture says where the number of factors (`embedding_size`, the width of an autoencoder) stops paying.
#
# 이웃이 너무 적으면 kNN이 쓸 정보가 없고, 거의 모두가 이웃이면 가려낼 수 없습니다. 두 번째 그림은 요인 수(임베딩 차원,
# 오토인코더의 너비)를 어디까지 늘릴 가치가 있는지 보여 줍니다.

# %%
show("03_competition", figures.competition, seed=SEED)

# %%
show("03_factors", figures.factors, k=K, seed=SEED)

# %% [markdown]
# ## 4 Which features of users go with which features of items? · 어떤 특성끼리 관련이 있나
#
# A cell counts only if it stands above what chance gives in any of the cells. Below, one pair in detail: lift is how many
# times as often as independence would give.
#
# 어느 칸에서든 우연히 나올 수 있는 수준을 넘는 칸만 의미가 있습니다. 아래는 한 쌍을 자세히 본 것으로, 리프트는 두 특성이
# 무관할 때보다 몇 배 자주 선택되는지를 뜻합니다.

# %%
show("04_association", figures.association, seed=SEED)

# %%
show("04_lift", figures.lift, pair=PAIR, preferred=["degree", "education"], seed=SEED)

# %% [markdown]
# ## 5 Which features tell something about the choice? · 어떤 특성이 선택을 설명하나
#
# The indicator to look at before any training: how many bits a feature tells about what is chosen, beyond popularity.
# A hollow point is a feature that tells no more than chance; leave it out first.
#
# 학습 전에 보는 지표입니다: 특성이 인기도에 더해 선택에 대해 몇 비트를 알려 주는가. 속이 빈 점은 우연보다 나을 것이 없는
# 특성이므로 먼저 빼 볼 만합니다.

# %%
show("05_information", figures.information, seed=SEED)

# %% [markdown]
# ## 6 What does free text say? · 자유 텍스트는 무엇을 말하나
#
# One certificate has many spellings; below, the words that separate what is chosen.
#
# 자격증 하나가 여러 가지로 적혀 있습니다. 아래는 선택을 가르는 말입니다.

# %%
show("06_spelling", figures.spelling)

# %%
show("06_words", figures.telling_words, seed=SEED)

# %% [markdown]
# ## 7 Which columns say little? · 말해 주는 것이 적은 열
#
# A salary of 0 is no salary: such zeros are read as missing values by the features.
#
# 연봉 0은 연봉이 아닙니다. 특성을 만들 때 이런 0은 결측값으로 읽습니다.

# %%
show("07_columns", figures.column_quality)

# %% [markdown]
# ## 8 When did it happen? · 언제 일어난 일인가
#
# With timestamps: arrivals, how long items live, and what a temporal holdout would meet that training has never seen.
#
# 시각이 있으면 유입, 아이템 수명, 그리고 시간 분할이 학습 때 보지 못한 사용자와 아이템을 얼마나 만나는지 봅니다.

# %%
show("08_time", figures.time)

# %% [markdown]
# ## 9 Cold start: who has little or no history? · 콜드 스타트
#
# The orange bars are where ids alone cannot learn, and where features or popularity have to serve.
#
# 주황색 막대는 아이디만으로 학습하기 어려운 구간으로, 특성이나 인기 순 추천이 필요합니다.

# %%
show("09_cold_start", figures.cold_start)

# %% [markdown]
# ## 10 Is the split lopsided? · 분할이 한쪽으로 치우쳤나
#
# If the curves lie on one another, a score on the held-out part speaks for the whole.
#
# 곡선이 겹치면 평가 점수를 전체에 대한 점수로 믿을 수 있습니다.

# %%
show("10_split", figures.split_side_by_side, split=SPLIT, seed=SEED)

# %% [markdown]
# ## A picture of your own · 나만의 그림
#
# A function that takes the data set and returns a `Plot` is drawn once like the others; `gallery.dataset` is the data.
# What it takes from outside its own text must be a parameter of `show`.
#
# 데이터를 받아 `Plot`을 돌려주는 함수도 똑같이 한 번만 그립니다. 데이터는 `gallery.dataset`에 있습니다.
# 함수 밖의 값은 `show`의 인자로 넘겨야 합니다.
#
# ```python
# from recsys_lib.display.plots import Plot, theme
#
# def careers(dataset):
#     years = dataset.tables["resume"]["career_month"] / 12
#     plot = Plot(f"Half the résumés have {years.median():.1f} years of work or more", footer=f"{len(years):,} résumés")
#     with theme():
#         plot.subplots().hist(years, bins=40)
#     return plot
#
# show("11_careers", careers)
# ```

# %%
gallery
