#!/usr/bin/env python3
"""wheel.py --programs DIR --libraries DIR --tag TAG... --version VERSION --output DIR --completions DIR

Packs a wheel: the executable, a launcher for each other name, the manual, completions, licences of all
that is linked in, and the Python module. Prints its path. Two calls give the same bytes: no time, owner or order of a
directory enters it, and zlib's bytes are those of one Python.
"""
import argparse
import base64
import hashlib
import pathlib
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = "mlruns_tools"
# A wheel holds no links. The name that is given is what the executable goes by.
LAUNCHER = '#!/bin/sh\nexec "$(dirname -- "$(readlink -f -- "$0")")/mlruns-tools" {name} "$@"\n'
# Besides the libraries' own licences, of which each has a file: what the compiler links in.
METADATA = """Metadata-Version: 2.4
Name: mlruns-tools
Version: {version}
Summary: Moves MLflow's file store (mlruns/) to SQLite or PostgreSQL, and proves that nothing was lost
License-Expression: Apache-2.0 AND MIT AND BSD-2-Clause AND BSD-3-Clause AND BSL-1.0 AND PostgreSQL AND blessing
{licences}Keywords: mlflow,migration,mlruns,sqlite,postgresql
Classifier: Environment :: Console
Classifier: Intended Audience :: Science/Research
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: C
Classifier: Programming Language :: Python :: 3
Requires-Python: >=3.8
Description-Content-Type: text/markdown

{description}"""


def collect(arguments):
    """{path in the wheel: (bytes, executable)}"""
    data, info = f"{NAME}-{arguments.version}.data", f"{NAME}-{arguments.version}.dist-info"
    bin_directory = arguments.programs / "bin"
    files = {f"{data}/scripts/mlruns-tools": ((bin_directory / "mlruns-tools").read_bytes(), True)}
    for link in sorted(p.name for p in bin_directory.iterdir() if p.is_symlink()):
        files[f"{data}/scripts/{link}"] = (LAUNCHER.format(name=link).encode(), True)
    for page in sorted((ROOT / "man").glob("*.[157]")):
        files[f"{data}/data/share/man/man{page.suffix[1:]}/{page.name}"] = (page.read_bytes(), False)
    for shell, place in (("bash", "bash-completion/completions"), ("zsh", "zsh/site-functions"), ("fish", "fish/vendor_completions.d")):
        for file in sorted((arguments.completions / shell).iterdir()):
            files[f"{data}/data/share/{place}/{file.name}"] = (file.read_bytes(), False)
    for file in sorted((ROOT / "tools/dist/python" / NAME).glob("*.py")):
        files[f"{NAME}/{file.name}"] = (file.read_bytes(), False)
    files[f"{info}/licenses/LICENSE"] = ((ROOT / "LICENSE").read_bytes(), False)
    for file in sorted((arguments.libraries / "licences").iterdir()):
        files[f"{info}/licenses/{file.name}"] = (file.read_bytes(), False)
    licences = sorted(path.split("/licenses/")[1] for path in files if "/licenses/" in path)
    metadata = METADATA.format(
        version=arguments.version,
        licences="".join(f"License-File: {name}\n" for name in licences),
        description=(ROOT / "README.md").read_text(encoding="utf-8"),
    )
    wheel = "Wheel-Version: 1.0\nGenerator: mlruns-tools\nRoot-Is-Purelib: false\n" + "".join(f"Tag: py3-none-{t}\n" for t in arguments.tag)
    files[f"{info}/METADATA"] = (metadata.encode(), False)
    files[f"{info}/WHEEL"] = (wheel.encode(), False)
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}\n"
        for path, (content, _) in files.items()
    )
    files[f"{info}/RECORD"] = (f"{record}{info}/RECORD,,\n".encode(), False)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("programs", "libraries", "completions", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--tag", action="append", required=True)
    parser.add_argument("--version", required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"{NAME}-{arguments.version}-py3-none-{'.'.join(arguments.tag)}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for name, (content, executable) in collect(arguments).items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    print(path)


if __name__ == "__main__":
    main()
