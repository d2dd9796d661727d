# Everything a person or a machine does with this repository; each is one line of shell behind it.
CARGO ?= cargo

.PHONY: build demo demo-night test acceptance ecosystems twice causes attacks screenshot lint bench fuzz buildroot needs

build:
	$(CARGO) build --release --locked

needs:
	tools/needs

# The whole idea on real packages: build, attest, trace, rebuild; then a Dockerfile that drifts.
demo: needs build
	fixtures/demo

# Three images over three nights, with a change in between: audited, reported, told, once.
demo-night: needs build
	fixtures/demo-night

# The image that builds run in: made with this machine's engine, then inside itself; the two must be one.
buildroot: needs build
	buildroot/make

# Everything but the slow suite. Package mirrors are the only network it uses. Many tests wait, so one more than there
# are cores runs.
test: needs
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) + 1))} $(CARGO) test --locked

# npm, cargo, curl and heredocs; several hundred real Dockerfiles; a report in a real browser; docs/ci.md with Docker.
acceptance: needs
	@command -v chromium >/dev/null || apt-get install --yes --no-install-recommends chromium
	$(CARGO) test --locked --test it -- --ignored --skip ecosystems:: --skip interop::

# What people build, made again on another day, host, user and number of cores; writes docs/ecosystems.md. 40 minutes.
ecosystems: needs
	@command -v npm >/dev/null || apt-get install --yes --no-install-recommends npm
	REPROV_WRITE_ECOSYSTEMS=1 $(CARGO) test --locked --test it -- --ignored --exact --nocapture ecosystems::reproduce

# Each of these built twice without a profile: nothing that differs is unexplained; writes its table in docs/ecosystems.md.
twice: needs
	@command -v npm >/dev/null || apt-get install --yes --no-install-recommends npm
	REPROV_WRITE_ECOSYSTEMS=1 $(CARGO) test --locked --test it -- --ignored --exact --nocapture ecosystems::twice::nothing_is_unexplained

# cosign 2 and 3, oras and in-toto, as Debian packages them: what each reads and writes, with reprov; writes docs/interop.md.
interop: needs
	REPROV_WRITE_INTEROP=1 $(CARGO) test --locked --test it -- --ignored --exact --nocapture interop::matrix
	$(CARGO) test --locked --test it -- --ignored --exact --nocapture interop::six_at_once_twenty_times
	$(CARGO) test --locked --test it -- --ignored --exact --nocapture interop::a_promoted_image_is_there_for_cosign_and_oras

# A page for each cause of drift, from what the program itself says; after a cause was added.
causes:
	REPROV_WRITE_CAUSES=1 $(CARGO) test --locked --test it -- --exact cli::causes::every_cause_has_its_page_in_docs

# The list of attacks in docs/verification.md, from the tests that make them; after a row was added.
attacks:
	REPROV_WRITE_ATTACKS=1 $(CARGO) test --locked --test it -- --exact verify::attacks::the_list_in_the_documents_is_this_one

# docs/report.png and docs/night.png: the report of the demo's drifting image, and of a night, as a browser shows them.
screenshot: needs build
	@command -v chromium >/dev/null || apt-get install --yes --no-install-recommends chromium
	REPROV_WRITE_SCREENSHOT=1 $(CARGO) test --locked --test it -- --ignored --exact jobs::report::the_demos_drifting_image_in_a_browser
	dir=$$(mktemp -d) && PAGE=$$dir/night.html fixtures/demo-night && chromium --headless --no-sandbox --hide-scrollbars \
	    --window-size=1280,1010 --screenshot=docs/night.png file://$$dir/night.html && rm -r $$dir

lint: needs
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps
	@command -v shellcheck >/dev/null || { echo "shellcheck is not installed: scripts not checked"; exit 0; }; \
	    shellcheck .ci/run tools/* fixtures/demo fixtures/demo-night fixtures/registry fixtures/ghcr fixtures/repository fixtures/repositories fixtures/corpus fixtures/elsewhere fixtures/base/* fuzz/run buildroot/make

# Ten minutes for each reader of bytes from outside; needs a C++ compiler, which Debian's gcc does not bring.
fuzz: needs
	@command -v c++ >/dev/null || apt-get install --yes --no-install-recommends g++
	fuzz/run

# How fast it is, with peers beside: whole builds, layers, provenance. Takes five minutes.
bench: needs
	$(CARGO) bench --locked --bench speed
