#!/bin/sh
# Choose the newest versions that pyproject.toml allows, and write them with the digests of every file of each release.
set -eu
cd "$(dirname "$0")/.."
/usr/bin/python3 -m venv --clear build/lock
build/lock/bin/python -m pip --quiet --disable-pip-version-check install 'pip==26.3' 'pip-tools==7.6.2'
lock="build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links"
$lock --output-file requirements-build.txt requirements-build.in
$lock --extra dev --output-file requirements.txt pyproject.toml
$lock --output-file requirements-graders.txt requirements-graders.in
