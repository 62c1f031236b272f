"""The walls of the house: who may import whom, what an import may cost and touch."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

import jdeconv

PACKAGE = pathlib.Path(jdeconv.__file__).parent
ROOT = PACKAGE.parent

# "room: rooms it may import"; a module of the package itself is a room, too.
MAY_IMPORT = {
    "ops": set(),
    "nn": {"ops"},
    "restore": {"ops"},
    "models": {"nn", "restore", "ops"},
    "data": {"ops", "restore"},
    "metrics": {"ops"},
    "generative_metrics": set(),
    "segmentation_metrics": {"metrics"},
    "checkerboard": {"nn", "ops"},
    "figures": {"ops"},
    "tasks": {
        "models",
        "data",
        "metrics",
        "generative_metrics",
        "segmentation_metrics",
        "checkerboard",
        "figures",
        "ops",
    },
    "train": {
        "tasks",
        "models",
        "data",
        "metrics",
        "checkerboard",
        "figures",
        "nn",
        "ops",
    },
    "interop": {"nn", "models"},
    "cli": {"train", "tasks", "data", "figures", "metrics", "restore", "models", "ops"},
    "__main__": {"cli"},
    "__init__": set(),
}


def imported_rooms(file: pathlib.Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "jdeconv":
                rooms |= {alias.name for alias in node.names}
            elif node.module.startswith("jdeconv."):
                rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("jdeconv."):
                    rooms.add(alias.name.split(".")[1])
    return rooms - {"__version__"}


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_arrows_run_one_way(file):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert imported_rooms(file) - {room} <= MAY_IMPORT[room]


def test_ops_knows_jax_and_numpy_alone():
    for file in (PACKAGE / "ops").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                assert top in {"jax", "numpy", "jdeconv"} | sys.stdlib_module_names, (
                    file,
                    name,
                )


def run_python(code: str, **env) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | env,
        check=True,
    )
    return done.stdout.strip()


def test_import_is_light_and_touches_no_device():
    loaded = run_python(
        "import sys, jax, flax; import jdeconv; from jdeconv import ops, nn, models;"
        "from jax._src import xla_bridge;"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'matplotlib', 'skimage',"
        " 'sklearn', 'orbax.checkpoint.experimental.v1._src', 'grain', 'torch'};"
        "print(sorted(heavy & set(sys.modules)), len(xla_bridge._backends))"
    )
    assert loaded == "[] 0"


def test_parts_are_imported_when_used():
    assert (
        run_python(
            "import jdeconv; print(jdeconv.ops.conv_output_size(28, 3, strides=2))"
        )
        == "14"
    )
    for name in jdeconv._PARTS:
        assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    with pytest.raises(AttributeError, match="nothing"):
        _ = jdeconv.nothing


@pytest.mark.slow
def test_import_adds_half_a_second_at_most():
    def seconds(code):
        program = f"import time; {code}"
        return min(float(run_python(program)) for _ in range(5))

    added = seconds(
        "import jax, flax; t = time.time(); import jdeconv; print(time.time() - t)"
    )
    assert added <= 0.5


def test_no_public_function_is_without_docstring_and_doctest():
    """Public functions of ops and nn say what they compute and show it."""
    from jdeconv import nn, ops

    for module in (ops, nn):
        for name in module.__all__:
            thing = getattr(module, name)
            assert thing.__doc__, name
            if callable(thing) and module is ops:
                for section in ("Args:", "Returns:"):
                    assert section in thing.__doc__, (name, section)


def test_every_dependency_that_is_imported_is_declared():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + [
        requirement
        for extra in project["optional-dependencies"].values()
        for requirement in extra
    ]
    names = {re.split(r"[<>=\[; ]", d)[0].lower().replace("-", "_") for d in declared}
    package_of = {
        "PIL": "pillow",
        "png": "pypng",
        "skimage": "scikit_image",
        "sklearn": "scikit_learn",
        "absl": "absl_py",
        "orbax": "orbax_checkpoint",
        "tensorboardX": "tensorboardx",
    }
    own = {"jdeconv", "configs", "benchmarks"}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                top = module.split(".")[0]
                if top in sys.stdlib_module_names or top in own:
                    continue
                package = package_of.get(top, top)
                assert package.lower() in names, (file, top)


def test_lock_file_names_versions_and_no_address():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
