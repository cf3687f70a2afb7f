"""The tables of benchmarks/results in README.md and README.ko.md: python -m benchmarks readme"""

from __future__ import annotations

import re
from pathlib import Path

from recsys_lib.data.files import write_text

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "README.ko.md")


def update_pages() -> None:
    """Put each table between its two comments, `<!-- benchmarks/results/NAME.md -->` and `<!-- end -->`."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        write_text(
            ROOT / page,
            re.sub(
                r"(<!-- (benchmarks/results/\S+\.md) -->\n).*?(<!-- end -->)",
                lambda found: f"{found[1]}\n{(ROOT / found[2]).read_text(encoding='utf-8')}\n{found[3]}",
                text,
                flags=re.DOTALL,
            ),
        )
