"""Where verbs that turn files into files put them: never over an input."""

import pathlib
from collections.abc import Sequence


def result_files(
    files: Sequence[pathlib.Path], out: pathlib.Path
) -> dict[pathlib.Path, pathlib.Path]:
    """Where the result of each file goes: under its own name in the folder `out`.

    Raises:
      ValueError: a result would overwrite an input or another result, or `out` cannot
        be a folder.
    """
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(f"--out={out}: {place} is a file; name a folder")
    targets: dict[pathlib.Path, pathlib.Path] = {}
    taken: dict[pathlib.Path, pathlib.Path] = {}
    inputs = {f.resolve() for f in files}
    for file in files:
        target = out / file.name
        if target.resolve() in inputs:
            raise ValueError(
                f"--out={out}: the result of {file} would overwrite an input; name "
                "another folder"
            )
        stem = target.with_suffix("")
        if stem in taken:
            raise ValueError(
                f"{taken[stem]} and {file} would both be written as {stem}; process "
                "them into different folders"
            )
        taken[stem] = file
        targets[file] = target
    return targets
