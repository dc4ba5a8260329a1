/* checkchip from the command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkchip/checkchip.h"

#define EXIT_SKIPPED 77 /* the chip is not here; ctest calls that skipped */

static const char usage[] = "usage: checkchip [--chip CHIP] [--op NAME] [--seed N] [--quick] [--require] [--bench] [--list]\n"
                            "Compares every operation of a chip with the reference chip, and its bits across batches, chunks, blocks and workers.\n"
                            "  --chip CHIP  reference, cpu, cpu:avx2, cpu:avx512,threads=2, ...; without it the best there is\n"
                            "  --op NAME    only checks whose name begins so (--list names them)\n"
                            "  --seed N     of weights and inputs (default 1)\n"
                            "  --quick      fewer rows and shapes: some seconds\n"
                            "  --require    what the chip refuses counts as failed\n"
                            "  --bench      times the operations in the shapes of SmolLM2-135M instead\n"
                            "exit: 0 all right, 1 something failed, 2 usage, 77 no such chip on this machine\n";

static bool read_arguments(int argc, char **argv, struct checkchip_options *options, bool *list)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        char *end = NULL;
        if (strcmp(name, "--quick") == 0)
            options->quick = true;
        else if (strcmp(name, "--require") == 0)
            options->require = true;
        else if (strcmp(name, "--bench") == 0)
            options->bench = true;
        else if (strcmp(name, "--list") == 0)
            *list = true;
        else if (!value)
            return false;
        else if (strcmp(name, "--chip") == 0)
            options->chip = argv[++i];
        else if (strcmp(name, "--op") == 0)
            options->op = argv[++i];
        else if (strcmp(name, "--seed") == 0) {
            errno = 0;
            options->seed = strtoull(argv[++i], &end, 10);
            if (errno || end == value || *end)
                return false;
        } else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct checkchip_options options = {.seed = 1, .out = stdout};
    struct checkchip_totals totals;
    struct error err = {0};
    bool list = false;
    if (!read_arguments(argc, argv, &options, &list)) {
        fputs(usage, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    if (list) {
        checkchip_list(stdout);
        return 0;
    }
    int code = checkchip_run(&options, &totals, &err);
    if (code) {
        fprintf(stderr, "checkchip: %s\n", err.message);
        return code == SAMPAN_ENOTFOUND || code == SAMPAN_EUNSUPPORTED ? EXIT_SKIPPED : 1;
    }
    if (!options.bench)
        printf("%d passed, %d refused, %d failed\n", totals.n_passed, totals.n_refused, totals.n_failed);
    return totals.n_failed ? 1 : 0;
}
