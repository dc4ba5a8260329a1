/* A step that does not fit its plan is refused with the reason, whatever the chip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "chip/support_program.h"

/* A good step that a case may break: sequence 0 has rows 0-2 at positions 30-32, sequence 1 row 3 at position 4. Blocks of 16; two cache groups, the second a
 * window of 10 positions. The plan: 8 tokens, 4 sequences, 3 logit rows, context 64, 20 blocks; the step before had 2 logit rows. */
struct arrays {
    struct step step;
    struct plan_limits limits;
    int32_t ids[4], sources[4], positions[4], row_starts[3], lengths[2], slots[2], rows[2], wants[2];
    int32_t blocks[2][2][4]; /* group, sequence, entry */
    struct cache_edit edits[2];
};

static void make_good(struct arrays *a)
{
    static const struct arrays good = {
        .ids = {1, 2, 3, 49},
        .sources = {-1, -1, -1, -1},
        .positions = {30, 31, 32, 4},
        .row_starts = {0, 3, 4},
        .lengths = {33, 5},
        .slots = {3, 0},
        .rows = {2, 3},
        .wants = {WANT_ARGMAX, WANT_LOGITS | WANT_TOP},
        .blocks = {{{5, 6, 7, -1}, {0, -1, -1, -1}}, {{-1, 6, 7, -1}, {9, -1, -1, -1}}},
        .edits = {{CACHE_COPY, 0, 1, 2}, {CACHE_ZERO, 1, -1, 3}},
    };
    *a = good;
    a->step = (struct step){.id = 7,
                            .n_tokens = 4,
                            .token_ids = a->ids,
                            .token_sources = a->sources,
                            .positions = a->positions,
                            .n_sequences = 2,
                            .row_starts = a->row_starts,
                            .lengths = a->lengths,
                            .slots = a->slots,
                            .n_groups = 2,
                            .n_logit_rows = 2,
                            .logit_rows = a->rows,
                            .wants = a->wants,
                            .n_top = 5,
                            .n_edits = 2,
                            .edits = a->edits};
    a->step.tables[0] = (struct step_block_table){.blocks = a->blocks[0][0], .stride = 4};
    a->step.tables[1] = (struct step_block_table){.blocks = a->blocks[1][0], .stride = 4};
    a->limits = (struct plan_limits){.max_tokens = 8, .max_sequences = 4, .max_logit_rows = 3, .max_context = 64, .block_tokens = 16, .n_blocks = {20, 20}};
}

#define CASE(name, statement)                                                                                                                                  \
    static void name(struct arrays *a)                                                                                                                         \
    {                                                                                                                                                          \
        statement;                                                                                                                                             \
    }

CASE(too_many_tokens, a->limits.max_tokens = 3)
CASE(negative_tokens, a->step.n_tokens = -1)
CASE(too_many_sequences, a->limits.max_sequences = 1)
CASE(too_many_logit_rows, a->limits.max_logit_rows = 1)
CASE(too_many_top, a->step.n_top = STEP_MAX_TOP + 1)
CASE(other_groups, a->step.n_groups = 1)
CASE(token_beyond, a->ids[3] = 50)
CASE(token_negative, a->ids[0] = -1)
CASE(source_beyond, a->sources[2] = 2)
CASE(source_negative, a->sources[2] = -2)
CASE(no_sequences, a->step.n_sequences = 0)
CASE(rows_begin_late, a->row_starts[0] = 1)
CASE(rows_end_early, a->row_starts[2] = 3)
CASE(rows_descend, a->row_starts[1] = 5)
CASE(rows_empty, a->row_starts[1] = 0)
CASE(too_long, a->limits.max_context = 32)
CASE(too_short, a->lengths[1] = 0)
CASE(position_skips, a->positions[1] = 32)
CASE(position_negative, a->positions[3] = -1)
CASE(length_other, a->lengths[0] = 34)
CASE(more_rows_than_length, a->lengths[0] = 2)
CASE(slot_beyond, a->slots[0] = 4)
CASE(slot_negative, a->slots[0] = -1)
CASE(slot_twice, a->slots[1] = 3)
CASE(block_missing, a->blocks[0][0][0] = -1)
CASE(block_beyond, a->blocks[0][0][2] = 20)
CASE(block_missing_in_window, a->blocks[1][0][1] = -1)
CASE(table_too_narrow, a->step.tables[0].stride = 2)
CASE(table_absent, a->step.tables[1].blocks = NULL)
CASE(logit_row_beyond, a->rows[1] = 4)
CASE(logit_row_negative, a->rows[0] = -1)
CASE(logit_rows_descend, a->rows[0] = 3)
CASE(want_unknown, a->wants[0] = 16)
CASE(want_top_of_none, a->step.n_top = 0)
CASE(edit_unknown, a->edits[0].kind = 4)
CASE(edit_group, a->edits[0].group = 2)
CASE(edit_from, a->edits[0].from = -1)
CASE(edit_to, a->edits[1].to = 20)
CASE(edit_negative_count, a->step.n_edits = -1)

static const struct {
    void (*break_it)(struct arrays *a);
    const char *reason;
} cases[] = {
    {too_many_tokens, "4 tokens, expected 0 to 3"},
    {negative_tokens, "-1 tokens"},
    {too_many_sequences, "2 sequences, expected 0 to 1"},
    {too_many_logit_rows, "2 logit rows, expected 0 to 1"},
    {too_many_top, "65 top candidates"},
    {other_groups, "block tables of 1 cache groups, but the program has 2"},
    {token_beyond, "row 3 has token 50, expected 0 to 49"},
    {token_negative, "row 0 has token -1"},
    {source_beyond, "row 2 takes its token from logit row 2 of the previous step, which had 2"},
    {source_negative, "from logit row -2"},
    {no_sequences, "4 tokens, but no sequence"},
    {rows_begin_late, "rows run from 1 to 4"},
    {rows_end_early, "rows run from 0 to 3"},
    {rows_descend, "sequence 0 has rows 0 to 4 of 4"},
    {rows_empty, "sequence 0 has rows 0 to -1"},
    {too_long, "sequence 0 is 33 tokens long, expected 1 to 32"},
    {too_short, "sequence 1 is 0 tokens long"},
    {position_skips, "row 1 of sequence 0 is at position 32, expected 31"},
    {position_negative, "row 3 of sequence 1 is at position -1, expected 4"},
    {length_other, "row 0 of sequence 0 is at position 30, expected 31"},
    {more_rows_than_length, "sequence 0 has 3 rows but is 2 tokens long"},
    {slot_beyond, "sequence 0 has slot 4, expected 0 to 3"},
    {slot_negative, "sequence 0 has slot -1"},
    {slot_twice, "sequence 1 has slot 3, which another sequence"},
    {block_missing, "sequence 0: entry 0 of the block table of cache group 'full' is block -1, expected 0 to 19"},
    {block_beyond, "entry 2 of the block table of cache group 'full' is block 20"},
    {block_missing_in_window, "entry 1 of the block table of cache group 'window' is block -1"},
    {table_too_narrow, "needs 3 block-table entries in cache group 'full', the table has 2"},
    {table_absent, "needs 3 block-table entries in cache group 'window', the table has 0"},
    {logit_row_beyond, "logit row 1 is token row 4"},
    {logit_row_negative, "logit row 0 is token row -1"},
    {logit_rows_descend, "expected ascending rows"},
    {want_unknown, "wants 0x10, which has unknown bits"},
    {want_top_of_none, "the step's n_top is 0"},
    {edit_unknown, "edit 0 has an unknown kind, 4"},
    {edit_group, "edit 0 is of cache group 2"},
    {edit_from, "edit 0 goes from -1 to 2"},
    {edit_to, "edit 1 goes from -1 to 20"},
    {edit_negative_count, "-1 edits"},
};

static const struct program *make_program(struct arena *arena)
{
    struct small_model_options options = small_model_defaults();
    options.window = 10;
    arena_init(arena, 16 << 20);
    return small_model_make(arena, &options);
}

static void a_good_step_passes_and_each_broken_one_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct arena arena;
    const struct program *program = make_program(&arena);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arrays a;
        struct error err = {0};
        make_good(&a);
        if (step_check(&a.step, program, &a.limits, 2, &err))
            fail_msg("%s", err.message);
        cases[i].break_it(&a);
        if (step_check(&a.step, program, &a.limits, 2, &err) != SAMPAN_EINVAL)
            fail_msg("case %zu, '%s', was not refused", i, cases[i].reason);
        if (!strstr(err.message, cases[i].reason) || !strstr(err.message, "step 7: "))
            fail_msg("expected '%s', found '%s'", cases[i].reason, err.message);
    }
    arena_free(&arena);
}

static void entries_that_a_step_does_not_touch_may_be_absent(void **state)
{
    (void)state;
    struct arena arena;
    const struct program *program = make_program(&arena);
    struct arrays a;
    make_good(&a);
    a.blocks[1][0][0] = -1; /* positions 0-15: row 30 sees 21-30 */
    a.blocks[0][1][1] = 1000;
    assert_int_equal(step_check(&a.step, program, &a.limits, 2, NULL), 0);
    a.step.token_sources = NULL;
    assert_int_equal(step_check(&a.step, program, &a.limits, 0, NULL), 0);
    a.step.n_tokens = a.step.n_sequences = a.step.n_logit_rows = 0; /* nothing but edits */
    assert_int_equal(step_check(&a.step, program, &a.limits, 0, NULL), 0);
    arena_free(&arena);
}

static void saving_state_of_a_group_without_state_is_unsupported(void **state)
{
    (void)state;
    struct arena arena;
    const struct program *program = make_program(&arena);
    struct arrays a;
    struct error err = {0};
    make_good(&a);
    for (int32_t kind = CACHE_SNAPSHOT; kind <= CACHE_RESTORE; kind++) {
        a.edits[0].kind = kind;
        assert_int_equal(step_check(&a.step, program, &a.limits, 2, &err), SAMPAN_EUNSUPPORTED);
        assert_non_null(strstr(err.message, "'full', which has none"));
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_step_passes_and_each_broken_one_is_refused_with_its_reason),
        cmocka_unit_test(entries_that_a_step_does_not_touch_may_be_absent),
        cmocka_unit_test(saving_state_of_a_group_without_state_is_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
