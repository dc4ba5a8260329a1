/* What a machine with an Ascend device tells on its first day, for `sampan doctor --chip ascend`: where the libraries are and what they lack, versions, the
 * device's state and memory, copying rates measured, and whether capture works. Each operation beside the reference is compared by doctor itself. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/report.h"
#include "chip/ascend/plan.h"

enum { RATE_ROUNDS = 3 };
#define RATE_BYTES ((uint64_t)64 << 20)
#define SEND_BACK "please send this report back: nothing here has met silicon yet"

static void report_libraries(const struct ascend_chip *chip, struct report *report)
{
    const struct ascend_library *library = chip->library;
    report_add(report, REPORT_FACT, "libraries", NULL, "%s", *library->folder ? library->folder : "found by the loader");
    report_add(report, REPORT_FACT, "version", NULL, "%s%s", chip->version, chip->profile.is_version_81 ? " (fallbacks for 8.1 in use)" : "");
    for (int i = 0; i < OPERATOR_COUNT; i++)
        if (!library->operators[i].prepare)
            report_add(report, REPORT_FACT, "missing operator", NULL, "%s: a composition of others stands in", library->operators[i].symbol);
    if (!library->begin_capture || !library->replay)
        report_add(report, REPORT_WARNING, "graphs", "a newer CANN and driver capture steps; without, decoding is bound by the host",
                   "aclmdlRICapture* is missing");
}

static void report_device(struct ascend_chip *chip, struct report *report)
{
    size_t available = 0, total = 0;
    struct error err = {0};
    report_add(report, REPORT_FACT, "device", NULL, "%s, number %d", chip->profile.soc->soc_name, chip->options.device);
    if (chip->library->get_memory(ACL_HBM, &available, &total) == 0)
        report_add(report, available < total / 2 ? REPORT_WARNING : REPORT_WELL, "memory",
                   available < total / 2 ? "another process holds much of it: npu-smi info shows which" : NULL, "%zu of %zu MiB free", available >> 20,
                   total >> 20);
    if (ascend_chip_health(&chip->base, &err))
        report_add(report, REPORT_BROKEN, "state", "npu-smi info -t health; a reset of the device may help", "%.200s", err.message);
    else
        report_add(report, REPORT_WELL, "state", NULL, "normal");
}

/* The best of a few rounds, bytes/s; 0 after an error, which is a row of its own. */
static double measure_copy(struct ascend_chip *chip, struct report *report, void *to, const void *from, enum acl_copy_kind kind, const char *name)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < RATE_ROUNDS; i++) {
        struct error err = {0};
        uint64_t begun = clock_monotonic_ns();
        int code = chip->library->copy(to, RATE_BYTES, from, RATE_BYTES, (int)kind);
        uint64_t taken = clock_monotonic_ns() - begun;
        if (code) {
            ascend_chip_fail(chip, code, &err, "copying 64 MiB");
            report_add(report, REPORT_BROKEN, name, SEND_BACK, "%.200s", err.message);
            return 0;
        }
        best = taken < best ? taken : best;
    }
    return best ? (double)RATE_BYTES * 1e9 / (double)best : 0;
}

static void report_rate(struct ascend_chip *chip, struct report *report, void *to, const void *from, enum acl_copy_kind kind, const char *name, double passes)
{
    double rate = measure_copy(chip, report, to, from, kind, name) * passes;
    if (rate > 0)
        report_add(report, REPORT_FACT, name, NULL, "%.1f GB/s over 64 MiB", rate * 1e-9);
}

static void report_copies(struct ascend_chip *chip, struct report *report)
{
    struct ascend_memory memory = {0};
    struct error err = {0};
    void *a = NULL, *b = NULL, *host = NULL;
    int status = ascend_memory_take(chip, &memory, RATE_BYTES, &a, "measuring", &err);
    if (!status)
        status = ascend_memory_take(chip, &memory, RATE_BYTES, &b, "measuring", &err);
    int code = status ? 0 : chip->library->allocate_host(&host, RATE_BYTES);
    if (code)
        status = ascend_chip_fail(chip, code, &err, "taking page-locked memory");
    if (status) {
        report_add(report, REPORT_BROKEN, "copies", SEND_BACK, "%.200s", err.message);
    } else {
        memset(host, 0, RATE_BYTES);
        report_rate(chip, report, a, host, ACL_TO_DEVICE, "host to device", 1);
        report_rate(chip, report, host, a, ACL_TO_HOST, "device to host", 1);
        report_rate(chip, report, b, a, ACL_ON_DEVICE, "within the device", 2);
    }
    if (host)
        chip->library->release_host(host);
    ascend_memory_free(chip, &memory);
}

int ascend_chip_diagnose(struct chip *base, struct report *report, struct error *err)
{
    struct ascend_chip *chip = (struct ascend_chip *)base;
    report->section = "ascend";
    int status = ascend_bind(chip, err);
    if (status)
        return status;
    report_libraries(chip, report);
    report_device(chip, report);
    report_copies(chip, report);
    report_add(report, REPORT_FACT, "to send back", NULL, "this report (--json), npu-smi info, and how the answers of a small model compare (sampan score)");
    return report->failed ? error_no_memory(err, "writing a report") : 0;
}
