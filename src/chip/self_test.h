/* A first look at whether a chip computes what it should: every operation on a small shape, beside the reference chip, in some milliseconds. For machines that
 * nobody has tried yet (sampan doctor); checkchip is the thorough test: many shapes, batches, bits.
 *
 * Values are pseudo-random and the same on every run. An operation is well when its error, root mean square and in relation to the outputs' own, is at most
 * SELF_TEST_RMS, and no single element is off by SELF_TEST_WORST: enough for bf16 and for int8 weights and inputs, far below what a wrong operation gives. */
#ifndef CHIP_SELF_TEST_H
#define CHIP_SELF_TEST_H

#include "base/report.h"
#include "chip/chip.h"

#define SELF_TEST_RMS 0.03
#define SELF_TEST_WORST 0.25

/* Appends a row for each operation: well with the error found, broken with what was wrong (a failed call, a hang, wrong numbers), or a fact where the chip's
 * supports() refuses it. `profile` is what the chip was opened with. An error means that the test itself could not run (memory, the reference chip). */
int chip_self_test(struct chip *chip, const char *profile, struct report *report, struct error *err);

#endif
