/* What the examples share: a failed call is printed with the library's message and ends the program. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>

#include "ascend_operators.h"

#define OR_EXIT(call)                                                                                                                                          \
    do {                                                                                                                                                       \
        int code = (call);                                                                                                                                     \
        if (code) {                                                                                                                                            \
            const char *message = aclGetRecentErrMsg();                                                                                                        \
            fprintf(stderr, "%s failed with %d: %s\n", #call, code, message ? message : "no message");                                                         \
            exit(1);                                                                                                                                           \
        }                                                                                                                                                      \
    } while (0)

/* A buffer on the device with these bytes of the host (NULL: as it comes). */
static inline void *to_device(const void *host, size_t bytes)
{
    void *memory = NULL;
    OR_EXIT(aclrtMalloc(&memory, bytes, ACL_MEM_HUGE_FIRST));
    if (host)
        OR_EXIT(aclrtMemcpy(memory, bytes, host, bytes, ACL_HOST_TO_DEVICE));
    return memory;
}

/* A contiguous tensor over a buffer. */
static inline aclTensor *tensor_over(void *memory, aclDataType type, uint64_t n_dims, const int64_t *dims)
{
    aclTensor *tensor = aclCreateTensor(dims, n_dims, type, NULL, 0, ACL_FORMAT_ND, dims, n_dims, memory);
    if (!tensor)
        exit(1);
    return tensor;
}

#endif
