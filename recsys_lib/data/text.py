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
