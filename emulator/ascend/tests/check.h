/* Checks for the emulator's tests, which are plain programs: a failed check is printed with its place and counted. */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ascend_operators.h"

static int n_failed;

#define CHECK(condition)                                                                                                                                       \
    do {                                                                                                                                                       \
        if (!(condition)) {                                                                                                                                    \
            n_failed++;                                                                                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                                                            \
        }                                                                                                                                                      \
    } while (0)

/* The call returns the code. */
#define CHECK_CODE(call, expected)                                                                                                                             \
    do {                                                                                                                                                       \
        int code_found = (call);                                                                                                                               \
        if (code_found != (expected)) {                                                                                                                        \
            const char *message_found = aclGetRecentErrMsg();                                                                                                  \
            n_failed++;                                                                                                                                        \
            fprintf(stderr, "%s:%d: %s returned %d, expected %d (%s): %s\n", __FILE__, __LINE__, #call, code_found, (int)(expected), #expected,                \
                    message_found ? message_found : "no message");                                                                                             \
        }                                                                                                                                                      \
    } while (0)
#define CHECK_OK(call) CHECK_CODE(call, 0)

/* The newest message of this thread contains the words. */
#define CHECK_MESSAGE(words)                                                                                                                                   \
    do {                                                                                                                                                       \
        const char *message_found = aclGetRecentErrMsg();                                                                                                      \
        if (!message_found || !strstr(message_found, words)) {                                                                                                 \
            n_failed++;                                                                                                                                        \
            fprintf(stderr, "%s:%d: message '%s' lacks '%s'\n", __FILE__, __LINE__, message_found ? message_found : "", words);                                \
        }                                                                                                                                                      \
    } while (0)

static inline int checks_failed(void)
{
    if (n_failed)
        fprintf(stderr, "%d checks failed\n", n_failed);
    return n_failed != 0;
}

#endif
