import unicodedata

import numpy as np
import pytest

from recsys_lib.data.text import normalise_certificate, normalise_certificates, split_keywords


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
