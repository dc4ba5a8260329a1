#!/bin/sh
# The kernels of another machine's dialect, cross-compiled and run under qemu-user: test_cpu_kernels as it is, so every kernel gives the portable dialect's bits.
#   cross_kernels.sh FOLDER      FOLDER: for the program; exit 77 (skipped) where the compiler or the emulator is missing
set -eu
compiler=aarch64-linux-gnu-gcc
if ! command -v $compiler > /dev/null || ! command -v qemu-aarch64 > /dev/null; then
    echo "skipped: needs $compiler and qemu-aarch64 (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"
    exit 77
fi
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$1/cross_kernels_aarch64
# shellcheck disable=SC2046 # names of files without spaces
$compiler -std=gnu17 -O2 -static -Wall -Wextra -ffp-contract=off -march=armv8.2-a+dotprod -I "$root/tests/chip/cross" -I "$root/src" -I "$root/include" -I "$root/tests" \
    -o "$program" "$root/tests/chip/test_cpu_kernels.c" "$root/src/chip/cpu/kernels.c" "$root/src/chip/cpu/pack.c" \
    $(find "$root/src/chip/cpu/portable" "$root/src/chip/cpu/neon" "$root/src/tensor" -name '*.c' | grep -v peaks) -lm
exec qemu-aarch64 -cpu max "$program"
