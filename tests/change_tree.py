#!/usr/bin/env python3
"""change_tree.py TREE SEED N: does N things to a file store, drawn from what MLflow, people and rsync do; deletes nothing for good."""
import os
import pathlib
import random
import re
import shutil
import sys

tree, seed, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)


def experiments():
    return sorted(p.parent for p in [*tree.glob("*/meta.yaml"), *tree.glob(".trash/*/meta.yaml")] if p.parent.name.isdigit())


def runs():
    return sorted(p.parent for x in experiments() for p in x.glob("*/meta.yaml") if p.parent.name not in ("tags", "models"))


def pick(items):
    return draw.choice(list(items))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edit(path, key, value):
    text = path.read_text()
    line = f"{key}: {value}"
    new = re.sub(rf"^{key}: .*$", line, text, flags=re.M)
    path.write_text(new if new != text or line in text else text.rstrip("\n") + f"\n{line}\n")


def tag():
    write(pick(runs()) / "tags" / f"t{draw.randrange(5)}", str(draw.random()))


def same_tag():
    files = [f for r in runs() for f in (r / "tags").rglob("*") if f.is_file()]
    f = pick(sorted(files))
    f.write_text(f.read_text())


def experiment_tag():
    write(pick(experiments()) / "tags" / f"t{draw.randrange(3)}", str(draw.random()))


def param():
    path = pick(runs()) / "params" / f"group{draw.randrange(2)}" / f"p{draw.randrange(10**6)}"
    write(path, str(draw.random()))


def points():
    path = pick(runs()) / "metrics" / f"m{draw.randrange(4)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as f:
        for _ in range(draw.randrange(1, 5)):
            f.write(f"{1700000000000 + draw.randrange(10**6)} {draw.random()} {draw.randrange(1000)}\n")


def rsynced_points():
    files = sorted(f for r in runs() for f in (r / "metrics").rglob("*") if f.is_file())
    f = pick(files)
    copy = f.with_name(f".{f.name}.B7kQpz")
    copy.write_text(f.read_text() + f"1700000000000 {draw.random()} {draw.randrange(1000)}\n")
    os.rename(copy, f)


def touched():
    files = sorted(f for r in runs() for f in r.rglob("*") if f.is_file())
    f = pick(files)
    if draw.random() < 0.5:
        os.utime(f, (1600000000, 1600000000 + draw.randrange(1000)))
    else:
        f.chmod(0o600)


def run_ends():
    edit(pick(runs()) / "meta.yaml", "end_time", 1700000000000 + draw.randrange(10**9))


def run_is_deleted():
    edit(pick(runs()) / "meta.yaml", "lifecycle_stage", pick(("active", "deleted")))


def new_run():
    old = pick(runs())
    name = f"f{draw.randrange(16**31):031x}"
    new = old.parent / name
    shutil.copytree(old, new)
    edit(new / "meta.yaml", "run_id", name)
    text = (new / "meta.yaml").read_text()
    (new / "meta.yaml").write_text(re.sub(r"^run_uuid: .*$", f"run_uuid: {name}", text, flags=re.M))


def experiment_moves():
    x = pick(experiments())
    trash = tree / ".trash"
    trash.mkdir(exist_ok=True)
    os.rename(x, tree / x.name if x.parent == trash else trash / x.name)


def experiment_is_renamed():
    edit(pick(experiments()) / "meta.yaml", "name", f"name {draw.randrange(10**9)}")


def trace():
    traces = sorted(p.parent for x in experiments() for p in x.glob("traces/*/trace_info.yaml"))
    t = pick(traces)
    write(t / pick(("tags", "request_metadata")) / f"k{draw.randrange(4)}", str(draw.random()))
    if draw.random() < 0.3:
        edit(t / "trace_info.yaml", "execution_duration_ms", draw.randrange(10**6))


def registry():
    models = sorted(p.parent for p in (tree / "models").glob("*/meta.yaml"))
    m = pick(models)
    versions = sorted(p.parent for p in m.glob("version-*/meta.yaml"))
    v = pick(versions)
    what = draw.randrange(4)
    if what == 0:
        write(m / "tags" / f"t{draw.randrange(3)}", str(draw.random()))
    elif what == 1:
        write(v / "tags" / f"t{draw.randrange(3)}", str(draw.random()))
    elif what == 2:
        write(m / "aliases" / f"a{draw.randrange(3)}", v.name.removeprefix("version-"))
    else:
        edit(v / "meta.yaml", "description", f"d{draw.randrange(10**6)}")


def model():
    models = sorted(p.parent for x in experiments() for p in x.glob("models/*/meta.yaml"))
    write(pick(models) / "tags" / f"t{draw.randrange(3)}", str(draw.random()))


THINGS = [tag, tag, same_tag, experiment_tag, param, points, points, rsynced_points, touched, run_ends, run_is_deleted, new_run,
          experiment_moves, experiment_is_renamed, trace, registry, model]
for _ in range(count):
    thing = pick(THINGS)
    try:
        thing()
    except IndexError:  # there is none of the kind
        pass
