"""What must hold after a storm: the sources and the target, both as MLflow reads them, and the journals of the server's clients.

Whatever the target has beyond a source must have been written by a client, come from another source, or have been taken away in
the source, which a sync does not pass on.
"""

from compare_stores import SOURCE_TYPES, comparable, differences, expected_latest, expected_of, expected_points

SHARED = "shared by all"
WATERMARK = "mlruns-tools.sync."
KEPT_TRACE_TAGS = ("mlflow.trace.spansLocation", "mlflow.artifactLocation")  # by the merge rules
UNITED = "_mlflow_experiment_ids"
TYPE_NUMBERS = {word: number for number, word in SOURCE_TYPES.items()}


class Written:
    """What the clients have written: by each, the last value of each key; and what they do not know."""

    def __init__(self, journals):
        self.journals = journals

    def values(self, kind, of, key):
        """All that may be there of what they wrote."""
        found = [one[kind][of][key] for one in self.journals if key in one[kind].get(of, {})]
        return found + [value for one in self.journals for value in one["doubtful"].get("%s %s" % (kind, of), {}).get(key, [])]

    def keys(self, kind, of):
        return {key for one in self.journals for key in one[kind].get(of, {})}

    def points(self, run_id):
        """{key: [points]} that are there, and [points] that may be."""
        sure, doubtful = {}, []
        for one in self.journals:
            for key, point in one["points"].get(run_id, {}).values():
                sure.setdefault(key, []).append(point)
            doubtful += [value for values in one["doubtful"].get("points " + run_id, {}).values() for value in values]
        return sure, doubtful

    def all(self, kind):
        return {key: value for one in self.journals for key, value in one[kind].items()}


class Check:
    """One source beside the target."""

    def __init__(self, source, others, target, written):
        self.others = others
        self.name, self.store, self.target, self.written = source["name"], source["store"], target, written
        self.removed = set(source["removed"])
        self.lines = []
        self.experiments = self.map_experiments()
        self.seen = {kind: set() for kind in target}

    def map_experiments(self):
        """The target's id of each: by the tag that its writer gave it."""
        key = "storm." + self.name
        found = {"0": "0"}
        for mine, experiment in self.store["experiments"].items():
            if key in experiment["tags"]:
                theirs = [id for id, one in self.target["experiments"].items() if one["tags"].get(key) == experiment["tags"][key]]
                if len(theirs) == 1:
                    found[mine] = theirs[0]
                else:
                    self.lines.append("experiment %s (%s) is there %d times" % (mine, experiment["name"], len(theirs)))
        return found

    def differ(self, where, wanted, found):
        self.lines.extend(differences("%s: %s" % (self.name, where), wanted, found))

    def texts(self, where, wanted, found, kind, of, may_stay=lambda key: False):
        """Tags and the like: the source's, or what a client wrote into the same key; others only of clients, or left over."""
        for key, value in wanted.items():
            allowed = [value] + self.written.values(kind, of, key)
            if found.get(key) not in allowed:
                self.differ("%s.%s" % (where, key), value, found.get(key, "(absent)"))
        for key in found.keys() - wanted.keys():
            if found[key] not in self.written.values(kind, of, key) and not may_stay(key):
                self.lines.append("%s: %s.%s: not in the source: %r" % (self.name, where, key, found[key]))

    def entity(self, kind, mine, theirs):
        """The target's entity; None, with a line, where it is missing."""
        self.seen[kind].add(theirs)
        found = self.target[kind].get(theirs)
        if found is None or "unreadable" in found:
            self.lines.append("%s: %s %s: %s" % (self.name, kind, mine, (found or {}).get("unreadable", "missing")))
            return None
        return found

    def all(self):
        for kind in ("experiments", "runs", "datasets", "traces", "logged_models", "registered_models", "model_versions"):
            for mine, one in self.store[kind].items():
                getattr(self, "check_" + kind)(mine, dict(one))
        return self.lines

    def check_experiments(self, mine, one):
        theirs = self.experiments.get(mine)
        found = theirs and self.entity("experiments", mine, theirs)
        if not found:
            return
        others = tuple(name + "." for name in self.others) + ("storm.",) if one["name"] in ("Default", SHARED) else ()
        self.texts("experiment " + mine, one.pop("tags"), found["tags"], "experiment_tags", theirs,
                   lambda key: key.startswith((WATERMARK, *others)))  # fmt: skip
        one["experiment_id"] = theirs
        if theirs != "0" and found["creation_time"] == one["creation_time"]:  # else another source has made it
            self.differ("experiment " + mine, one, {key: found[key] for key in one})

    def check_runs(self, mine, one):
        found = self.entity("runs", mine, mine)
        if not found:
            return
        where = "run " + mine
        one["source_type"] = TYPE_NUMBERS.get(one["source_type"], one["source_type"])
        sure, doubtful = self.written.points(mine)
        one["metrics"] = {key: one["metrics"].get(key, []) + sure.get(key, []) for key in one["metrics"].keys() | sure.keys()}
        one["metrics"] = self.with_doubtful(one["metrics"], doubtful, found["metrics"])
        wanted, stored = expected_of("runs", one, found)
        wanted["experiment_id"] = self.experiments.get(one["experiment_id"])
        for side in (wanted, stored):  # equal in rank: one of them is there
            side["latest"] = {key: (point[1], point[0], 0.0 if point[2] == "NaN" else point[2]) for key, point in side["latest"].items()}
        tags, names = wanted.pop("tags"), self.written.values("names", mine, "name")
        if stored["run_name"] in names:  # one unit with the tag
            wanted["run_name"] = tags["mlflow.runName"] = stored["run_name"]
        self.texts(where, tags, stored.pop("tags"), "tags", mine, lambda key: self.of_run(mine, key))
        self.differ(where, wanted, stored)

    def of_run(self, run_id, key):
        return "tag %s %s" % (run_id, key) in self.removed

    def with_doubtful(self, metrics, doubtful, found):
        for key, point in doubtful:
            if point in found.get(key, []):
                metrics.setdefault(key, []).append(point)
        return metrics

    def check_datasets(self, mine, one):
        experiment, rest = mine.split(" ", 1)
        found = self.entity("datasets", mine, "%s %s" % (self.experiments.get(experiment), rest))
        if found:
            self.differ("dataset " + mine, one, found)

    def check_traces(self, mine, one):
        found = self.entity("traces", mine, mine)
        if not found:
            return
        where = "trace " + mine
        wanted, stored = expected_of("traces", one, found)
        wanted["experiment_id"] = self.experiments.get(one["experiment_id"])
        self.texts(where, {k: v for k, v in wanted.pop("tags").items() if k not in KEPT_TRACE_TAGS}, stored.pop("tags"),
                   "trace_tags", mine, lambda key: key in KEPT_TRACE_TAGS)  # fmt: skip
        theirs = stored.pop("assessments")
        clients = self.written.all("assessments")
        overridden = {one["overrides"] for one in theirs.values()}  # by one that may have been taken away in the source
        for key, assessment in wanted.pop("assessments").items():
            assessment = {**assessment, "valid": assessment["valid"] and key not in overridden}
            self.differ("%s assessment %s" % (where, key), assessment, theirs.pop(key, "(absent)"))
        for key in theirs:
            if key not in clients and "assessment " + key not in self.removed:
                self.lines.append("%s: %s: assessment %s is not in the source" % (self.name, where, key))
        self.differ(where, wanted, stored)

    def check_logged_models(self, mine, one):
        found = self.entity("logged_models", mine, mine)
        if not found:
            return
        wanted, stored = expected_of("logged_models", one, found)
        wanted["experiment_id"] = self.experiments.get(one["experiment_id"])
        self.texts("logged model " + mine, wanted.pop("tags"), stored.pop("tags"), "logged_tags", mine)
        self.differ("logged model " + mine, wanted, stored)

    def check_registered_models(self, mine, one):
        found = self.entity("registered_models", mine, mine)
        if not found:
            return
        found, where = dict(found), "registered model " + mine
        one["tags"].pop(UNITED, None)
        self.texts(where, one.pop("tags"), found.pop("tags"), "model_tags", mine, lambda key: key == UNITED)
        self.texts(where + " alias", one.pop("aliases"), found.pop("aliases"), "aliases", mine,
                   lambda alias: "alias %s %s" % (mine, alias) in self.removed)  # fmt: skip
        if one["description"] is None and found["description"] in self.written.values("descriptions", mine, "description"):
            one["description"] = found["description"]
            found["last_updated_timestamp"] = min(found["last_updated_timestamp"], one["last_updated_timestamp"])
        if self.written.keys("aliases", mine) and found["last_updated_timestamp"] > one["last_updated_timestamp"]:
            one["last_updated_timestamp"] = found["last_updated_timestamp"]
        self.differ(where, one, found)

    def check_model_versions(self, mine, one):
        found = self.entity("model_versions", mine, mine)
        if not found:
            return
        found = dict(found)
        self.texts("version " + mine, one.pop("tags"), found.pop("tags"), "version_tags", mine)
        for side in (one, found):
            side.pop("storage_location")
        if one["current_stage"] == "Deleted_Internal":  # a database forgets what a deleted one was, and a null never goes over
            one = {key: value for key, value in one.items() if value is not None}
            found = {key: found[key] for key in one}
        self.differ("version " + mine, one, found)


def check_own(target, written):
    """What is the server's alone."""
    lines = []
    for run_id, wanted in written.all("runs").items():
        found = target["runs"].get(run_id)
        if found is None:
            lines.append("the server's run %s is lost" % run_id)
            continue
        lines.extend(differences("the server's run " + run_id, wanted, {key: found[key] for key in wanted}))
        sure, doubtful = written.points(run_id)
        points = [[comparable(value) if i == 2 else value for i, value in enumerate(point)] for point in found["metrics"].get("own", [])]
        more = [point for key, point in doubtful if point in found["metrics"].get("own", [])]
        wanted = [list(point) for point in expected_points(sure.get("own", []) + more)]
        lines.extend(differences("points of the server's run " + run_id, sorted(wanted), sorted(points)))
        if wanted:
            lines.extend(differences("latest of the server's run " + run_id, list(expected_latest(wanted)), found["latest"].get("own")))
    for experiment, wanted in written.all("experiments").items():
        found = target["experiments"].get(experiment, {})
        lines.extend(differences("the server's experiment " + experiment, wanted, {key: found.get(key) for key in wanted}))
    assessments = {key: one for trace in target["traces"].values() for key, one in trace["assessments"].items()}
    for key, (trace_id, value) in written.all("assessments").items():
        found = assessments.get(key, {})
        lines.extend(differences("the server's assessment " + key, [trace_id, value], [found.get("trace_id"), found.get("value")]))
    lines.extend(check_texts(target, written))
    return lines


def check_texts(target, written):
    """Tags and the like that clients have given: each is there with the last value, or with another side's where both write it."""
    lines = []
    places = {
        "tags": ("runs", "tags"), "experiment_tags": ("experiments", "tags"), "trace_tags": ("traces", "tags"),
        "model_tags": ("registered_models", "tags"), "version_tags": ("model_versions", "tags"),
        "logged_tags": ("logged_models", "tags"), "aliases": ("registered_models", "aliases"),
    }  # fmt: skip
    for kind, (entities, member) in places.items():
        for of in {of for one in written.journals for of in one[kind]}:
            found = target[entities].get(of, {}).get(member, {})
            for key in written.keys(kind, of) - {"contested"}:
                if found.get(key) not in written.values(kind, of, key):
                    lines.append("%s of %s: %s is lost: %r" % (kind, of, key, found.get(key)))
    for name in written.all("descriptions"):
        found = target["registered_models"].get(name, {}).get("description")
        if found not in written.values("descriptions", name, "description"):
            lines.append("the description of %s is lost: %r" % (name, found))
    return lines


def check_others(target, checks, removed, written):
    """What is in the target and in no source: the clients', or taken away in a source."""
    lines = []
    own = {"runs": set(written.all("runs")), "experiments": set(written.all("experiments"))}
    for kind, entities in target.items():
        seen = set().union(*(check.seen[kind] for check in checks))
        for key in sorted(entities.keys() - seen - own.get(kind, set())):
            one = entities[key]
            name = key.rsplit("/", 1)[0] if kind == "model_versions" else one.get("name") or one.get("run_name") or ""
            if " of editor " not in name and "model " + name not in removed and not (kind == "logged_models" and name == "m"):
                lines.append("%s %s (%s): of no source, and of no client" % (kind, key, name))
    return lines


def check(sources, target):
    """{what: [differences]}"""
    written = Written(target["journals"])
    names = [source["name"] for source in sources]
    checks = [Check(source, [name for name in names if name != source["name"]], target["store"], written) for source in sources]
    answer = {"what %s has is in the target" % one.name: one.all() for one in checks}
    answer["nothing of the server's own is lost"] = check_own(target["store"], written)
    removed = {text for source in sources for text in source["removed"]}
    answer["nothing else is there"] = check_others(target["store"], checks, removed, written)
    return answer
