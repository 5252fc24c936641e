#!/usr/bin/env python3
"""release_files.py VERSION URL HOME TARBALL OUT: fills the conda recipe and the Homebrew formula for a release.

URL is where TARBALL, a source archive, is published, HOME the project's page. Writes OUT/recipe.yaml and OUT/mlruns-tools.rb.
"""
import hashlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main(version, url, home, tarball, out):
    with open(tarball, 'rb') as f:
        sha256 = hashlib.sha256(f.read()).hexdigest()
    values = {'@VERSION@': version, '@URL@': url, '@HOME@': home, '@SHA256@': sha256}
    os.makedirs(out, exist_ok=True)
    for template in ('conda/recipe.yaml', 'homebrew/mlruns-tools.rb'):
        with open(os.path.join(HERE, template), encoding='utf-8') as f:
            lines = f.read().split('\n')
        text = '\n'.join(line for line in lines if '`make release-files`' not in line)
        for name, value in values.items():
            text = text.replace(name, value)
        with open(os.path.join(out, os.path.basename(template)), 'w', encoding='utf-8') as f:
            f.write(text)


main(*sys.argv[1:])
