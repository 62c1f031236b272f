"""Where benchmarks keep their records, and their tables in docs/speed.md."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"


def write_page(text: str, key: str) -> None:
    """Puts the text between the markers of docs/speed.md that carry the key."""
    page = ROOT / "docs" / "speed.md"
    begin, end = f"<!-- {key} -->", f"<!-- end of {key} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    old = page.read_text()
    if not pattern.search(old):
        raise ValueError(f"{page} has no place for it: {begin} ... {end}")
    page.write_text(pattern.sub(f"{begin}\n{text}\n{end}", old))
