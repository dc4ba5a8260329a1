/* Programs: each kind of broken one is refused with a reason, segments follow their rule, printing folds equal layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "chip/support_program.h"

/* A program that a case may break anywhere. Operations of the small model: 0 embed; per layer from 1 and from 10: norm, query/key/value, rope, attention,
 * output, norm, gate/up, activation, down; 19 select, 20 norm, 21 head, 22 logits. */
enum { EMBED = 0, NORM = 1, LINEAR = 2, ROPE = 3, ATTENTION = 4, OUTPUT = 5, NORM_RESIDUAL = 6, GATED = 8, SELECT = 19, HEAD = 21, LOGITS = 22 };

struct broken {
    struct program program;
    struct program_buffer buffers[32];
    struct logical_weight weights[64];
    struct weight_part parts[64]; /* of each weight: one */
    struct program_cache_group groups[STEP_MAX_GROUPS];
    struct op ops[32];
};

static void copy_program(struct broken *broken, const struct program *program)
{
    broken->program = *program;
    memcpy(broken->buffers, program->buffers, (size_t)program->n_buffers * sizeof *program->buffers);
    memcpy(broken->weights, program->weights, (size_t)program->n_weights * sizeof *program->weights);
    memcpy(broken->groups, program->groups, (size_t)program->n_groups * sizeof *program->groups);
    memcpy(broken->ops, program->ops, (size_t)program->n_ops * sizeof *program->ops);
    for (int32_t w = 0; w < program->n_weights; w++) {
        broken->parts[w] = program->weights[w].parts[0];
        broken->weights[w].parts = &broken->parts[w];
    }
    broken->program.buffers = broken->buffers;
    broken->program.weights = broken->weights;
    broken->program.groups = broken->groups;
    broken->program.ops = broken->ops;
}

/* The first part and the weight of the query. */
static struct weight_part *query_part(struct broken *b)
{
    return &b->parts[b->ops[LINEAR].linear.weights[0]];
}
static struct logical_weight *query_weight(struct broken *b)
{
    return &b->weights[b->ops[LINEAR].linear.weights[0]];
}

#define CASE(name, statement)                                                                                                                                  \
    static void name(struct broken *b)                                                                                                                         \
    {                                                                                                                                                          \
        statement;                                                                                                                                             \
    }

CASE(no_operations, b->program.n_ops = 0)
CASE(unknown_operation, b->ops[3].kind = OP_KIND_COUNT)
CASE(negative_operation, b->ops[3].kind = (enum op_kind) - 1)
CASE(vocabulary_of_nothing, b->program.n_vocabulary = 0)
CASE(too_many_layers, b->program.n_layers = LIMIT_LAYERS + 1)
CASE(no_context, b->program.context_length = 0)
CASE(wide_buffer, b->buffers[0].width = LIMIT_VOCABULARY + 1)
CASE(nine_groups, b->program.n_groups = STEP_MAX_GROUPS + 1)
CASE(group_without_heads, b->groups[0].streams[CACHE_KEYS].n_heads = 0)
CASE(group_without_layers, b->groups[0].n_layers = 0)
CASE(group_with_wide_heads, b->groups[0].streams[CACHE_KEYS].width = LIMIT_HEAD_WIDTH + 1)
CASE(group_with_fewer_values, b->groups[0].streams[CACHE_VALUES].n_heads = 1)
CASE(group_without_values, b->groups[0].n_streams = 1)
CASE(group_of_many_streams, b->groups[0].kind = CACHE_LATENT; b->groups[0].n_streams = CACHE_MAX_STREAMS + 1)
CASE(op_beyond_layers, b->ops[3].layer = 2)
CASE(full_group_with_window, b->groups[0].window = 7)
CASE(unknown_group, b->groups[0].kind = (enum cache_kind)17)
CASE(embed_without_table, b->ops[EMBED].embed.table = -1)
CASE(embed_beyond_weights, b->ops[EMBED].embed.table = b->program.n_weights)
CASE(embed_of_linear, b->ops[EMBED].embed.table = b->ops[HEAD].linear.weights[0])
CASE(embed_to_logit_rows, b->ops[EMBED].embed.out = b->ops[SELECT].select_rows.out)
CASE(embed_too_few_rows, b->program.n_vocabulary = 49)
CASE(embed_scale_nan, b->ops[EMBED].embed.scale = NAN)
CASE(norm_of_itself, b->ops[NORM].norm.out = b->ops[NORM].norm.x)
CASE(norm_adds_itself, b->ops[NORM_RESIDUAL].norm.residual = b->ops[NORM_RESIDUAL].norm.x)
CASE(norm_to_other_width, b->ops[NORM].norm.out = b->ops[GATED].gated.out)
CASE(norm_unknown, b->ops[NORM].norm.kind = (enum norm_kind)9)
CASE(norm_epsilon, b->ops[NORM].norm.epsilon = -1)
CASE(norm_weight_of_other_width, b->weights[b->ops[NORM].norm.weight].columns = 31)
CASE(norm_buffer_negative, b->ops[NORM].norm.x = -1)
CASE(norm_buffer_beyond, b->ops[NORM].norm.x = b->program.n_buffers)
CASE(linear_without_outputs, b->ops[LINEAR].linear.n_outputs = 0)
CASE(linear_with_four_outputs, b->ops[LINEAR].linear.n_outputs = 4)
CASE(linear_in_place, b->ops[OUTPUT].linear.outs[0] = b->ops[OUTPUT].linear.x)
CASE(linear_twice_the_same, b->ops[LINEAR].linear.outs[2] = b->ops[LINEAR].linear.outs[1])
CASE(linear_bias_is_a_matrix, b->ops[LINEAR].linear.biases[0] = b->ops[LINEAR].linear.weights[0])
CASE(linear_weight_beyond, b->ops[LINEAR].linear.weights[0] = 1000000)
CASE(rope_other_group, b->ops[ROPE].rope_cache.group = 1)
CASE(rope_other_layer, b->ops[ROPE].rope_cache.layer = 2)
CASE(rope_odd_heads, b->ops[ROPE].rope_cache.n_heads = 3)
CASE(rope_odd_width, b->ops[ROPE].rope_cache.rotary_width = 7)
CASE(rope_too_wide, b->ops[ROPE].rope_cache.rotary_width = 10)
CASE(rope_without_frequencies, b->ops[ROPE].rope_cache.frequencies = NULL)
CASE(rope_pairing, b->ops[ROPE].rope_cache.pairing = (enum rope_pairing)2)
CASE(rope_key_is_value, b->ops[ROPE].rope_cache.key = b->ops[ROPE].rope_cache.value)
CASE(rope_twice, b->ops[12].rope_cache.layer = 0)
CASE(rope_magnitude, b->ops[ROPE].rope_cache.magnitude = INFINITY)
CASE(attention_first, struct op op = b->ops[ROPE]; b->ops[ROPE] = b->ops[ATTENTION]; b->ops[ATTENTION] = op)
CASE(attention_of_latent, b->groups[0].kind = CACHE_LATENT)
CASE(attention_window, b->ops[ATTENTION].attention.window = -1)
CASE(attention_scale, b->ops[ATTENTION].attention.scale = NAN)
CASE(attention_in_place, b->ops[ATTENTION].attention.out = b->ops[ATTENTION].attention.query)
CASE(group_window_but_operation_all, b->groups[0].kind = CACHE_SLIDING_WINDOW; b->groups[0].window = 16)
CASE(activation_unknown, b->ops[GATED].gated.kind = (enum activation_kind)5)
CASE(activation_of_two_widths, b->ops[GATED].gated.up = 0)
CASE(select_to_tokens, b->ops[SELECT].select_rows.out = b->ops[NORM].norm.out)
CASE(select_of_other_width, b->ops[SELECT].select_rows.residual = b->ops[GATED].gated.gate)
CASE(logits_not_last, b->ops[5] = b->ops[LOGITS])
CASE(logits_narrow, b->ops[LOGITS].logits.x = b->ops[SELECT].select_rows.out)
CASE(read_before_written, b->ops[NORM].norm.residual = b->ops[OUTPUT].linear.outs[0])
CASE(weight_of_no_rows, query_weight(b)->rows = 0)
CASE(weight_with_unknown_role, query_weight(b)->role = (enum weight_role)7)
CASE(weight_without_parts, query_weight(b)->n_parts = 0)
CASE(weight_three_segments, query_weight(b)->segments = 3)
CASE(weight_many_segments, query_weight(b)->segments = 2 * LIMIT_SPLIT_SEGMENTS)
CASE(weight_unit, query_weight(b)->unit_columns = 5)
CASE(weight_unit_zero, query_weight(b)->unit_columns = 0)
CASE(shard_unaligned, query_weight(b)->segments = 2; query_weight(b)->first_segment = 1; query_weight(b)->whole_segments = 4)
CASE(shard_beyond, query_weight(b)->first_segment = 4; query_weight(b)->whole_segments = 4)
CASE(shard_of_nothing, query_weight(b)->first_segment = 1)
CASE(shard_of_other_columns, query_weight(b)->whole_segments = 4; query_weight(b)->unit_columns = 8; query_weight(b)->whole_columns = 64)
CASE(vector_with_rows, b->weights[b->ops[NORM].norm.weight].rows = 2)
CASE(vector_in_segments, b->weights[b->ops[NORM].norm.weight].segments = 2)
CASE(part_of_integers, query_part(b)->type = TENSOR_I32)
CASE(part_of_unknown_type, query_part(b)->type = TENSOR_TYPE_COUNT)
CASE(part_too_short, query_part(b)->bytes--)
CASE(part_of_other_columns, query_part(b)->columns++)
CASE(part_of_too_few_rows, query_part(b)->rows--; query_part(b)->bytes -= 32 * 4)
CASE(part_of_too_many_rows, query_part(b)->rows++; query_part(b)->bytes += 32 * 4)
CASE(part_nowhere, query_part(b)->memory = NULL)

static struct file small_file = {.descriptor = -1, .size = 100, .path = (char *)"small.gguf"};
CASE(part_beyond_its_file, query_part(b)->file = &small_file)
CASE(part_offset_overflows, query_part(b)->file = &small_file; query_part(b)->offset = UINT64_MAX - 8)

static const struct {
    void (*break_it)(struct broken *b);
    const char *reason; /* what the message says */
} cases[] = {
    {no_operations, "0 operations"},
    {unknown_operation, "unknown kind of operation"},
    {negative_operation, "unknown kind of operation"},
    {vocabulary_of_nothing, "vocabulary of 0"},
    {too_many_layers, "1025 layers"},
    {no_context, "context of 0"},
    {wide_buffer, "buffer 'hidden' is 4194305 wide"},
    {nine_groups, "9 cache groups"},
    {group_without_heads, "cache group 'full' has keys of 0 heads"},
    {group_with_fewer_values, "keys of 2 heads and values of 1"},
    {group_without_values, "has 1 streams, expected keys and values"},
    {group_of_many_streams, "has 5 streams, expected 1 to 4"},
    {op_beyond_layers, "it belongs to layer 2, but the program has 2"},
    {group_without_layers, "cache group 'full' has 0 layers"},
    {group_with_wide_heads, "keys of 1025 elements"},
    {full_group_with_window, "a window of 7 positions, which does not fit its kind"},
    {unknown_group, "unknown kind, 17"},
    {embed_without_table, "operation 0 (embedding, embed): the table is weight -1"},
    {embed_beyond_weights, "but the program has weights 0 to"},
    {embed_of_linear, "'head', has role"},
    {embed_to_logit_rows, "has a row per logit row, expected one per token"},
    {embed_too_few_rows, "is [50, 32], expected [49, 32]"},
    {embed_scale_nan, "the scale is not a finite number"},
    {norm_of_itself, "must be different buffers"},
    {norm_adds_itself, "must be different buffers"},
    {norm_to_other_width, "the output, buffer 'activated', is 64 wide, expected 32"},
    {norm_unknown, "unknown kind of norm 9"},
    {norm_epsilon, "epsilon is -1"},
    {norm_weight_of_other_width, "units of 32 columns do not divide its 31"},
    {norm_buffer_negative, "the input is buffer -1"},
    {norm_buffer_beyond, "but the program has buffers 0 to"},
    {linear_without_outputs, "0 outputs, expected 1 to 3"},
    {linear_with_four_outputs, "4 outputs, expected 1 to 3"},
    {linear_in_place, "an output is the input buffer"},
    {linear_twice_the_same, "two outputs are the same buffer"},
    {linear_bias_is_a_matrix, "the bias, weight"},
    {linear_weight_beyond, "the weight is weight 1000000"},
    {rope_other_group, "cache group 1, but the program has 1"},
    {rope_other_layer, "layer 2 of cache group 'full', which has 2"},
    {rope_odd_heads, "3 heads, expected a multiple of the cache's 2"},
    {rope_odd_width, "a rotary width of 7"},
    {rope_too_wide, "a rotary width of 10"},
    {rope_without_frequencies, "the rotation has no frequencies"},
    {rope_pairing, "unknown pairing 2"},
    {rope_key_is_value, "must be different buffers"},
    {rope_twice, "layer 0 of cache group 0 is written twice"},
    {rope_magnitude, "must be finite numbers"},
    {attention_first, "before keys and values of this step are in it"},
    {attention_of_latent, "does not hold keys and values"},
    {attention_window, "a window of -1"},
    {attention_scale, "the scale is not a finite number"},
    {attention_in_place, "must be different buffers"},
    {group_window_but_operation_all, "a window of 0 positions (0: all) over cache group 'full', which keeps 16"},
    {activation_unknown, "unknown activation 5"},
    {activation_of_two_widths, "up, buffer 'hidden', is 32 wide, expected 64"},
    {select_to_tokens, "has a row per token, expected one per logit row"},
    {select_of_other_width, "the residual, buffer 'gate', is 64 wide"},
    {logits_not_last, "logits must be the last operation, but 17 follow"},
    {logits_narrow, "is 32 wide, expected 50"},
    {read_before_written, "it reads buffer 'projected', which is written only later"},
    {weight_of_no_rows, "is [0, 32]"},
    {weight_with_unknown_role, "unknown role, 7"},
    {weight_without_parts, "has no parts"},
    {weight_three_segments, "has 3 segments"},
    {weight_many_segments, "has 128 segments"},
    {weight_unit, "units of 5 columns do not divide"},
    {weight_unit_zero, "units of 0 columns do not divide"},
    {vector_with_rows, "is a vector with 2 rows"},
    {shard_unaligned, "is segments 1 to 2 of 4"},
    {shard_beyond, "is segments 4 to 4 of 4"},
    {shard_of_nothing, "begins at segment 1 of no whole"},
    {shard_of_other_columns, "has 32 columns, its segments 16"},
    {vector_in_segments, "has 2 segments"},
    {part_of_integers, "has a type that is not a number type"},
    {part_of_unknown_type, "has a type that is not a number type"},
    {part_too_short, "says 4095 bytes, its shape and type need 4096"},
    {part_of_other_columns, "expected 32 columns"},
    {part_of_too_few_rows, "its parts have 31 rows, expected 32"},
    {part_of_too_many_rows, "its parts have more than its 32 rows"},
    {part_nowhere, "has neither a file nor memory"},
    {part_beyond_its_file, "lies outside small.gguf of 100 bytes"},
    {part_offset_overflows, "lies outside small.gguf of 100 bytes"},
};

static void each_kind_of_broken_program_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 16 << 20);
    struct small_model_options options = small_model_defaults();
    const struct program *program = small_model_make(&arena, &options);
    static struct broken broken;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        copy_program(&broken, program);
        assert_int_equal(program_check(&broken.program, &err), 0);
        cases[i].break_it(&broken);
        if (program_check(&broken.program, &err) != SAMPAN_EINVAL)
            fail_msg("case %zu, '%s', was not refused", i, cases[i].reason);
        if (!strstr(err.message, cases[i].reason))
            fail_msg("expected '%s', found '%s'", cases[i].reason, err.message);
        assert_int_equal(program_check(&broken.program, NULL), SAMPAN_EINVAL);
    }
    arena_free(&arena);
}

static void a_buffer_that_nothing_writes_is_an_input(void **state)
{
    (void)state;
    struct arena arena;
    struct program_builder *builder;
    const struct program *program;
    struct error err = {0};
    int32_t first = -1;
    arena_init(&arena, 1 << 20);
    assert_int_equal(program_builder_create(&arena, "one norm", &builder, &err), 0);
    int32_t x = program_add_buffer(builder, "x", 4, ROWS_TOKENS), y = program_add_buffer(builder, "y", 4, ROWS_TOKENS);
    int32_t out = program_add_buffer(builder, "out", 4, ROWS_TOKENS);
    program_add_op(builder, &(struct op){.kind = OP_NORM, .label = "norm", .norm = {.x = x, .residual = y, .weight = -1, .out = out}});
    if (program_builder_finish(builder, 1, 0, 1, &program, &err))
        fail_msg("%s", err.message);
    assert_int_equal(program_count_inputs(program, &first), 2);
    assert_int_equal(first, x);
    arena_free(&arena);
}

/* The rule itself, told another way: unit u belongs to the segment i with i*U/S <= u < (i+1)*U/S. */
static void segments_cover_all_columns_in_order_and_cut_no_unit(void **state)
{
    (void)state;
    for (int32_t units = 1; units <= 40; units++) {
        for (int32_t segments = 1; segments <= 64; segments *= 2) {
            struct logical_weight weight = {.columns = 32 * units, .unit_columns = 32, .segments = segments};
            int64_t next = 0;
            for (int32_t i = 0; i < segments; i++) {
                int64_t first, last;
                bool is_full = weight_segment(&weight, i, &first, &last);
                assert_int_equal(first, next);
                assert_int_equal(last % 32, 0);
                assert_int_equal(is_full, last > first);
                assert_in_range((last - first) / 32, units / segments, units / segments + 1);
                next = last;
            }
            assert_int_equal(next, weight.columns);
        }
    }
}

/* A shard keeps the whole's bounds: also where the units do not divide evenly, so that its own floor(i*U/S) would be others. */
static void a_shard_keeps_the_bounds_of_the_whole(void **state)
{
    (void)state;
    struct logical_weight whole = {.columns = 32 * 21, .unit_columns = 32, .segments = 8}, shard = {.unit_columns = 32, .segments = 2};
    shard.whole_segments = 8;
    shard.whole_columns = whole.columns;
    for (shard.first_segment = 0; shard.first_segment < 8; shard.first_segment += 2) {
        int64_t start, first, last, own_first, own_last;
        weight_segment(&whole, shard.first_segment, &start, &last);
        for (int32_t i = 0; i < 2; i++) {
            bool is_full = weight_segment(&whole, shard.first_segment + i, &first, &last);
            assert_int_equal(weight_segment(&shard, i, &own_first, &own_last), is_full);
            assert_int_equal(own_first, first - start);
            assert_int_equal(own_last, last - start);
        }
    }
}

static void building_reports_lack_of_memory_and_leaves_no_program(void **state)
{
    (void)state;
    struct error err = {0};
    for (int64_t n = 0; n < 4; n++) {
        struct arena arena;
        struct program_builder *builder = NULL;
        const struct program *program = NULL;
        arena_init(&arena, n == 3 ? 200 : 1 << 20);
        mem_fail_after(n < 3 ? n : -1);
        int status = program_builder_create(&arena, "program", &builder, &err);
        for (int i = 0; !status && i < 40; i++)
            program_add_buffer(builder, "a buffer", 4, ROWS_TOKENS);
        if (!status)
            program_add_op(builder, &(struct op){.kind = OP_NORM, .label = "norm", .norm = {.x = 0, .residual = -1, .weight = -1, .out = 1}});
        if (!status)
            status = program_builder_finish(builder, 1, 0, 1, &program, &err);
        mem_fail_after(-1);
        assert_int_equal(status, SAMPAN_ENOMEM);
        assert_null(program);
        arena_free(&arena);
    }
}

static void operands_name_what_is_read_and_written(void **state)
{
    (void)state;
    struct op_operands operands;
    op_get_operands(&(struct op){.kind = OP_NORM, .norm = {.x = 1, .residual = 2, .weight = 3, .out = 4}}, &operands);
    assert_int_equal(operands.n_reads, 2);
    assert_int_equal(operands.n_writes, 2); /* x as well: the residual is added to it */
    assert_int_equal(operands.weights[0], 3);
    assert_int_equal(operands.group, -1);
    op_get_operands(&(struct op){.kind = OP_LINEAR, .linear = {.x = 1, .n_outputs = 3, .weights = {5, 6, 7}, .biases = {8, -1, 9}, .outs = {2, 3, 4}}},
                    &operands);
    assert_int_equal(operands.n_weights, 5);
    assert_int_equal(operands.weights[3], 8);
    op_get_operands(
        &(struct op){.kind = OP_ROPE_CACHE, .rope_cache = {.query = 0, .key = 1, .value = 2, .query_norm = -1, .key_norm = 4, .group = 1, .layer = 7}},
        &operands);
    assert_int_equal(operands.n_weights, 1);
    assert_int_equal(operands.group, 1);
    assert_int_equal(operands.layer, 7);
    assert_string_equal(op_kind_name(OP_ROPE_CACHE), "rope_cache");
    assert_string_equal(op_kind_name((enum op_kind)99), "unknown");
}

static void bytes_count_a_shared_table_once(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 16 << 20);
    struct small_model_options options = small_model_defaults();
    static struct broken b;
    copy_program(&b, small_model_make(&arena, &options));
    uint64_t bytes = program_weight_bytes(&b.program), head = 50 * 32 * 4;
    b.parts[b.ops[HEAD].linear.weights[0]] = b.parts[b.ops[EMBED].embed.table];
    assert_int_equal(program_weight_bytes(&b.program), bytes - head);
    assert_int_equal(program_cache_bytes_per_token(&b.program, 2), 2 * 2 * (2 * 8 + 2 * 8));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_broken_program_is_refused_with_its_reason),
        cmocka_unit_test(a_buffer_that_nothing_writes_is_an_input),
        cmocka_unit_test(segments_cover_all_columns_in_order_and_cut_no_unit),
        cmocka_unit_test(a_shard_keeps_the_bounds_of_the_whole),
        cmocka_unit_test(building_reports_lack_of_memory_and_leaves_no_program),
        cmocka_unit_test(operands_name_what_is_read_and_written),
        cmocka_unit_test(bytes_count_a_shared_table_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
