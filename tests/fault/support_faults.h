/* Faults on command. The programs of this folder are linked so that calls of the library to the C library's allocation, reading and thread functions
 * come here first (tests/CMakeLists.txt: --wrap). A fault is armed with a kind and a number n: the n-th call of that kind from then on fails, once or
 * with all that follow. jansson's allocations pass here too; PCRE2's do because the library gives it its own. Calls are counted and faults met in
 * whichever thread they happen. */
#ifndef TESTS_FAULT_SUPPORT_FAULTS_H
#define TESTS_FAULT_SUPPORT_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_MEMORY_ONCE,      /* one allocation fails */
    FAULT_MEMORY_GONE,      /* ... and every later one */
    FAULT_READ_FAILS,       /* EIO */
    FAULT_READ_ENDS,        /* this read and later ones find the end of the file: it was truncated meanwhile */
    FAULT_READ_INTERRUPTED, /* EINTR */
    FAULT_READ_SHORT,       /* this read and later ones give half of what was asked */
    FAULT_READ_CHANGED,     /* other bytes than the file had: it was written to meanwhile */
    FAULT_OPEN_FAILS,       /* EMFILE: no descriptor left, for files and events */
    FAULT_THREAD_FAILS,     /* EAGAIN */
    FAULT_KINDS
};

extern const char *const fault_names[FAULT_KINDS];

void faults_init(void); /* jansson's allocations too; before any use of it */
void fault_arm(enum fault_kind kind, int64_t n);
void fault_disarm(void);
bool fault_was_met(void);                  /* the armed fault has happened */
int64_t fault_count(enum fault_kind kind); /* calls of that kind so far */
int64_t fault_live_allocations(void);      /* made and not freed */

#endif
