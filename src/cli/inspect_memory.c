#include "cli/inspect_memory.h"

#include <inttypes.h>
#include <string.h>

#include "cli/session.h"
#include "cli/terminal.h"

enum { F16_BYTES = 2 };

static uint64_t token_bytes(const struct program_cache_group *group)
{
    return cache_group_elements(group) * (uint64_t)group->n_layers * F16_BYTES;
}

/* Positions that a conversation of `context` tokens keeps in a group: of a window its width, of a state one. */
static uint64_t positions_kept(const struct program_cache_group *group, int32_t context)
{
    if (group->kind == CACHE_RECURRENT_STATE)
        return 1;
    return (uint64_t)(group->kind == CACHE_SLIDING_WINDOW && group->window < context ? group->window : context);
}

static uint64_t conversation_bytes(const struct program *program, int32_t context)
{
    uint64_t bytes = 0;
    for (int32_t g = 0; g < program->n_groups; g++)
        bytes += token_bytes(&program->groups[g]) * positions_kept(&program->groups[g], context); /* limits.h: below 2^63 */
    return bytes;
}

static int32_t chosen_context(const struct inspect_memory *memory)
{
    return memory->context ? memory->context : memory->program->context_length;
}

/* Saturates. */
static uint64_t batch_bytes(const struct inspect_memory *memory)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(conversation_bytes(memory->program, chosen_context(memory)), (uint64_t)(memory->batch ? memory->batch : 1), &bytes))
        return UINT64_MAX;
    return bytes;
}

void inspect_print_memory(const struct inspect_memory *memory, struct buffer *out)
{
    const struct program *program = memory->program;
    char bytes[32], whole[32], weights[32];
    buffer_printf(out, "%-15s %s per token in f16, %s for a whole context\n", "cache", format_bytes(program_cache_bytes_per_token(program, F16_BYTES), bytes),
                  format_bytes(conversation_bytes(program, program->context_length), whole));
    for (int32_t g = 0; g < program->n_groups; g++) {
        const struct program_cache_group *group = &program->groups[g];
        buffer_printf(out, "%-15s %s: %s", "", group->name, cache_kind_name(group->kind));
        if (group->window)
            buffer_printf(out, " of %" PRId32 " tokens", group->window);
        buffer_printf(out, ", %" PRId32 " layers, %s per token\n", group->n_layers, format_bytes(token_bytes(group), bytes));
    }
    if (!memory->context && !memory->batch)
        return;
    uint64_t cache = batch_bytes(memory), sum = cache > UINT64_MAX - memory->weight_bytes ? UINT64_MAX : cache + memory->weight_bytes;
    buffer_printf(out, "%-15s %" PRId32 " of %" PRId32 " tokens: %s of weights and %s of cache, %s\n", "memory", memory->batch ? memory->batch : 1,
                  chosen_context(memory), format_bytes(memory->weight_bytes, weights), format_bytes(cache, bytes), format_bytes(sum, whole));
}

void inspect_json_memory(const struct inspect_memory *memory, struct buffer *out)
{
    const struct program *program = memory->program;
    buffer_append_string(out, "\"cache_groups\": [");
    for (int32_t g = 0; g < program->n_groups; g++) {
        const struct program_cache_group *group = &program->groups[g];
        buffer_append_string(out, g ? ", {\"name\": " : "{\"name\": ");
        json_append_string(out, group->name, strlen(group->name));
        buffer_printf(out, ", \"kind\": \"%s\", \"window\": %" PRId32 ", \"layers\": %" PRId32 ", \"bytes_per_token_f16\": %" PRIu64 "}",
                      cache_kind_name(group->kind), group->window, group->n_layers, token_bytes(group));
    }
    buffer_printf(
        out, "],\n\"memory\": {\"context\": %" PRId32 ", \"conversations\": %" PRId32 ", \"weight_bytes\": %" PRIu64 ", \"cache_bytes_f16\": %" PRIu64 "},\n",
        chosen_context(memory), memory->batch ? memory->batch : 1, memory->weight_bytes, batch_bytes(memory));
}
