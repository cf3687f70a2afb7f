import unicodedata

import numpy as np
import pytest

from recsys_lib.data.text import (
    normalise_certificate, normalise_certificates, one_spelling, spellings, split_keywords, title_words,
)  # fmt: skip


def test_split_keywords_gives_one_row_a_keyword():
    keys, words = split_keywords(["a", "b", "c", "d"], ["MD;기획MD", " 니트 ;;니트 디자인;", None, ""])
    assert keys.tolist() == ["a", "a", "b", "b"]
    assert words.tolist() == ["MD", "기획MD", "니트", "니트 디자인"]


def test_split_keywords_composes_hangul():
    decomposed = unicodedata.normalize("NFD", "상품기획")
    assert decomposed != "상품기획"
    assert split_keywords(["a"], [decomposed])[1].tolist() == ["상품기획"]


def test_split_keywords_of_nothing():
    keys, words = split_keywords(["a"], [None])
    assert len(keys) == len(words) == 0


@pytest.mark.parametrize(
    "spelling",
    ["자동차운전면허 2종 보통", "운전면허2종보통", "2종운전면허증", "운전면허 2종", "자동차운전면허증 2종보통", "2종보통운전면허", "2종 보통"],
)
def test_driving_licences_of_class_2(spelling):
    assert normalise_certificate(spelling) == "운전면허2종보통"


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("1종 운전면허증", "운전면허1종보통"),
        ("1종대형 운전면허", "운전면허1종대형"),
        ("운전면허증", "운전면허"),
        ("유통관리사 2급", "유통관리사2급"),
        ("2급 유통관리사", "유통관리사2급"),
        ("유통관리사(2급) 자격증", "유통관리사2급"),
        ("컬러리스트 산업기사증", "컬러리스트산업기사"),
        ("MCAS Master", "MCASMASTER"),
        ("ＭＣＡＳ　ＭＡＳＴＥＲ", "MCASMASTER"),  # full width
        ("ISO 인증", "ISO인증"),
        ("손해보험사", "손해보험사"),
        ("", ""),
        ("--", ""),
        (None, ""),
        (np.nan, ""),
    ],
)
def test_other_certificates(spelling, expected):
    assert normalise_certificate(spelling) == expected


def test_normalising_twice_changes_nothing():
    for text in ("자동차운전면허 2종 보통", "2급 유통관리사", "컬러리스트산업기사 자격증", "1종대형 운전면허"):
        once = normalise_certificate(text)
        assert normalise_certificate(once) == once


def test_a_column_of_certificates():
    names = normalise_certificates(["운전면허 2종", None, "-"])
    assert names.iloc[0] == "운전면허2종보통" and names.isna().tolist() == [False, True, True]


def test_one_spelling_is_the_commonest():
    words = ["MD", "md", "MD", "M D", "패션 디자인", "패션디자인", "패션디자인", "Ｍｄ", "C++", "C", "c#", "-", "·"]
    assert one_spelling(words).tolist() == ["MD"] * 4 + ["패션디자인"] * 3 + ["MD", "C++", "C", "c#", "-", "·"]
    assert one_spelling(["b a", "ba"]).tolist() == ["b a", "b a"]  # equally common: the first in the alphabet
    assert one_spelling([]).tolist() == []


def test_spellings_count_what_became_of_each_text():
    table = spellings(["md", "MD", "MD", None], ["MD", "MD", "MD", None])
    assert table.to_dict("list") == {"typed": ["MD", "md"], "label": ["MD", "MD"], "rows": [2, 1]}
    assert list(spellings([], []).columns) == ["typed", "label", "rows"]


def test_title_words():
    keys, typed, words = title_words([1, 2, 3], ["The Matrix (1999)", "기생충 (2019), A Bug's Life", None])
    assert list(zip(keys, typed, words)) == [
        (1, "The", "the"), (1, "Matrix", "matrix"), (2, "기생충", "기생충"), (2, "Bug's", "bug's"), (2, "Life", "life"),
    ]  # fmt: skip
    assert title_words([1], ["달 A ..."])[2].tolist() == ["달"]
