"""What the figures say, in Korean: the English text, as it stands in the figures, is the key.

A text may hold fields such as {k} or {share:.0f}; both languages have the same ones, which a test compares. Particles that
would change with the letter before them (은/는, 이/가) are avoided after a field.
"""

from __future__ import annotations

from collections.abc import Callable

LANGUAGES = ("en", "ko")


def words(language: str) -> Callable[[str], str]:
    """text -> text in this language. Raises: ValueError for a language that there is not."""
    if language not in LANGUAGES:
        raise ValueError(f"figures speak {' and '.join(LANGUAGES)}; got LANGUAGE = {language!r}")
    return str if language == "en" else KOREAN.__getitem__


KOREAN = {
    # ---- shared
    "{title}: {n:,} interactions of {users:,} users and {items:,} items": "{title}: 사용자 {users:,}명, 아이템 {items:,}개, 상호작용 {n:,}건",
    "{name} has no interactions": "{name}: 상호작용이 없습니다",
    "{name} has no features of users": "{name}: 사용자 특성이 없습니다",
    "{name} has no features of items": "{name}: 아이템 특성이 없습니다",
    "users": "사용자",
    "items": "아이템",
    "interactions": "상호작용 수",
    "of the user": "· 사용자",
    "of the item": "· 아이템",
    "feature of the user": "사용자 특성",
    "feature of the item": "아이템 특성",
    "chance": "우연",
    "random": "무작위",
    "popularity": "인기 순",
    "none": "없음",
    "missing": "결측",
    "train": "train",
    "validation": "validation",
    "test": "test",
    # ---- histories
    "The {items:,} most popular items ({top:.0f} %) hold {share:.0f} % of the interactions (Gini {gini:.2f})":
        "인기 상위 {items:,}개({top:.0f} %) 아이템에 상호작용의 {share:.0f} %가 몰려 있습니다(지니 {gini:.2f})",
    "; a popularity list would reach recall@{k} {popularity}, a random one {random}": ". 인기 순 목록의 recall@{k} 기댓값 {popularity}, 무작위 목록 {random}",
    "; no user has two rows, so nothing can be held out": ". 두 건 이상인 사용자가 없어 숨길 행이 없습니다",
    " · recall: one row a user held out at random, all other items ranked, expectation over users with 2 or more rows":
        " · recall: 사용자마다 한 건을 무작위로 숨기고 나머지 모든 아이템의 순위를 매겼을 때의 기댓값(2건 이상인 사용자 평균)",
    "Histogram of history lengths (median {median:g}), curve of the share of interactions held by the most popular items, and "
    "recall@{k} of a random and of a popularity list.":
        "이력 길이 히스토그램(중앙값 {median:g}), 인기 아이템이 차지하는 상호작용 비율 곡선, 무작위 목록과 인기 순 목록의 recall@{k}.",
    "Histories": "이력의 길이",
    "interactions a user (log scale)": "사용자당 상호작용 수 (로그)",
    "users at each length": "길이별 사용자 수",
    "median {median:g}, longest {longest:,}": "중앙값 {median:g}, 최대 {longest:,}",
    "Popularity": "인기도",
    "top {top:g} % ({items:,} items): {share:.0f} %": "상위 {top:g} % ({items:,}개): {share:.0f} %",
    "% of items, most popular first": "아이템 % (인기 순)",
    "% of interactions": "상호작용 %",
    "Without learning": "학습 없이",
    # ---- density
    "{density} of the matrix is filled; nothing would be left of a {k}-core":
        "행렬의 {density}만 채워져 있고, {k}-core를 만들면 아무것도 남지 않습니다",
    "{density} of the matrix is filled; a {k}-core would leave {users:.0f} % of the users, {items:.0f} % of the items and "
    "{interactions:.0f} % of the interactions":
        "행렬의 {density}만 채워져 있고, {k}-core를 만들면 사용자 {users:.0f} %, 아이템 {items:.0f} %, 상호작용 {interactions:.0f} %가 남습니다",
    " · k-core: the largest part in which every user and every item has k interactions or more":
        " · k-core: 모든 사용자와 아이템의 상호작용이 k건 이상인 가장 큰 부분",
    "Heat map of the density of the matrix, and bars of what k-cores leave. {sentence}.":
        "행렬 밀도 히트맵과 k-core에서 남는 비율 막대. {sentence}.",
    "% of the pairs filled (log scale)": "채워진 쌍의 % (로그)",
    "Where the matrix is filled": "행렬에서 채워진 곳",
    "% of users, most active first": "사용자 % (활동이 많은 순)",
    "What a k-core leaves": "k-core에 남는 비율",
    "% left": "남는 %",
    # ---- competition
    "{one} and {other} compete most: {together:,} users chose both, where chance gives {expected}; half the users share an item "
    "with {median:,.0f} others or more ({share} of all users)":
        "{one}, {other} 두 아이템의 경쟁이 가장 심합니다: 함께 선택한 사용자 {together:,}명(우연이면 {expected}명). 사용자의 절반은 다른 사용자 "
        "{median:,.0f}명 이상(전체의 {share})과 아이템이 겹칩니다",
    "{name}: no two items were chosen together by 5 users or more": "{name}: 5명 이상이 함께 선택한 아이템 쌍이 없습니다",
    " · pairs chosen together by 5 users or more, sorted by the cosine damped by the mean count of an item, found among {looked:,} "
    "users; neighbours: of {n:,} users drawn, those with a cosine above 0":
        " · 5명 이상이 함께 선택한 쌍을 아이템 평균 빈도로 완화한 코사인 순으로 정렬(사용자 {looked:,}명 기준); 이웃: 무작위 사용자 {n:,}명에 "
        "대해 코사인이 0보다 큰 사용자 수",
    "Bars of the {n} closest pairs of items and a histogram of neighbours a user.":
        "가장 가까운 아이템 쌍 {n}개의 막대와 사용자당 이웃 수 히스토그램.",
    "{together:,} users, {expected} by chance": "{together:,}명 (우연이면 {expected}명)",
    "Items that the same users choose": "같은 사용자가 선택하는 아이템",
    "cosine of the two items' columns": "두 아이템 열의 코사인",
    "median {median:,.0f}": "중앙값 {median:,.0f}",
    "Neighbours of a user": "사용자의 이웃",
    "other users with an item in common": "아이템이 하나라도 겹치는 다른 사용자 수",
    "users drawn": "추출한 사용자 수",
    # ---- factors
    "{name} is too small for a spectrum": "{name}: 스펙트럼을 보기에는 데이터가 너무 작습니다",
    "{enough:.0f} factors are enough: {share:.0f} % of the best recall@{k}, {best} with {n:.0f}; {beyond} factors stand out from chance":
        "요인 {enough:.0f}개면 충분합니다: 최고 recall@{k}({n:.0f}개일 때 {best})의 {share:.0f} %. 우연보다 뚜렷한 요인은 {beyond}개입니다",
    "The best number of factors is {n:.0f}, with recall@{k} {best}; {beyond} factors stand out from chance":
        "가장 좋은 요인 수: {n:.0f}개(recall@{k} {best}). 우연보다 뚜렷한 요인은 {beyond}개입니다",
    " · singular values of the matrix with rows and columns divided by the roots of their damped counts; chance: one log whose rows have swapped "
    "their items; recall on one validation row each of {users:,} users, no training":
        " · 행과 열을 완화한 빈도의 제곱근으로 나눈 행렬의 특잇값; 우연: 행끼리 아이템을 맞바꾼 로그 하나; recall: 사용자 {users:,}명의 validation 한 "
        "건씩, 학습 없음",
    "; users drawn with about {n:,} interactions": "; 상호작용 약 {n:,}건만큼 사용자를 추출",
    "Curve of singular values beside those of chance, and recall@{k} by the number of factors.":
        "특잇값 곡선과 우연일 때의 곡선, 요인 수에 따른 recall@{k}.",
    "the data": "데이터",
    "chance: items swapped": "우연: 아이템을 맞바꿈",
    "The spectrum": "스펙트럼",
    "factor (log scale), popularity left out": "요인 (로그, 인기 요인 제외)",
    "singular value": "특잇값",
    "What so many factors recall": "요인 수에 따른 재현율",
    "factors, popularity among them (log scale)": "요인 수, 인기 요인 포함 (로그)",
    # ---- association and lift
    "Cramér's V": "크라메르 V",
    "correlation ratio η": "상관비 η",
    "{user} of the user and {item} of the item go together most clearly: {measure} {value:.3f}, where chance gives {chance:.3f}; "
    "{above} of {all} pairs stand above chance":
        "사용자의 {user} × 아이템의 {item} 관계가 가장 뚜렷합니다: {measure} {value:.3f}(우연이면 {chance:.3f}). {all}쌍 중 {above}쌍이 우연을 "
        "넘습니다",
    "None of {all} pairs of features stands above chance; the closest is {user} with {item}, {measure} {value:.3f}":
        "{all}쌍 중 우연을 넘는 특성 쌍이 없습니다. 가장 가까운 쌍은 {user} × {item}, {measure} {value:.3f}입니다",
    " · a cell: bias-corrected Cramér's V over interactions, η where one side is a number; in brackets the level that chance passes in no "
    "pair of all, in 95 of 100 deals ({shuffles} of the users, {shuffles} of the items); grey: not above; –: one label only":
        " · 칸: 상호작용에 대한 편향 보정 크라메르 V(한쪽이 숫자면 η); 괄호: 모든 쌍을 통틀어 우연이 100번 중 95번은 넘지 못하는 수준(사용자 "
        "{shuffles}회, 아이템 {shuffles}회 섞음); 회색: 그 이하; –: 값이 하나뿐",
    "; the weakest {n} user features are left out": "; 가장 약한 사용자 특성 {n}개는 생략",
    "; the weakest {n} item features are left out": "; 가장 약한 아이템 특성 {n}개는 생략",
    "Heat map of {rows} user features against {columns} item features. {sentence}.":
        "사용자 특성 {rows}개 × 아이템 특성 {columns}개 히트맵. {sentence}.",
    "no interaction has both {user} and {item}": "{user} · {item} 모두 있는 상호작용이 없습니다",
    "Users with {user} “{user_label}” choose items with {item} “{item_label}” {lift:.2f} times as often as chance would have it "
    "({count:,} times, {expected:,.0f} expected); over all, Cramér's V is {v:.3f}":
        "{user} “{user_label}” 사용자는 {item} “{item_label}” 아이템을 우연의 {lift:.2f}배만큼 선택합니다({count:,}건, 기댓값 "
        "{expected:,.0f}건). 전체 크라메르 V: {v:.3f}",
    "{name} has no feature with two values": "{name}: 값이 둘 이상인 특성이 없습니다",
    "No label of {user} goes with a label of {item} more or less often than chance would have it; over all, Cramér's V is {v:.3f}":
        "{user} × {item}: 우연보다 자주 또는 드물게 만나는 값이 없습니다. 전체 크라메르 V: {v:.3f}",
    "; {said} labels of {name} that deviate most": "; {name} 값은 가장 많이 벗어난 {said}개만",
    "{title}: {pairs:,} pairs of labels in {n:,} interactions · a cell: lift (1 is independence), below it the count; in brackets the row's "
    "total; grey: fewer than {enough} expected in the cell or beside it, or within {beyond} deviations of independence":
        "{title}: 상호작용 {n:,}건의 값 쌍 {pairs:,}개 · 칸: 리프트(1이면 독립), 아래는 건수; 괄호: 행 합계; 회색: 칸이나 그 옆의 기댓값이 "
        "{enough} 미만이거나 독립에서 표준편차 {beyond}배 이내",
    "Heat map of lift, {user} of the user against {item} of the item. {sentence}.": "리프트 히트맵: 사용자의 {user} × 아이템의 {item}. {sentence}.",
    "{name} of the item": "아이템의 {name}",
    "{name} of the user": "사용자의 {name}",
    # ---- information
    "{name} has no features": "{name}: 특성이 없습니다",
    "{feature} {side} tells most, {bits} bits a choice beyond popularity, which makes what is chosen {times:.2f} times as likely; {n} of "
    "{all} features tell more than chance":
        "선택을 가장 잘 설명하는 특성: {feature} {side}, 인기도보다 선택당 {bits}비트(선택한 아이템의 확률이 {times:.2f}배). {all}개 중 {n}개가 "
        "우연을 넘습니다",
    "None of {all} features tells more about the choice than popularity and chance": "특성 {all}개 중 인기도와 우연보다 선택을 더 설명하는 것이 없습니다",
    " · gain in foreseeing the chosen item, measured on {rows:,} rows of {users:,} users, none of them counted for itself; lines: 95 % "
    "intervals, clustered by user; bars of chance: {shuffles} deals of the feature, corrected for looking at many features; each feature "
    "judged alone":
        " · 선택한 아이템을 예측하는 정보 이득, 사용자 {users:,}명의 {rows:,}건(자기 자신은 세지 않음); 선: 사용자 단위 95 % 구간; 우연 막대: "
        "특성을 {shuffles}회 섞음, 여러 특성을 본 만큼 보정; 특성마다 따로 평가",
    "; left out: the {n} that tell least": "; 가장 약한 {n}개는 생략",
    "Dot plot of {n} features by the bits that they tell about the choice. {sentence}.": "특성 {n}개가 선택에 대해 주는 비트 점 그래프. {sentence}.",
    "bits a choice beyond popularity (log scale; filled: above chance)": "인기도 대비 선택당 비트 (로그; 채운 점: 우연보다 큼)",
    # ---- free text
    "{name} has no free text": "{name}: 자유 텍스트가 없습니다",
    "Normalising makes {labels:,} {feature} of {spellings:,} spellings; {share:.0f} % of their rows were spelt in a way that is not the commonest":
        "표기 {spellings:,}개를 정규화하면 {feature} {labels:,}개가 됩니다. 행의 {share:.0f} %는 가장 흔한 표기가 아니었습니다",
    "Nothing was spelt in two ways: {labels:,} {feature}, {spellings:,} spellings": "두 가지로 쓰인 말이 없습니다: {feature} {labels:,}개, 표기 {spellings:,}개",
    "rows of text: ": "텍스트 행: ",
    " · how a text was made comparable is said by the reader of these data": " · 정규화 방법은 이 데이터를 읽는 모듈에 있습니다",
    "Spellings and labels of {n} features of free text, with examples. {sentence}.": "자유 텍스트 특성 {n}개의 표기 수와 정규화 후 개수, 예시. {sentence}.",
    "spellings, as typed": "입력한 표기",
    "labels, after": "정규화 후",
    "distinct texts before and after": "서로 다른 텍스트 수, 정규화 전과 후",
    "{n} spellings, {rows:,} rows": "표기 {n}가지, {rows:,}건",
    "Spelt in most ways": "가장 여러 가지로 쓰인 말",
    "{name} has no words that separate choices more than chance would": "{name}: 우연보다 선택을 잘 가르는 단어가 없습니다",
    "“{word}” ({feature} {side}) separates best: {lift:.2f} times as often with {other} “{label}” as chance would have it ({count:,} times, "
    "{expected:,.0f} expected)":
        "선택을 가장 잘 가르는 말: “{word}” [{feature} {side}]. {other} “{label}” 항목을 우연보다 {lift:.2f}배 자주 만납니다({count:,}건, 기댓값 "
        "{expected:,.0f}건)",
    " · each word with the label that it goes with most clearly, the clearest first, at most {n} words a label; only what stands above chance "
    "in 95 of 100 deals of words and of labels ({shuffles} each)":
        " · 단어마다 가장 뚜렷한 상대 값, 뚜렷한 순, 값 하나에 단어 최대 {n}개; 단어와 값을 {shuffles}회씩 섞어 100번 중 95번 우연을 넘는 것만",
    "Bars of the lift of {n} words. {sentence}.": "단어 {n}개의 리프트 막대. {sentence}.",
    "word of the user": "사용자의 말",
    "word of the item": "아이템의 말",
    "{other} {label}: {lift:.2f} times ({count:,}, expected {expected:,.0f})": "{other} {label}: {lift:.2f}배 ({count:,}건, 기댓값 {expected:,.0f})",
    "times as often as if word and label were independent (1)": "단어와 값이 독립일 때(1)보다 몇 배 자주",
    # ---- columns
    "{name} has no tables beside the log": "{name}: 로그 밖의 표가 없습니다",
    "{n} {finding}": "{finding} {n}개",
    "{n} of {all} columns need a look: {said}": "열 {all}개 중 {n}개를 살펴봐야 합니다: {said}",
    "None of {all} columns is constant, mostly missing or odd": "열 {all}개 중 상수이거나 거의 비었거나 이상한 것이 없습니다",
    "rows: ": "행 수: ",
    " · far: beyond the quartiles by more than {fence} quartile distances; {n} columns without a finding are left out":
        " · 극단값: 사분위수에서 사분위 범위의 {fence}배 넘게 떨어진 값; 특이점이 없는 열 {n}개는 생략",
    "; {n} further ones with a finding": "; 특이점이 있는 열 {n}개 더 있음",
    "Stacked bars of missing values, zeros and the commonest value for {n} columns. {sentence}.":
        "열 {n}개의 결측, 0, 가장 흔한 값 비율 누적 막대. {sentence}.",
    "0 that stands apart": "동떨어진 0",
    "the commonest value": "가장 흔한 값",
    "all other values": "나머지 값",
    "% of the table's rows": "표의 행 중 %",
    "constant": "상수",
    "mostly missing": "대부분 결측",
    "nearly constant": "거의 상수",
    "zero means missing?": "0이 결측?",
    "far values": "극단값",
    "{n} value": "값 {n}개",
    "{missing:.0f} % missing": "{missing:.0f} % 결측",
    "one value in {top:.1f} %": "한 값이 {top:.1f} %",
    "0 in {zero:.0f} %": "0이 {zero:.0f} %",
    "{far:.1f} % far out": "{far:.1f} %가 범위 밖",
    # ---- time
    "A holdout of the last {share:.0f} % would meet users never seen before in {users} of its rows, and items in {items}; half the items live "
    "{days:,.0f} days or longer":
        "마지막 {share:.0f} %를 떼어 두면 처음 보는 사용자가 행의 {users}, 처음 보는 아이템이 {items}입니다. 아이템의 절반은 {days:,.0f}일 이상 "
        "선택됩니다",
    "Too many rows share the last moment for a temporal holdout; half the items live {days:,.0f} days or longer":
        "마지막 시각에 몰린 행이 너무 많아 시간 분할을 할 수 없습니다. 아이템의 절반은 {days:,.0f}일 이상 선택됩니다",
    " · from {first} to {end}; ": " · {first}–{end}; ",
    "the last {share:.0f} % cover {days:,.0f} days; ": "마지막 {share:.0f} %는 {days:,.0f}일에 걸침; ",
    "life: from the first to the last of {n:,} items' interactions": "수명: 아이템 {n:,}개의 첫 상호작용부터 마지막까지",
    "Arrivals over time, cumulative curve of item lives, and bars of unseen users and items in temporal holdouts. {sentence}.":
        "시간에 따른 유입, 아이템 수명 누적 곡선, 시간 분할에서 처음 보는 사용자와 아이템의 막대. {sentence}.",
    "Arrivals": "유입",
    "first to last": "첫 상호작용–마지막",
    "first to half of them": "첫 상호작용–절반",
    "Item life": "아이템 수명",
    "days": "일",
    "% of items at or below": "누적 아이템 %",
    "user unseen": "처음 보는 사용자",
    "item unseen": "처음 보는 아이템",
    "last {share:.0f} %": "마지막 {share:.0f} %",
    "Temporal holdout": "시간 분할",
    "% of the held-out rows": "떼어 둔 행의 %",
    "{name} has neither timestamps nor dates": "{name}: 시각도 날짜도 없습니다",
    "The log has no timestamps; the dates of {name} run from {first} to {end}, {share:.0f} % of them in the busiest {period}, from {busiest} on":
        "로그에 시각이 없습니다. {name} 날짜는 {first}부터 {end}까지이며, 가장 많은 {period}({busiest}부터)에 {share:.0f} %가 있습니다",
    "; {n} further columns of dates": "; 날짜 열 {n}개 더 있음",
    " · rows with a date: ": " · 날짜가 있는 행: ",
    " · item life and a temporal holdout need timestamps in the log": " · 아이템 수명과 시간 분할은 로그에 시각이 있어야 합니다",
    "Bars over time for {n} columns of dates. {sentence}.": "날짜 열 {n}개의 시간별 막대. {sentence}.",
    "day": "일", "week": "주", "month": "월", "quarter": "분기", "year": "년",
    "interactions a day": "하루 상호작용 수", "interactions a week": "주별 상호작용 수", "interactions a month": "월별 상호작용 수",
    "interactions a quarter": "분기별 상호작용 수", "interactions a year": "연도별 상호작용 수",
    "rows a day": "하루 행 수", "rows a week": "주별 행 수", "rows a month": "월별 행 수", "rows a quarter": "분기별 행 수", "rows a year": "연도별 행 수",
    # ---- cold start
    "At most 2 interactions: {users} of the users, {items} of the items": "상호작용 2건 이하: 사용자 {users}, 아이템 {items}",
    "; users without any: {users:,}, items: {items:,}": "; 하나도 없는 사용자 {users:,}명, 아이템 {items:,}개",
    " · without interactions only popularity or features can serve; orange: at most 2, of which a split takes away some":
        " · 상호작용이 없으면 인기 순이나 특성으로만 추천할 수 있음; 주황색: 2건 이하, 분할하면 여기서 더 줄어듦",
    "Two bar charts, users and items by their number of interactions. {sentence}.": "상호작용 수별 사용자와 아이템 막대. {sentence}.",
    "6 or more": "6 이상",
    "Users ({n:,})": "사용자 ({n:,}명)",
    "Items ({n:,})": "아이템 ({n:,}개)",
    "share of users": "사용자 비율",
    "share of items": "아이템 비율",
    # ---- a split
    "{name}: the split {split} holds nothing out": "{name}: 분할 {split}(으)로는 떼어 둘 행이 없습니다",
    "Lopsided: in {where}, {part} and train differ by up to {gap:.1f} points (chance alone: {chance:.1f})":
        "치우침: {where}에서 {part}, train 차이가 최대 {gap:.1f}점입니다(우연만으로는 {chance:.1f})",
    "Not lopsided: {part} and train differ by at most {gap:.1f} points, in {where} (chance alone: {chance:.1f})":
        "치우치지 않음: {part}, train 차이는 {where}에서 최대 {gap:.1f}점입니다(우연만으로는 {chance:.1f})",
    "the popularity of the items": "아이템 인기도",
    "the activity of the users": "사용자 활동량",
    "{title}, split {split}, seed {seed} · rows: ": "{title}, 분할 {split}, 시드 {seed} · 행 수: ",
    " · rows whose item is not in train: ": " · train에 없는 아이템의 행: ",
    " · every user counts once; popularity = rows of the item in train, the row itself not counted":
        " · 사용자마다 한 번씩 셈; 인기도 = train에 있는 그 아이템의 행 수(자기 행 제외)",
    "Cumulative curves of item popularity and user activity for train, validation and test. {sentence}.":
        "train, validation, test의 아이템 인기도와 사용자 활동량 누적 곡선. {sentence}.",
    "Popularity of the rows' items": "행에 있는 아이템의 인기도",
    "rows of the item in train (log scale)": "train에 있는 아이템의 행 수 (로그)",
    "Activity of the users": "사용자의 활동량",
    "rows of the user, all parts (log scale)": "사용자의 행 수, 전체 (로그)",
    "{part}: {users:,} users": "{part}: 사용자 {users:,}명",
    "% of users' rows at or below": "사용자 행의 누적 %",
    "% of users at or below": "사용자 누적 %",
}  # fmt: skip
