"""What ml-transform must make of a file store, in the plain values of compare_stores.py.

Each function takes what was read from a tree and gives what the database must hold after the transformation.  They follow
the manual, not the program: none of the code under test is used here.
"""

import copy
import re

SOURCE_RUN = "mlflow.sourceRun"
ARTIFACT_LOCATION = "mlflow.artifactLocation"
PROMPT_EXPERIMENTS = "_mlflow_experiment_ids"


def dataset_key(experiment_id, name, digest):
    return "%s %s %s" % (experiment_id, name, digest)


def dataset_owner(key):
    return key.split(" ", 1)[0]


# Selecting


def selected(source, experiments=(), runs=(), statuses=(), stage=None, tags=None, since=None, until=None):
    """Of one criterion any value will do (of tags all are needed); all criteria must be met."""
    by_run = bool(runs or statuses or tags or since is not None or until is not None)

    def deleted(experiment_id):
        return source["experiments"][experiment_id]["lifecycle_stage"] == "deleted"

    def named(experiment_id):
        return not experiments or {experiment_id, source["experiments"][experiment_id]["name"]} & set(experiments)

    def in_stage(own, experiment_id):
        return not stage or stage == ("deleted" if own == "deleted" or deleted(experiment_id) else "active")

    def in_time(start):
        return (since is None or (start is not None and start >= since)) and (until is None or (start is not None and start < until))

    def tagged(entity):
        return all(entity["tags"].get(key) == value for key, value in (tags or {}).items())

    kept_runs = {
        key for key, run in source["runs"].items()
        if named(run["experiment_id"]) and in_stage(run["lifecycle_stage"], run["experiment_id"])
        and (not runs or key in runs) and (not statuses or run["status"] in statuses) and tagged(run) and in_time(run["start_time"])
    }  # fmt: skip
    kept_traces = {
        key for key, trace in source["traces"].items()
        if named(trace["experiment_id"]) and in_stage(None, trace["experiment_id"]) and tagged(trace)
        and in_time(trace["request_time"])
        and (not (runs or statuses) or trace["trace_metadata"].get(SOURCE_RUN) in kept_runs)
    }  # fmt: skip
    used = {model for key in kept_runs for model in source["runs"][key]["model_inputs"]}
    used |= {model for key in kept_runs for model, _ in source["runs"][key]["model_outputs"]}
    kept_models = {
        key for key, model in source["logged_models"].items()
        if key in used
        or (named(model["experiment_id"]) and in_stage(model["lifecycle_stage"], model["experiment_id"])
            and (not by_run or model["source_run_id"] in kept_runs))
    }  # fmt: skip
    kept_experiments = {source["runs"][key]["experiment_id"] for key in kept_runs}
    kept_experiments |= {source["traces"][key]["experiment_id"] for key in kept_traces}
    kept_experiments |= {source["logged_models"][key]["experiment_id"] for key in kept_models}
    if not by_run:  # those without content too
        kept_experiments |= {key for key in source["experiments"] if named(key) and (not stage or stage == ("active", "deleted")[deleted(key)])}
    return restricted(source, kept_experiments, kept_runs, kept_traces, kept_models, registry_too=not by_run and not experiments)


def restricted(source, experiments, runs, traces, models, registry_too):
    """What is left with these entities alone: no child without its parent."""
    left = copy.deepcopy(source)
    left["experiments"] = {key: one for key, one in left["experiments"].items() if key in experiments}
    left["datasets"] = {key: one for key, one in left["datasets"].items() if dataset_owner(key) in experiments}
    left["runs"] = {key: one for key, one in left["runs"].items() if key in runs}
    left["traces"] = {key: one for key, one in left["traces"].items() if key in traces}
    left["logged_models"] = {key: one for key, one in left["logged_models"].items() if key in models}
    for model in left["logged_models"].values():
        model["metrics"] = [point for point in model["metrics"] if point[3] in runs]
    if not registry_too:
        left["model_versions"] = {
            key: one for key, one in left["model_versions"].items()
            if one["run_id"] in runs or (one["source"] or "").removeprefix("models:/") in models
        }  # fmt: skip
        names = {one["name"] for one in left["model_versions"].values()}
        left["registered_models"] = {key: one for key, one in left["registered_models"].items() if key in names}
        for name, model in left["registered_models"].items():
            model["aliases"] = {
                alias: version for alias, version in model["aliases"].items() if "%s/%s" % (name, version) in left["model_versions"]
            }
    return left


def without_kinds(source, *excluded):
    """--exclude-kind, of the kinds that hold others and of some that do not."""
    left = copy.deepcopy(source)
    for kind in excluded:
        if kind == "trace":
            left["traces"] = {}
        elif kind == "assessment":
            for trace in left["traces"].values():
                trace["assessments"] = {}
        elif kind == "logged_model":
            left["logged_models"] = {}
            for run in left["runs"].values():
                run["model_inputs"] = run["model_outputs"] = []
        elif kind == "registered_model":  # prompts stay
            prompts = {key for key, one in left["registered_models"].items() if one["tags"].get("mlflow.prompt.is_prompt") == "true"}
            left["registered_models"] = {key: one for key, one in left["registered_models"].items() if key in prompts}
            left["model_versions"] = {key: one for key, one in left["model_versions"].items() if one["name"] in prompts}
        elif kind == "dataset":
            left["datasets"] = {}
            for run in left["runs"].values():
                run["dataset_inputs"] = []
        elif kind in ("param", "metric"):
            for run in left["runs"].values():
                for part in {"param": ("params",), "metric": ("metrics", "latest")}[kind]:
                    run[part] = {}
        else:
            raise ValueError(kind)
    return left


def only(source, kept):
    """--kind, of params or metrics: with their runs and experiments."""
    left = restricted(source, set(source["experiments"]), set(source["runs"]), set(), set(), registry_too=False)
    left["datasets"] = {}
    left["model_versions"] = left["registered_models"] = {}
    for experiment in left["experiments"].values():
        experiment["tags"] = {}
    for run in left["runs"].values():
        for part in {"params", "tags", "metrics", "latest"} - set(kept):
            run[part] = {}
        run["dataset_inputs"] = run["model_inputs"] = run["model_outputs"] = []
    return left


# Artifacts that were moved


def relocated(source, rewrite):
    """rewrite: what becomes of a URI."""
    left = copy.deepcopy(source)

    def change(entity, *names):
        for name in names:
            if entity.get(name):
                entity[name] = rewrite(entity[name])

    def change_dataset(dataset):
        dataset["source"] = re.sub(r'("uri": ")([^"]*)"', lambda match: match.group(1) + rewrite(match.group(2)) + '"', dataset["source"])

    for experiment in left["experiments"].values():
        change(experiment, "artifact_location")
    for run in left["runs"].values():
        change(run, "artifact_uri")
        for dataset, _ in run["dataset_inputs"]:
            change_dataset(dataset)
    for dataset in left["datasets"].values():
        change_dataset(dataset)
    for trace in left["traces"].values():
        change(trace["tags"], ARTIFACT_LOCATION)
    for model in left["logged_models"].values():
        change(model, "artifact_location")
    for version in left["model_versions"].values():
        change(version, "source", "storage_location")
    return left


def prefix_rule(*rules):
    """By whole path segments, the longest first."""

    def rewrite(uri):
        for old, new in sorted(rules, key=lambda rule: -len(rule[0])):
            if uri == old or uri.startswith(old + "/"):
                return new.rstrip("/") + uri[len(old) :] if not new.endswith(":/") else new + uri[len(old) + 1 :]
        return uri

    return rewrite


# Other ids and names


def renumbered(source, ids):
    """ids: old -> new, of all experiments."""
    left = copy.deepcopy(source)
    left["experiments"] = {ids[key]: {**one, "experiment_id": ids[key]} for key, one in left["experiments"].items()}
    left["datasets"] = {" ".join([ids[dataset_owner(key)], key.split(" ", 1)[1]]): one for key, one in left["datasets"].items()}
    for kind in ("runs", "traces", "logged_models"):
        for entity in left[kind].values():
            entity["experiment_id"] = ids[entity["experiment_id"]]
    for model in left["registered_models"].values():
        if PROMPT_EXPERIMENTS in model["tags"]:
            model["tags"][PROMPT_EXPERIMENTS] = ",".join(ids.get(word, word) for word in model["tags"][PROMPT_EXPERIMENTS].split(","))
    return left


def renamed_experiment(source, old, new):
    """old: its id or its name."""
    left = copy.deepcopy(source)
    for key, experiment in left["experiments"].items():
        if old in (key, experiment["name"]):
            experiment["name"] = new
    return left


def renamed_model(source, old, new):
    left = copy.deepcopy(source)
    left["registered_models"] = {new if key == old else key: one for key, one in left["registered_models"].items()}
    left["registered_models"][new]["name"] = new
    versions = {}
    for key, version in left["model_versions"].items():
        if version["name"] == old:
            version["name"] = new
            key = "%s/%s" % (new, version["version"])
        versions[key] = version
    left["model_versions"] = versions
    return left


# Merging


def merged(sources, joins):
    """Several sources with ids of their own; joins: clashing experiments become one, else the later gets another name."""
    result = {kind: {} for kind in sources[0]}
    sources = copy.deepcopy(sources)
    for source in sources:
        ids = {}
        for key, experiment in source["experiments"].items():
            ids[key] = merge_experiment(result, key, experiment, joins)
        for model in source["registered_models"].values():  # the tags of prompts follow their experiments
            if PROMPT_EXPERIMENTS in model["tags"]:
                model["tags"][PROMPT_EXPERIMENTS] = ",".join(ids.get(word, word) for word in model["tags"][PROMPT_EXPERIMENTS].split(","))
        for key, dataset in source["datasets"].items():
            result["datasets"].setdefault(" ".join([ids[dataset_owner(key)], key.split(" ", 1)[1]]), dataset)
        for kind in ("runs", "traces", "logged_models"):
            for key, entity in source[kind].items():
                entity["experiment_id"] = ids[entity["experiment_id"]]
                if key in result[kind]:
                    raise ValueError("%s %s is in two sources" % (kind, key))
                result[kind][key] = entity
    merge_registry(result, sources)
    return result


def merge_experiment(result, key, experiment, joins):
    """Gives the id that it has in the result."""
    names = {one["name"]: one_key for one_key, one in result["experiments"].items()}
    if key in result["experiments"] and result["experiments"][key]["name"] == experiment["name"]:
        there = key
    elif experiment["name"] in names and joins:
        there = names[experiment["name"]]
    else:
        if key in result["experiments"]:
            raise ValueError("id %s is in two sources" % key)
        number = 2
        name = experiment["name"]
        while experiment["name"] in names:
            experiment["name"] = "%s (%d)" % (name, number)
            number += 1
        result["experiments"][key] = experiment
        return key
    result["experiments"][there]["tags"] = {**experiment["tags"], **result["experiments"][there]["tags"]}
    return there


def merge_registry(result, sources):
    """Models of one name are joined: the first's fields, tags and aliases stay, later versions get the next numbers."""
    numbers = {}
    for source in sources:
        for version in source["model_versions"].values():
            numbers[version["name"]] = max(numbers.get(version["name"], 0), int(version["version"]))
    for source in sources:
        source = copy.deepcopy(source)
        became = {}
        for key, version in sorted(source["model_versions"].items(), key=lambda pair: (pair[1]["name"], int(pair[1]["version"]))):
            name = version["name"]
            new = key
            if new in result["model_versions"]:
                numbers[name] += 1
                new = "%s/%d" % (name, numbers[name])
            version["version"] = new.rsplit("/", 1)[1]
            became[key] = version["version"]
            result["model_versions"][new] = version
        for name, model in source["registered_models"].items():
            model["aliases"] = {alias: became["%s/%s" % (name, version)] for alias, version in model["aliases"].items()}
            there = result["registered_models"].setdefault(name, model)
            for field in ("tags", "aliases"):
                there[field] = {**model[field], **there[field]}
