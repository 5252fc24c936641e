# What a release consists of besides wheels and the static build; included by the Makefile.
#
#   make deps-packages   installs what builds and tests all packages
#   make deb             the Debian package of this machine's architecture
#   make image           the container image, with buildah
#   make sbom            build/dist/mlruns-tools-VERSION.cdx.json
#   make checksums       build/dist/SHA256SUMS of all that is there
#   make release-files   the conda recipe and the Homebrew formula, for the source archive of RELEASE_URL
#   make check-newest    whether every revision of the newest MLflow is in migrations/
#   make check-tag TAG=v1.2.3   whether the tag is of the version in the changelog

RELEASE_HOME = https://pypi.org/project/mlruns-tools
RELEASE_URL  = $(RELEASE_HOME)/mlruns-tools-$(VERSION).tar.gz

.PHONY: deps-packages deb image sbom checksums release-files check-newest check-tag

# What builds and tests all packages.
deps-packages: deps
	@sh tests/setup.sh apt dist
	@sh tests/setup.sh packaging >/dev/null

deb:
	@BUILD='$(BUILD)' sh tools/dist/deb.sh

image:
	@BUILD='$(BUILD)' sh tools/dist/image.sh $(shell uname -m)

sbom:
	@mkdir -p $(BUILD)/dist
	python3 tools/dist/sbom.py $(VERSION) >$(BUILD)/dist/mlruns-tools-$(VERSION).cdx.json

checksums:
	cd $(BUILD)/dist && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | sort | xargs -d '\n' sha256sum >SHA256SUMS

release-files: dist
	python3 tools/dist/release_files.py $(VERSION) '$(RELEASE_URL)' '$(RELEASE_HOME)' \
	    $(BUILD)/dist/mlruns-tools-$(VERSION).tar.gz $(BUILD)/dist/recipes

check-newest:
	python3 tools/dist/newest.py

check-tag:
	@test '$(TAG)' = 'v$(VERSION)' || { echo 'the tag $(TAG) is not v$(VERSION), the version of tools/dist/changelog' >&2; exit 1; }
