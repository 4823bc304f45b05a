# Two commands for a newcomer: make demo, make test. Everything else is in scripts/.
.PHONY: demo test check bench soak install

demo: install
	@scripts/demo

test: install
	@scripts/test

check: install
	@scripts/check

bench: install
	@scripts/bench

soak: install
	@scripts/soak

install:
	@scripts/install
