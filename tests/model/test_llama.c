/* From a GGUF file to a program: the Llama family. A good file gives the program one expects; each broken or unknown one is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "chip/chip.h"
#include "tiny/gguf_writer.h"
#include "model/model.h"
#include "tiny/tiny_model.h"

/* How a file differs from the good one: 4 layers, hidden 64, 4 heads over 2 of 16, feed-forward 96, vocabulary 40, Q4_1, tied. */
struct change {
    const char *reason;    /* what the message says */
    int code;              /* what is returned */
    const char *leave_out; /* a key or a tensor */
    const char *key;       /* added, or instead of the good value: one of the following */
    int64_t integer;
    double number;
    const char *text;
    enum { INTEGER, NUMBER, TEXT, BOOL } kind;
    const char *tensor; /* added, or instead of the good one: F32 unless a type is given */
    int n_dimensions;
    uint64_t shape[3];
    enum tensor_type type;
    const float *values; /* NULL: zeros */
};

static void add_integer(struct gguf_writer *writer, const struct change *change, const char *key, int64_t value)
{
    bool is_left_out = (change->leave_out && strcmp(change->leave_out, key) == 0) || (change->key && strcmp(change->key, key) == 0);
    if (!is_left_out)
        gguf_add_integer(writer, key, GGUF_UINT32, value);
}

static const unsigned char zeros[1 << 16];

static void add_tensor(struct gguf_writer *writer, const struct change *change, const char *name, enum tensor_type type, uint64_t rows, uint64_t columns)
{
    if ((change->leave_out && strcmp(change->leave_out, name) == 0) || (change->tensor && strcmp(change->tensor, name) == 0))
        return;
    gguf_add_tensor(writer, name, type, rows ? 2 : 1, rows ? (uint64_t[]){rows, columns} : (uint64_t[]){columns}, zeros);
}

static void add_change(struct gguf_writer *writer, const struct change *change)
{
    if (change->key && change->kind == INTEGER)
        gguf_add_integer(writer, change->key, GGUF_INT64, change->integer);
    if (change->key && change->kind == BOOL)
        gguf_add_bool(writer, change->key, change->integer != 0);
    if (change->key && change->kind == NUMBER)
        gguf_add_float(writer, change->key, (float)change->number);
    if (change->key && change->kind == TEXT)
        gguf_add_string(writer, change->key, change->text);
    if (change->tensor)
        gguf_add_tensor(writer, change->tensor, change->type, change->n_dimensions, change->shape, change->values ? (const void *)change->values : zeros);
}

static void write_layer(struct gguf_writer *writer, const struct change *change, int layer)
{
    static const struct {
        const char *name;
        enum tensor_type type;
        uint64_t rows, columns;
    } tensors[] = {
        {"attn_norm", TENSOR_F32, 0, 64},  {"attn_q", TENSOR_Q4_1, 64, 64},      {"attn_k", TENSOR_Q4_1, 32, 64},
        {"attn_v", TENSOR_Q5_0, 32, 64},   {"attn_output", TENSOR_Q4_1, 64, 64}, {"ffn_norm", TENSOR_F32, 0, 64},
        {"ffn_gate", TENSOR_Q4_1, 96, 64}, {"ffn_up", TENSOR_Q4_1, 96, 64},      {"ffn_down", TENSOR_Q4_1, 64, 96},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, tensors[i].name);
        add_tensor(writer, change, name, tensors[i].type, tensors[i].rows, tensors[i].columns);
    }
}

static struct checkpoint *open_changed(const struct change *change)
{
    struct gguf_writer writer;
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    gguf_writer_init(&writer, 3);
    if (!change->key || strcmp(change->key, "general.architecture") != 0)
        gguf_add_string(&writer, "general.architecture", "llama");
    add_integer(&writer, change, "llama.block_count", 4);
    add_integer(&writer, change, "llama.context_length", 128);
    add_integer(&writer, change, "llama.embedding_length", 64);
    add_integer(&writer, change, "llama.feed_forward_length", 96);
    add_integer(&writer, change, "llama.attention.head_count", 4);
    add_integer(&writer, change, "llama.attention.head_count_kv", 2);
    add_integer(&writer, change, "llama.rope.dimension_count", 16);
    add_integer(&writer, change, "llama.vocab_size", 40);
    if (!change->leave_out || strcmp(change->leave_out, "llama.attention.layer_norm_rms_epsilon") != 0)
        gguf_add_float(&writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    add_tensor(&writer, change, "token_embd.weight", TENSOR_Q8_0, 40, 64);
    for (int layer = 0; layer < 4; layer++)
        write_layer(&writer, change, layer);
    add_tensor(&writer, change, "output_norm.weight", TENSOR_F32, 0, 64);
    add_change(&writer, change);
    if (gguf_writer_open(&writer, &checkpoint, &err))
        fail_msg("%s", err.message);
    gguf_writer_free(&writer);
    return checkpoint;
}

/* Compares with a file in data/, which `UPDATE_GOLDENS=1 model_test_llama` writes anew: read the difference before you commit it. */
static void assert_golden(const char *text, size_t length, const char *path)
{
    char *expected;
    struct error err = {0};
    if (getenv("UPDATE_GOLDENS")) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(text, 1, length, file), length);
        fclose(file);
    }
    if (file_read_whole(path, 1 << 20, &expected, &length, &err))
        fail_msg("%s", err.message);
    assert_string_equal(text, expected);
    mem_free(expected);
}

/* The program of a file that must be good; freed by close_opened. */
struct opened {
    struct checkpoint *checkpoint;
    struct arena arena;
    const struct program *program;
};

static void open_program(struct opened *opened, const struct change *change, int32_t segments)
{
    struct error err = {0};
    opened->checkpoint = open_changed(change);
    arena_init(&opened->arena, 16 << 20);
    if (model_write_program(opened->checkpoint, &(struct model_options){.segments = segments}, &opened->arena, &opened->program, &err))
        fail_msg("%s", err.message);
}

static void close_opened(struct opened *opened)
{
    arena_free(&opened->arena);
    checkpoint_close(opened->checkpoint);
}

#define NOT_SUPPORTED .code = SAMPAN_EUNSUPPORTED
#define MALFORMED .code = SAMPAN_EFORMAT
#define MISSING .code = SAMPAN_ENOTFOUND

static const struct change broken[] = {
    {"family 'gpt2', which this version does not know; it knows: llama", NOT_SUPPORTED, .key = "general.architecture", .text = "gpt2", .kind = TEXT},
    /* Sizes that are missing, absurd, or contradict each other or the tensors */
    {"'llama.block_count' is missing", MISSING, .leave_out = "llama.block_count"},
    {"'llama.embedding_length' is missing", MISSING, .leave_out = "llama.embedding_length"},
    {"'llama.attention.layer_norm_rms_epsilon' is missing", MISSING, .leave_out = "llama.attention.layer_norm_rms_epsilon"},
    {"'llama.block_count' is 0", MALFORMED, .key = "llama.block_count", .integer = 0},
    {"'llama.block_count' is 1000000", MALFORMED, .key = "llama.block_count", .integer = 1000000},
    {"'llama.context_length' is -5", MALFORMED, .key = "llama.context_length", .integer = -5},
    {"'llama.block_count' is a string", MALFORMED, .key = "llama.block_count", .text = "two", .kind = TEXT},
    {"tensor 'blk.4.attn_norm.weight' is missing", MISSING, .key = "llama.block_count", .integer = 5},
    {"tensor 'blk.1.attn_norm.weight' is not part of the family", NOT_SUPPORTED, .key = "llama.block_count", .integer = 1},
    {"tensor 'token_embd.weight' is [40, 64], expected [40, 128] by the metadata (vocab_size, embedding_length)", MALFORMED, .key = "llama.embedding_length",
     .integer = 128},
    {"tensor 'token_embd.weight' is [40, 64], expected [41, 64]", MALFORMED, .key = "llama.vocab_size", .integer = 41},
    {"embedding_length is 64, expected a multiple of attention.head_count, 5", MALFORMED, .key = "llama.attention.head_count", .integer = 5},
    {"attention.head_count is 4, expected a multiple of attention.head_count_kv, 3", MALFORMED, .key = "llama.attention.head_count_kv", .integer = 3},
    {"'blk.0.attn_k.weight' is [32, 64], expected [64, 64] by the metadata (attention.head_count_kv * attention.key_length, embedding_length)", MALFORMED,
     .key = "llama.attention.head_count_kv", .integer = 4},
    {"'blk.0.attn_q.weight' is [64, 64], expected [128, 64]", MALFORMED, .key = "llama.attention.key_length", .integer = 32},
    {"'blk.0.ffn_gate.weight' is [96, 64], expected [128, 64] by the metadata (feed_forward_length", MALFORMED, .key = "llama.feed_forward_length",
     .integer = 128},
    {"rope.dimension_count is 15, expected an even number", MALFORMED, .key = "llama.rope.dimension_count", .integer = 15},
    {"rope.dimension_count is 18, expected an even number of at most the head width 16", MALFORMED, .key = "llama.rope.dimension_count", .integer = 18},
    /* What would change the mathematics */
    {"'llama.expert_count' asks for a feature", NOT_SUPPORTED, .key = "llama.expert_count", .integer = 8},
    {"'llama.attention.sliding_window' is -1", MALFORMED, .key = "llama.attention.sliding_window", .integer = -1},
    {"'llama.rope.scaling.yarn_log_multiplier' asks for a feature", NOT_SUPPORTED, .key = "llama.rope.scaling.yarn_log_multiplier", .number = 0.1,
     .kind = NUMBER},
    {"'llama.attention.causal' asks for a feature", NOT_SUPPORTED, .key = "llama.attention.causal", .integer = 0, .kind = BOOL},
    {"'llama.logit_scale' asks for a feature", NOT_SUPPORTED, .key = "llama.logit_scale", .number = 0.5, .kind = NUMBER},
    {"'llama.attention.twist' is unknown to the family 'llama'", NOT_SUPPORTED, .key = "llama.attention.twist", .number = 0.5, .kind = NUMBER},
    {"'llama.rope.scaling.type' is 'longrope', supported are 'none', 'linear' and 'yarn'", NOT_SUPPORTED, .key = "llama.rope.scaling.type", .text = "longrope",
     .kind = TEXT},
    {"'llama.rope.freq_base' is 0", MALFORMED, .key = "llama.rope.freq_base", .number = 0, .kind = NUMBER},
    {"'llama.rope.scaling.factor' is nan", MALFORMED, .key = "llama.rope.scaling.factor", .number = (double)NAN, .kind = NUMBER},
    /* Tensors */
    {"tensor 'token_embd.weight' is missing", MISSING, .leave_out = "token_embd.weight"},
    {"tensor 'blk.1.ffn_down.weight' is missing: the file is incomplete", MISSING, .leave_out = "blk.1.ffn_down.weight"},
    {"tensor 'output_norm.weight' is missing", MISSING, .leave_out = "output_norm.weight"},
    {"tensor 'blk.0.attn_q.weight' is [64, 65], expected [64, 64]", MALFORMED, .tensor = "blk.0.attn_q.weight", .n_dimensions = 2, .shape = {64, 65}},
    {"tensor 'blk.0.attn_q.weight' is [4096], expected [64, 64]", MALFORMED, .tensor = "blk.0.attn_q.weight", .n_dimensions = 1, .shape = {4096}},
    {"tensor 'blk.0.attn_q.weight' is [1, 64, 64], expected [64, 64]", MALFORMED, .tensor = "blk.0.attn_q.weight", .n_dimensions = 3, .shape = {1, 64, 64}},
    {"tensor 'blk.0.attn_norm.weight' is [32], expected [64]", MALFORMED, .tensor = "blk.0.attn_norm.weight", .n_dimensions = 1, .shape = {32}},
    {"tensor 'blk.0.attn_norm.weight' is [1, 64], expected [64]", MALFORMED, .tensor = "blk.0.attn_norm.weight", .n_dimensions = 2, .shape = {1, 64}},
    {"tensor 'blk.0.attn_q.weight' is of type i32", NOT_SUPPORTED, .tensor = "blk.0.attn_q.weight", .n_dimensions = 2, .shape = {64, 64}, .type = TENSOR_I32},
    {"tensor 'blk.0.attn_q.bias' is [63], expected [64] by the metadata (attention.head_count * attention.key_length)", MALFORMED,
     .tensor = "blk.0.attn_q.bias", .n_dimensions = 1, .shape = {63}},
    {"tensor 'output.weight' is [39, 64], expected [40, 64]", MALFORMED, .tensor = "output.weight", .n_dimensions = 2, .shape = {39, 64}},
    {"tensor 'blk.0.attn_q_norm.weight' is not part of the family 'llama'", NOT_SUPPORTED, .tensor = "blk.0.attn_q_norm.weight", .n_dimensions = 1,
     .shape = {16}},
    {"tensor 'blk.0.attn_norm.bias' is not part of the family", NOT_SUPPORTED, .tensor = "blk.0.attn_norm.bias", .n_dimensions = 1, .shape = {64}},
    {"tensor 'rope_freqs.weight' is [7], expected [8]", MALFORMED, .tensor = "rope_freqs.weight", .n_dimensions = 1, .shape = {7}},
    {"tensor 'rope_freqs.weight': factor 0 is 0, expected a positive number", MALFORMED, .tensor = "rope_freqs.weight", .n_dimensions = 1, .shape = {8}},
};

static void each_broken_or_unknown_file_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct checkpoint *checkpoint = open_changed(&broken[i]);
        struct arena arena;
        const struct program *program = NULL;
        struct error err = {0};
        arena_init(&arena, 16 << 20);
        int status = model_write_program(checkpoint, NULL, &arena, &program, &err);
        if (status != broken[i].code || !strstr(err.message, broken[i].reason))
            fail_msg("expected %d and '%s', found %d and '%s'", broken[i].code, broken[i].reason, status, err.message);
        assert_null(program);
        arena_free(&arena);
        checkpoint_close(checkpoint);
    }
}

static const struct change harmless[] = {
    {.reason = NULL},
    {.leave_out = "llama.vocab_size"},
    {.leave_out = "llama.rope.dimension_count"},
    {.key = "llama.expert_count", .integer = 0},
    {.key = "llama.attention.sliding_window", .integer = 4096},
    {.key = "llama.attention.causal", .integer = 1, .kind = BOOL},
    {.key = "llama.logit_scale", .number = 1, .kind = NUMBER},
    {.key = "llama.rope.scaling.type", .text = "none", .kind = TEXT},
    {.key = "llama.rope.scaling.finetuned", .integer = 1, .kind = BOOL},
    {.key = "gpt2.attention.twist", .integer = 1}, /* another family's */
    {.tensor = "blk.0.attn_rot_embd", .n_dimensions = 1, .shape = {8}},
    {.tensor = "blk.1.attn_v.bias", .n_dimensions = 1, .shape = {32}},
    {.tensor = "blk.1.ffn_down.bias", .n_dimensions = 1, .shape = {64}},
};

static void harmless_differences_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        struct opened opened;
        open_program(&opened, &harmless[i], 0);
        assert_int_equal(opened.program->n_vocabulary, 40);
        assert_int_equal(opened.program->ops[3].rope_cache.rotary_width, 16);
        close_opened(&opened);
    }
}

static void the_program_reads_as_one_would_explain_the_model(void **state)
{
    (void)state;
    struct opened opened;
    struct buffer text;
    open_program(&opened, &(struct change){.tensor = "blk.1.attn_q.bias", .n_dimensions = 1, .shape = {64}}, 4);
    buffer_init(&text, 1 << 20);
    program_print(opened.program, false, &text);
    assert_int_equal(text.failed, 0);
    assert_golden(text.data, text.length, TEST_DATA "/tiny_llama.txt");
    buffer_free(&text);
    close_opened(&opened);
}

static void a_head_of_its_own_is_used_and_a_tied_one_costs_nothing(void **state)
{
    (void)state;
    struct opened tied, own;
    open_program(&tied, &(struct change){.reason = NULL}, 0);
    open_program(&own, &(struct change){.tensor = "output.weight", .n_dimensions = 2, .shape = {40, 64}}, 0);
    assert_int_equal(program_weight_bytes(own.program), program_weight_bytes(tied.program) + 40 * 64 * 4);
    assert_int_equal(own.program->n_weights, tied.program->n_weights);
    close_opened(&tied);
    close_opened(&own);
}

static void frequencies_follow_base_linear_factor_and_factor_tensor(void **state)
{
    (void)state;
    static const float factors[8] = {1, 1, 1, 2, 4, 8, 8, 8};
    const struct {
        struct change change;
        double base, factor;
        const float *factors;
    } cases[] = {
        {{.reason = NULL}, 10000, 1, NULL},
        {{.key = "llama.rope.freq_base", .number = 500000, .kind = NUMBER}, 500000, 1, NULL},
        {{.key = "llama.rope.scaling.factor", .number = 4, .kind = NUMBER}, 10000, 4, NULL},
        {{.key = "llama.rope.scale_linear", .number = 2, .kind = NUMBER}, 10000, 2, NULL},
        {{.key = "llama.rope.scaling.factor", .number = 0, .kind = NUMBER}, 10000, 1, NULL},
        {{.tensor = "rope_freqs.weight", .n_dimensions = 1, .shape = {8}, .values = factors}, 10000, 1, factors},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct opened opened;
        open_program(&opened, &cases[c].change, 0);
        const struct op_rope_cache *rope = &opened.program->ops[3].rope_cache;
        for (int i = 0; i < 8; i++) {
            double expected = exp(-i / 8.0 * log(cases[c].base)) / cases[c].factor / (cases[c].factors ? (double)cases[c].factors[i] : 1);
            assert_true(fabs(rope->frequencies[i] / expected - 1) < 1e-12);
        }
        close_opened(&opened);
    }
}

static void segments_are_a_power_of_two_and_cut_neither_heads_nor_blocks(void **state)
{
    (void)state;
    struct opened opened;
    struct error err = {0};
    open_program(&opened, &(struct change){.reason = NULL}, 8);
    int32_t split = 0;
    for (int32_t w = 0; w < opened.program->n_weights; w++) {
        const struct logical_weight *weight = &opened.program->weights[w];
        split += weight->segments == 8;
        if (weight->segments == 8)
            assert_int_equal(weight->unit_columns, 32); /* of heads of 16 and blocks of 32; of blocks of 32 */
        else
            assert_int_equal(weight->segments, 1);
    }
    assert_int_equal(split, 8); /* attention output and feed-forward down of four layers */
    const int32_t refused[] = {-1, 3, 128};
    for (size_t i = 0; i < 3; i++) {
        const struct program *program;
        assert_int_equal(model_write_program(opened.checkpoint, &(struct model_options){.segments = refused[i]}, &opened.arena, &program, &err), SAMPAN_EINVAL);
    }
    close_opened(&opened);
}

static void writing_fails_cleanly_wherever_memory_runs_out(void **state)
{
    (void)state;
    struct checkpoint *checkpoint = open_changed(&(struct change){.reason = NULL});
    int64_t n = 0;
    for (int status = -1; status; n++) {
        struct arena arena;
        struct error err = {0};
        const struct program *program = NULL;
        arena_init(&arena, 16 << 20);
        mem_fail_after(n);
        status = model_write_program(checkpoint, NULL, &arena, &program, &err);
        mem_fail_after(-1);
        if (status)
            assert_int_equal(status, SAMPAN_ENOMEM);
        arena_free(&arena);
    }
    assert_true(n > 3);
    /* An arena that ends early, at many places */
    for (size_t limit = 64; limit < 20000; limit += 64) {
        struct arena arena;
        struct error err = {0};
        const struct program *program = NULL;
        arena_init(&arena, limit);
        int status = model_write_program(checkpoint, NULL, &arena, &program, &err);
        if (status)
            assert_int_equal(status, SAMPAN_ENOMEM);
        arena_free(&arena);
    }
    checkpoint_close(checkpoint);
}

static void a_tiny_file_becomes_a_program_that_a_chip_runs(void **state)
{
    (void)state;
    struct tiny_model_options options = tiny_model_defaults();
    struct error err = {0};
    char path[TINY_MODEL_PATH];
    assert_int_equal(tiny_model_make(&options, path, &err), 0);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_open(path, &checkpoint, &err), 0);
    unlink(path);
    struct arena arena;
    arena_init(&arena, 16 << 20);
    const struct program *program;
    if (model_write_program(checkpoint, NULL, &arena, &program, &err))
        fail_msg("%s", err.message);
    assert_int_equal(program->n_layers, 2);
    assert_int_equal(program->n_vocabulary, 288);
    assert_int_equal(program->n_ops, 1 + 2 * 9 + 4);

    struct chip *chip;
    struct plan *plan;
    struct plan_limits limits = {.max_tokens = 4, .max_sequences = 1, .max_logit_rows = 1, .max_context = 16, .n_blocks = {1}, .cache_type = TENSOR_F32};
    assert_int_equal(chip_open("reference", &chip, &err), 0);
    if (chip->interface->plan_create(chip, program, &limits, NULL, &plan, &err))
        fail_msg("%s", err.message);
    chip->interface->plan_free(plan);
    chip->interface->close(chip);
    arena_free(&arena);
    checkpoint_close(checkpoint);
}

static void the_default_model_is_thirty_layers_with_a_tied_head(void **state)
{
    (void)state;
    const char *given = getenv("SAMPAN_TEST_MODEL"), *path = given ? given : SOURCE_ROOT "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!file_exists(path)) {
        print_message("no default model at %s: skipped\n", path);
        skip();
    }
    struct checkpoint *checkpoint;
    struct arena arena;
    const struct program *program = NULL;
    struct error err = {0};
    struct buffer text;
    arena_init(&arena, 64 << 20);
    buffer_init(&text, 1 << 20);
    if (checkpoint_open(path, &checkpoint, &err) || model_write_program(checkpoint, NULL, &arena, &program, &err))
        fail_msg("%s", err.message);
    assert_int_equal(program->n_layers, 30);
    assert_int_equal(program->n_vocabulary, 49152);
    assert_int_equal(program->n_weights, 272 + 1);
    assert_int_equal(program_cache_bytes_per_token(program, 2), 2 * 30 * 3 * (64 + 64));
    program_print(program, false, &text);
    assert_non_null(strstr(text.data, "layers 2 to 29 as layer 1\n"));
    buffer_clear(&text);
    program_print(program, true, &text);
    assert_non_null(strstr(text.data, "\n  layer 29\n"));
    buffer_free(&text);
    arena_free(&arena);
    checkpoint_close(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_broken_or_unknown_file_is_refused_by_name),
        cmocka_unit_test(harmless_differences_are_accepted),
        cmocka_unit_test(the_program_reads_as_one_would_explain_the_model),
        cmocka_unit_test(a_head_of_its_own_is_used_and_a_tied_one_costs_nothing),
        cmocka_unit_test(frequencies_follow_base_linear_factor_and_factor_tensor),
        cmocka_unit_test(segments_are_a_power_of_two_and_cut_neither_heads_nor_blocks),
        cmocka_unit_test(writing_fails_cleanly_wherever_memory_runs_out),
        cmocka_unit_test(a_tiny_file_becomes_a_program_that_a_chip_runs),
        cmocka_unit_test(the_default_model_is_thirty_layers_with_a_tied_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
