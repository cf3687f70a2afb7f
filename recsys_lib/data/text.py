"""Keywords and certificates as people type them, made comparable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import pandas as pd


def split_keywords(keys: Iterable, texts: Iterable, separator: str = ";") -> tuple[np.ndarray, np.ndarray]:
    """One row a keyword: the long form that multi_label() takes.

    Args:
        keys: (m,) external ids. texts: (m,) strings such as "MD;기획MD"; null has no keywords.
    Returns:
        (n,) keys and (n,) keywords, spaces around them left out, Hangul composed (a file from macOS may bring letters
        one by one); empty ones dropped.
    """
    frame = pd.DataFrame({"key": pd.Series(keys).to_numpy(), "text": pd.Series(texts).to_numpy()}).dropna()
    frame["text"] = frame["text"].astype(str).str.split(separator)
    frame = frame.explode("text").dropna()
    # every distinct keyword once: there are a few thousand of them, not a few hundred thousand
    clean = {text: " ".join(unicodedata.normalize("NFC", text).split()) for text in frame["text"].unique()}
    frame["text"] = frame["text"].map(clean)
    frame = frame[frame["text"] != ""]
    return frame["key"].to_numpy(), frame["text"].to_numpy()


def one_spelling(words: Iterable[str]) -> np.ndarray:
    """Each keyword in the commonest of its spellings: MD, md and "M D" are one, "패션 디자인" and "패션디자인" are one.

    Two spellings are the same where they agree without spaces, punctuation (but + and #) and case. Of equally common
    ones the first in alphabetical order is taken.

    Args:
        words: (n,) texts.
    Returns:
        (n,) texts.
    """
    words = pd.Series(words, dtype=object)
    counts = words.value_counts()
    table = pd.DataFrame({"word": counts.index, "n": counts.to_numpy()})
    table["same"] = [_comparable(word) for word in table["word"]]
    table = table.sort_values(["same", "n", "word"], ascending=[True, False, True], kind="stable")
    table["label"] = table.groupby("same")["word"].transform("first")
    return words.map(dict(zip(table["word"], table["label"]))).to_numpy(dtype=object)


def _comparable(word: str) -> str:
    folded = unicodedata.normalize("NFKC", word).upper()
    return "".join(letter for letter in folded if letter.isalnum() or letter in "+#") or word


def spellings(typed: Iterable[str], labels: Iterable[str]) -> pd.DataFrame:
    """How often each text as typed became which label: columns typed, label, rows; the commonest first."""
    pairs = pd.DataFrame({"typed": pd.Series(typed).to_numpy(), "label": pd.Series(labels).to_numpy()}).dropna()
    return pairs.value_counts(sort=False).rename("rows").reset_index().sort_values(
        ["rows", "typed"], ascending=[False, True], kind="stable", ignore_index=True
    )


def title_words(keys: Iterable, titles: Iterable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row a word of a title, years and words of one or two Latin letters left out.

    Returns:
        (n,) keys, (n,) words as they stand in the title, (n,) words in small letters.
    """
    frame = pd.DataFrame({"key": pd.Series(keys).to_numpy(), "title": pd.Series(titles).to_numpy()}).dropna()
    frame["title"] = frame["title"].astype(str).str.findall(r"[^\W\d_](?:[\w'’]*[^\W_])?")
    frame = frame.explode("title").dropna()
    frame["word"] = frame["title"].str.lower()
    frame = frame[(frame["word"].str.len() > 2) | frame["word"].str.contains("[^\x00-\x7f]")]
    return frame["key"].to_numpy(), frame["title"].to_numpy(), frame["word"].to_numpy()


_DRIVING = re.compile("운전면허|자동차면허|운전자격|[12]종(보통|대형|소형)")
_DRIVING_KINDS = ("대형", "소형", "특수", "원동기")
_GRADE = re.compile(r"^([0-9]+급|[0-9]+종)(.+)$")
_NOT_A_SUFFIX = ("인증", "보증", "공증", "검증", "신분증")


def normalise_certificate(text: str | None) -> str:
    """One spelling for one certificate.

    Spaces, punctuation and the suffixes 자격증, 면허증, 증 go; a leading grade moves to the end (2급유통관리사 and
    유통관리사 2급); Latin letters become capitals. Driving licences are named by class and kind, and a class alone means
    보통: "자동차운전면허 2종 보통", "운전면허2종보통" and "2종운전면허증" all become "운전면허2종보통".

    Returns:
        The spelling; "" for a missing or empty text.
    """
    if text is None or text != text:  # NaN is not equal to itself
        return ""
    compact = "".join(ch for ch in unicodedata.normalize("NFKC", str(text)).upper() if ch.isalnum())
    if _DRIVING.search(compact):
        return _driving_licence(compact)
    for suffix in ("자격증", "증서"):
        compact = compact.removesuffix(suffix)
    if not compact.endswith(_NOT_A_SUFFIX):
        compact = compact.removesuffix("증")
    return _GRADE.sub(r"\2\1", compact)


def _driving_licence(compact: str) -> str:
    grade = re.search("[12]종", compact)
    kind = next((kind for kind in _DRIVING_KINDS if kind in compact), "보통" if grade else "")
    return f"운전면허{grade[0] if grade else ''}{kind}"


def normalise_certificates(texts: Iterable) -> pd.Series:
    """normalise_certificate() for a column, each distinct text once; "" becomes missing."""
    texts = pd.Series(texts)
    spellings = {text: normalise_certificate(text) for text in texts.dropna().unique()}
    return texts.map(spellings).replace("", np.nan)
