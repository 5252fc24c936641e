"""Runs mlruns-tools, and reads its record streams, from Python.

    import mlruns_tools

    mlruns_tools.run("migrate", "./mlruns", "sqlite:///mlflow.db", "--verify")
    for record in mlruns_tools.records("mlruns.mlr"):
        print(record["kind"])
    metrics = mlruns_tools.records("mlruns.mlr").to_pandas("metric")
"""

__all__ = ["Failed", "Records", "program", "records", "run"]


class Failed(Exception):
    """A program ended in trouble (exit status 2 or more). `status` is its exit status, `message` what it said where that
    was caught."""

    def __init__(self, command, status, message=""):
        super().__init__(f"mlruns-tools {command}: exit status {status}" + (f": {message}" if message else ""))
        self.command, self.status, self.message = command, status, message


def program():
    """The path of the executable."""
    import os
    import shutil
    import sysconfig

    # Beside this module's interpreter; where pip installed elsewhere (--user, --target), by that layout.
    here = os.path.dirname(os.path.abspath(__file__))
    candidates = [os.path.join(sysconfig.get_path("scripts"), "mlruns-tools"), os.path.join(here, "..", "bin", "mlruns-tools")]
    user = sysconfig.get_preferred_scheme("user") if hasattr(sysconfig, "get_preferred_scheme") else "posix_user"
    candidates.append(os.path.join(sysconfig.get_path("scripts", user), "mlruns-tools"))
    for path in candidates:
        if os.access(path, os.X_OK):
            return os.path.realpath(path)
    found = shutil.which("mlruns-tools")
    if found:
        return found
    raise FileNotFoundError("mlruns-tools is neither in the environment of this Python nor on PATH")


def run(command, *arguments, **options):
    """Runs `mlruns-tools COMMAND ARGUMENT...`; options are those of subprocess.run().

    Returns a subprocess.CompletedProcess, whose returncode is 0, or 1 where the answer is no (a verification found
    differences, something was left out on request). Raises Failed on trouble, unless check=False is given.
    """
    import os
    import subprocess

    check = options.pop("check", True)
    done = subprocess.run([program(), command, *map(os.fspath, arguments)], **options)
    if check and done.returncode not in (0, 1):
        said = done.stderr or ""
        raise Failed(command, done.returncode, (said.decode("utf-8", "replace") if isinstance(said, bytes) else said).strip())
    return done


def records(path_or_file):
    """The records of a stream (what `mlruns-tools dump` and `dbdump` write): a path, or a file opened for bytes. See Records."""
    return Records(path_or_file)


class Records:
    """An iterator over the records of a stream: dicts with `kind` and the fields that are not null (ml-record(5)). Texts are
    str, or bytes where they are not UTF-8. Headers and trailers are left out, but checked: a stream that is truncated or
    damaged raises Failed, at the latest after its last record. Memory does not grow with the stream.
    """

    def __init__(self, path_or_file):
        import subprocess
        import tempfile

        self._feeder = self._opened = None
        source = path_or_file
        if not hasattr(source, "read"):
            source = self._opened = open(path_or_file, "rb")
        self._errors = tempfile.TemporaryFile()
        self._stdin = source if _has_descriptor(source) else subprocess.PIPE
        self._process = subprocess.Popen(
            [program(), "transform", "--quiet", "--json"], stdin=self._stdin, stdout=subprocess.PIPE, stderr=self._errors
        )
        if self._stdin is subprocess.PIPE:
            self._feed(source)
        self._records = self._read()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._records)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if hasattr(self, "_records"):
            self.close()

    def close(self):
        """Ends the reading before its end."""
        self._records.close()
        self._end()

    def to_pandas(self, kind):
        """All records of a kind ("run", "metric", "param" …) as a pandas.DataFrame, one column for each field."""
        import pandas

        return pandas.DataFrame.from_records([r for r in self if r["kind"] == kind]).drop(columns="kind", errors="ignore")

    def _feed(self, source):
        import shutil
        import threading

        def feed(to):
            try:
                with to:
                    shutil.copyfileobj(source, to, 1 << 18)
            except OSError:
                pass  # the program has ended, and said why

        self._feeder = threading.Thread(target=feed, args=(self._process.stdin,), daemon=True)
        self._feeder.start()

    def _read(self):
        import json

        for line in self._process.stdout:
            record = json.loads(line)
            if record["kind"] in ("header", "trailer"):
                continue
            for name, value in record.items():
                if type(value) is dict:
                    record[name] = _plain(value)
            yield record
        status = self._process.wait()
        self._errors.seek(0)
        message = self._errors.read().decode("utf-8", "replace").strip()
        self._end()
        if status != 0:
            raise Failed("transform", status, message)

    def _end(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
        if self._opened:
            self._opened.close()


def _has_descriptor(file):
    """Whether the program can read from the file itself: nothing of it has been read into a buffer."""
    try:
        descriptor = file.fileno()
        if file.seekable():
            import os

            os.lseek(descriptor, file.tell(), os.SEEK_SET)
            return True
        return not hasattr(file, "peek")
    except (OSError, AttributeError, ValueError):
        return False


def _plain(value):
    """The value that JSON has no form for ({"$float": "nan"} …), or the map with such values."""
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((mark, inner),) = value.items()
        if mark == "$float":
            return float(inner)
        if mark == "$int":
            return int(inner)
        if mark == "$bytes":
            import base64

            return base64.b64decode(inner)
        if mark == "$map":
            value = inner
    return {name: _plain(v) for name, v in value.items()}
