/* The part of sampan inspect that reckons memory: what a token keeps, by cache group, and what a number of conversations take. By the model alone: elements of
 * two bytes, without a chip's layout and blocks, which sampan check knows. */
#ifndef CLI_INSPECT_MEMORY_H
#define CLI_INSPECT_MEMORY_H

#include "base/buffer.h"
#include "chip/program.h"

struct inspect_memory {
    const struct program *program;
    uint64_t weight_bytes; /* as published */
    int32_t context;       /* 0: the model's */
    int32_t batch;         /* 0: one */
};

void inspect_print_memory(const struct inspect_memory *memory, struct buffer *out);
/* `"cache_groups": [...], "memory": {...}, ` */
void inspect_json_memory(const struct inspect_memory *memory, struct buffer *out);

#endif
