# Shortcuts for people; the build itself is CMake (CMakePresets.json), the usual ways in are ./run and ./test.
SOURCES = $(shell git ls-files '*.c' '*.h')

all:
	@cmake --preset release >/dev/null && cmake --build --preset release

format: # tables are laid out by what made them
	clang-format -i $(filter-out %_table.h %_tables.h,$(SOURCES))

lint: all
	clang-tidy -p build/release --quiet $(filter src/%.c,$(SOURCES))
	cppcheck --quiet --enable=warning,portability --inline-suppr --suppressions-list=.cppcheck-suppressions --suppress=missingIncludeSystem --error-exitcode=1 -Isrc -Iinclude src

test asan tsan fuzz tidy score:
	./test $(filter-out test,$@)

# Into PREFIX, or below DESTDIR for a package:  make install PREFIX=/usr DESTDIR=/tmp/stage
PREFIX ?= /usr/local

install: all
	DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

# Every allocation, read, descriptor and thread of every scenario fails in turn, under the address sanitizer; ./test takes a sample.
fault-sweep-host:
	@cmake --preset asan >/dev/null && cmake --build --preset asan --target fault_test_faults
	SAMPAN_TEST_FAULTS=all build/asan/tests/fault_test_faults

# Every kind of device fault at every call of a short generation on the emulated Ascend device: some thousand processes, minutes.
fault-sweep: all
	ASCEND_HOME_PATH=$(CURDIR)/build/release/emulator/ascend python3 -B tests/ascend/fault_sweep.py build/release/tests/ascend_fault_run build/release/tests/make_tiny

clean:
	rm -rf build

.PHONY: all install format lint test asan tsan fuzz tidy score fault-sweep-host fault-sweep clean
