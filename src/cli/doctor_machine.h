/* What sampan doctor finds of the machine itself, chips apart. */
#ifndef CLI_DOCTOR_MACHINE_H
#define CLI_DOCTOR_MACHINE_H

#include "base/machine.h"
#include "base/report.h"
#include "base/topology.h"

/* What the rows are made of; apart, so that tests may make it up. */
struct doctor_machine {
    struct machine machine;
    struct topology topology;
    uint64_t lock_limit; /* RLIMIT_MEMLOCK, bytes; UINT64_MAX: none */
    uint64_t file_limit; /* RLIMIT_NOFILE */
};

void doctor_inspect_machine(struct doctor_machine *found);
/* Appends rows in the sections "program", "cpu" and "memory". */
void doctor_judge_machine(const struct doctor_machine *found, struct report *report);

#endif
