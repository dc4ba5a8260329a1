/* What a chip refuses of a program, told once for each reason. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "port/check.h"

enum { MAX_REASONS = 64, WHERE_LIMIT = 4096 };

/* A reason while it is gathered. */
struct reason {
    char text[ERROR_MESSAGE_SIZE];
    enum op_kind kind;
    int32_t n_ops;
    bool outside;                   /* an operation in no layer */
    unsigned char in[LIMIT_LAYERS]; /* by layer */
};

/* Equal but for numbers: "layer 3 ..." and "layer 4 ..." are one reason. */
static bool differ_in_numbers_only(const char *a, const char *b)
{
    for (;;) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        }
        if (*a != *b)
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

static void note_operation(struct reason *reasons, int32_t *n, const struct op *op, const char *text)
{
    int32_t i = 0;
    while (i < *n && (reasons[i].kind != op->kind || !differ_in_numbers_only(reasons[i].text, text)))
        i++;
    if (i == *n && *n == MAX_REASONS)
        i--; /* the last one speaks for the rest */
    struct reason *reason = &reasons[i];
    if (i == *n) {
        memset(reason, 0, sizeof *reason);
        memcpy(reason->text, text, strlen(text) + 1);
        reason->kind = op->kind;
        (*n)++;
    }
    reason->n_ops++;
    if (op->layer >= 0 && op->layer < LIMIT_LAYERS)
        reason->in[op->layer] = 1;
    else
        reason->outside = true;
}

static void write_where(const struct reason *reason, struct buffer *where)
{
    for (int32_t first = 0; first < LIMIT_LAYERS; first++) {
        if (!reason->in[first])
            continue;
        int32_t last = first;
        while (last + 1 < LIMIT_LAYERS && reason->in[last + 1])
            last++;
        buffer_printf(where, where->length ? ", %d" : "layers %d", first);
        if (last > first)
            buffer_printf(where, "-%d", last);
        first = last;
    }
    if (reason->outside)
        buffer_append_string(where, where->length ? " and outside the layers" : "outside the layers");
}

static int keep_reasons(const struct reason *reasons, int32_t n, struct arena *arena, struct port_answer *answer, struct error *err)
{
    struct port_refusal *refusals = arena_alloc_array(arena, (size_t)n, sizeof *refusals);
    struct buffer where;
    buffer_init(&where, WHERE_LIMIT);
    bool good = refusals != NULL;
    for (int32_t i = 0; good && i < n; i++) {
        buffer_clear(&where);
        write_where(&reasons[i], &where);
        refusals[i].reason = arena_strndup(arena, reasons[i].text, strlen(reasons[i].text));
        refusals[i].where = where.data ? arena_strndup(arena, where.data, where.length) : NULL;
        refusals[i].kind = reasons[i].kind;
        refusals[i].n_ops = reasons[i].n_ops;
        good = refusals[i].reason && refusals[i].where;
    }
    buffer_free(&where);
    if (!good)
        return error_no_memory(err, "listing what a chip refuses");
    answer->refusals = refusals;
    answer->n_refusals = n;
    return 0;
}

int port_list_refusals(const struct port_question *question, enum tensor_type cache_type, struct arena *arena, struct port_answer *answer, struct error *err)
{
    struct reason *reasons = mem_alloc_array(MAX_REASONS, sizeof *reasons);
    int32_t n = 0;
    if (!reasons)
        return error_no_memory(err, "listing what a chip refuses");
    for (int32_t i = 0; i < question->program->n_ops; i++) {
        struct error refusal;
        const struct op *op = &question->program->ops[i];
        if (question->chip->supports(question->profile->name, question->program, op, cache_type, &refusal))
            note_operation(reasons, &n, op, refusal.message);
    }
    int status = n ? keep_reasons(reasons, n, arena, answer, err) : 0;
    mem_free(reasons);
    return status;
}
