"""Where benchmarks keep their records, and their tables in docs/."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"


def write_page(text: str, key: str, page: str = "speed.md") -> None:
    """Puts the text between the markers that carry the key, in a page of docs/."""
    path = ROOT / "docs" / page
    begin, end = f"<!-- {key} -->", f"<!-- end of {key} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    old = path.read_text()
    if not pattern.search(old):
        raise ValueError(f"{path} has no place for it: {begin} ... {end}")
    path.write_text(pattern.sub(f"{begin}\n{text}\n{end}", old))
