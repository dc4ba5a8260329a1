/* The tokenizer spec out of GGUF metadata: tokens, kinds, merges, ids, flags, and which tokens end a generation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tiny/gguf_writer.h"

/* A gpt2 tokenizer with the given tokens, all control tokens where `kind` is 3; without ids and flags. */
static void begin(struct gguf_writer *writer, const char *const *tokens, const int32_t *kinds, size_t n)
{
    gguf_writer_init(writer, 3);
    gguf_add_string(writer, "general.architecture", "llama");
    gguf_add_string(writer, "tokenizer.ggml.model", "gpt2");
    gguf_add_string_array(writer, "tokenizer.ggml.tokens", tokens, n);
    gguf_add_string_array(writer, "tokenizer.ggml.merges", (const char *const[]){"a b", "ab c"}, 2);
    if (kinds)
        gguf_add_array(writer, "tokenizer.ggml.token_type", GGUF_INT32, kinds, n, n * sizeof *kinds);
}

static struct checkpoint *open_and_free(struct gguf_writer *writer)
{
    struct checkpoint *checkpoint;
    struct error err;
    if (gguf_writer_open(writer, &checkpoint, &err))
        fail_msg("%s", err.message);
    gguf_writer_free(writer);
    return checkpoint;
}

static void everything_that_is_written_arrives_in_the_spec(void **state)
{
    (void)state;
    struct gguf_writer writer;
    begin(&writer, (const char *const[]){"a", "b", "<s>", "<x>", "<unused>", "<0x41>", "<unk>"}, (const int32_t[]){1, 0, 3, 4, 5, 6, 2}, 7);
    gguf_add_string(&writer, "tokenizer.ggml.pre", "llama-bpe");
    gguf_add_array(&writer, "tokenizer.ggml.scores", GGUF_FLOAT32, (float[]){0, -1.5f, 0, 0, 0, 0, 0}, 7, 28);
    gguf_add_integer(&writer, "tokenizer.ggml.bos_token_id", GGUF_UINT32, 2);
    gguf_add_integer(&writer, "tokenizer.ggml.eos_token_id", GGUF_INT32, 3);
    gguf_add_integer(&writer, "tokenizer.ggml.unknown_token_id", GGUF_UINT64, 6);
    gguf_add_integer(&writer, "tokenizer.ggml.padding_token_id", GGUF_UINT32, -1);
    gguf_add_bool(&writer, "tokenizer.ggml.add_eos_token", true);
    gguf_add_string(&writer, "tokenizer.chat_template", "{{ messages }}");
    struct checkpoint *checkpoint = open_and_free(&writer);
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    static const enum token_kind kinds[] = {TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE, TOKEN_UNKNOWN};
    assert_true(checkpoint->has_tokenizer);
    assert_null(checkpoint->tokenizer_problem);
    assert_int_equal(spec->model, TOKENIZER_BPE_BYTE_LEVEL);
    assert_int_equal(spec->n_tokens, 7);
    for (int i = 0; i < 7; i++)
        assert_int_equal(spec->tokens[i].kind, kinds[i]);
    assert_string_equal(spec->tokens[3].text.data, "<x>");
    assert_true(spec->tokens[1].score == -1.5f);
    assert_int_equal(spec->n_merges, 2);
    assert_string_equal(spec->merges[1].text, "ab c");
    assert_string_equal(spec->pretokenizer, "llama-bpe");
    assert_int_equal(spec->bos_id, 2);
    assert_int_equal(spec->eos_id, 3);
    assert_int_equal(spec->eot_id, -1);
    assert_int_equal(spec->unknown_id, 6);
    assert_int_equal(spec->padding_id, -1); /* 2^32 - 1 is how writers say none */
    assert_true(spec->add_bos);             /* llama-bpe's habit, no key says otherwise */
    assert_true(spec->add_eos);
    assert_string_equal(spec->chat_template, "{{ messages }}");
    assert_int_equal(spec->chat_template_length, 14);
    assert_int_equal(spec->n_eog_ids, 1); /* the key counts whatever the kind */
    assert_int_equal(spec->eog_ids[0], 3);
    checkpoint_close(checkpoint);
}

static void absent_keys_mean_none(void **state)
{
    (void)state;
    struct gguf_writer writer;
    begin(&writer, (const char *const[]){"a", "b"}, NULL, 2);
    struct checkpoint *checkpoint = open_and_free(&writer);
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    assert_true(checkpoint->has_tokenizer);
    assert_string_equal(spec->pretokenizer, "default");
    assert_true(spec->bos_id == -1 && spec->eos_id == -1 && spec->eot_id == -1 && spec->unknown_id == -1 && spec->padding_id == -1);
    assert_false(spec->add_bos || spec->add_eos);
    assert_null(spec->chat_template);
    assert_int_equal(spec->n_eog_ids, 0);
    assert_int_equal(spec->tokens[0].kind, TOKEN_NORMAL);
    checkpoint_close(checkpoint);
}

static void control_tokens_that_say_end_do_end_a_generation(void **state)
{
    (void)state;
    struct gguf_writer writer;
    /* The eos of the file is the end of a document; the end of a turn is known by its text. The same text on a user-defined or normal token is ordinary. */
    begin(&writer, (const char *const[]){"<|im_end|>", "a", "<|endoftext|>", "<|im_start|>", "</s>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>"},
          (const int32_t[]){3, 1, 3, 3, 1, 4, 3, 3}, 8);
    gguf_add_integer(&writer, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 2);
    struct checkpoint *checkpoint = open_and_free(&writer);
    assert_int_equal(checkpoint->tokenizer.n_eog_ids, 4);
    assert_memory_equal(checkpoint->tokenizer.eog_ids, ((const int32_t[]){2, 0, 6, 7}), 16);
    checkpoint_close(checkpoint);
}

static void ids_named_by_several_keys_are_listed_once(void **state)
{
    (void)state;
    struct gguf_writer writer;
    begin(&writer, (const char *const[]){"a", "<|im_end|>", "<e>"}, (const int32_t[]){1, 3, 3}, 3);
    gguf_add_integer(&writer, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 1);
    gguf_add_integer(&writer, "tokenizer.ggml.eot_token_id", GGUF_UINT32, 1);
    gguf_add_integer(&writer, "tokenizer.ggml.eom_token_id", GGUF_UINT32, 2);
    struct checkpoint *checkpoint = open_and_free(&writer);
    assert_int_equal(checkpoint->tokenizer.eot_id, 1);
    assert_int_equal(checkpoint->tokenizer.n_eog_ids, 2);
    assert_memory_equal(checkpoint->tokenizer.eog_ids, ((const int32_t[]){1, 2}), 8);
    checkpoint_close(checkpoint);
}

static void end_of_message_is_not_end_of_generation_in_harmony(void **state)
{
    (void)state;
    for (int harmony = 0; harmony < 2; harmony++) {
        struct gguf_writer writer;
        begin(&writer, (const char *const[]){"<|end|>", harmony ? "<|return|>" : "x", "<|call|>", "a"}, (const int32_t[]){3, 3, 3, 1}, 4);
        gguf_add_integer(&writer, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 1);
        struct checkpoint *checkpoint = open_and_free(&writer);
        const struct tokenizer_spec *spec = &checkpoint->tokenizer;
        bool end = false;
        for (int i = 0; i < spec->n_eog_ids; i++)
            end = end || spec->eog_ids[i] == 0;
        assert_int_equal(end, !harmony);
        checkpoint_close(checkpoint);
    }
}

static void a_tokenizer_of_an_unknown_kind_leaves_the_model_usable(void **state)
{
    (void)state;
    struct gguf_writer writer;
    gguf_writer_init(&writer, 3);
    gguf_add_string(&writer, "general.architecture", "llama");
    gguf_add_string(&writer, "tokenizer.ggml.model", "rwkv");
    gguf_add_integer(&writer, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 2);
    struct checkpoint *checkpoint = open_and_free(&writer);
    assert_false(checkpoint->has_tokenizer);
    assert_non_null(strstr(checkpoint->tokenizer_problem, "'rwkv'"));
    checkpoint_close(checkpoint);
}

/* What is wrong with a tokenizer that is there; each row leaves out or spoils one key. */
static void broken_tokenizers_are_refused(void **state)
{
    (void)state;
    enum { TOKENS = 1, MERGES = 2, KINDS = 4 };
    static const struct {
        int keys;
        size_t n_tokens;
        int32_t kind; /* of token 1 */
        size_t n_kinds;
        const char *flag; /* set to true */
        int code;
        const char *fragment;
    } rows[] = {
        {MERGES, 2, 1, 2, NULL, SAMPAN_EFORMAT, "'tokenizer.ggml.tokens' is missing"},
        {TOKENS, 2, 1, 2, NULL, SAMPAN_EFORMAT, "'tokenizer.ggml.merges' is missing"},
        {TOKENS | MERGES, 0, 1, 2, NULL, SAMPAN_EFORMAT, "'tokenizer.ggml.tokens' is empty"},
        {TOKENS | MERGES | KINDS, 2, 1, 1, NULL, SAMPAN_EFORMAT, "'tokenizer.ggml.token_type' has 1 elements, expected 2"},
        {TOKENS | MERGES | KINDS, 2, 7, 2, NULL, SAMPAN_EFORMAT, "gives token 1 the type 7, expected 0 to 6"},
        {TOKENS | MERGES | KINDS, 2, -1, 2, NULL, SAMPAN_EFORMAT, "gives token 1 the type -1"},
        {TOKENS | MERGES, 2, 1, 2, "tokenizer.ggml.add_bos_token", SAMPAN_EFORMAT, "tokenizer.ggml.bos_token_id is missing"},
        {TOKENS | MERGES, 2, 1, 2, "tokenizer.ggml.add_eos_token", SAMPAN_EFORMAT, "tokenizer.ggml.eos_token_id is missing"},
        {TOKENS | MERGES, 2, 1, 2, "tokenizer.ggml.scores", SAMPAN_EFORMAT, "'tokenizer.ggml.scores' is not an array of floats"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gguf_writer writer;
        struct checkpoint *checkpoint;
        struct error err;
        gguf_writer_init(&writer, 3);
        gguf_add_string(&writer, "general.architecture", "llama");
        gguf_add_string(&writer, "tokenizer.ggml.model", "gpt2");
        if (rows[i].keys & TOKENS)
            gguf_add_string_array(&writer, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, rows[i].n_tokens);
        if (rows[i].keys & MERGES)
            gguf_add_string_array(&writer, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
        if (rows[i].keys & KINDS)
            gguf_add_array(&writer, "tokenizer.ggml.token_type", GGUF_INT32, (int32_t[]){1, rows[i].kind}, rows[i].n_kinds, rows[i].n_kinds * 4);
        if (rows[i].flag)
            gguf_add_bool(&writer, rows[i].flag, true);
        int code = gguf_writer_open(&writer, &checkpoint, &err);
        if (code != rows[i].code || !strstr(err.message, rows[i].fragment))
            fail_msg("row %zu: code %d '%s', expected '%s'", i, code, code ? err.message : "", rows[i].fragment);
        gguf_writer_free(&writer);
    }
}

static void the_default_model_opens_with_what_its_makers_put_in(void **state)
{
    (void)state;
    const char *path = getenv("SAMPAN_TEST_MODEL");
    if (!path)
        path = SOURCE_ROOT "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!file_exists(path)) {
        print_message("%s is not there: ./test fetches it\n", path);
        skip();
    }
    struct checkpoint *checkpoint;
    struct error err;
    if (checkpoint_open(path, &checkpoint, &err))
        fail_msg("%s", err.message);
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    int64_t layers = 0;
    assert_string_equal(checkpoint->architecture, "llama");
    assert_string_equal(checkpoint->path, path);
    assert_int_equal(checkpoint->n_metadata, 33);
    assert_int_equal(checkpoint->n_tensors, 272);
    assert_int_equal(checkpoint_get_int(checkpoint, "llama.block_count", 1, LIMIT_LAYERS, &layers, NULL, &err), 0);
    assert_int_equal(layers, 30);
    const struct checkpoint_tensor *embedding = checkpoint_find_tensor(checkpoint, "token_embd.weight");
    assert_non_null(embedding);
    assert_int_equal(embedding->type, TENSOR_Q8_0);
    assert_true(embedding->n_dimensions == 2 && embedding->shape[0] == 49152 && embedding->shape[1] == 576);
    assert_true(checkpoint->has_tokenizer);
    assert_int_equal(spec->n_tokens, 49152);
    assert_int_equal(spec->n_merges, 48900);
    assert_string_equal(spec->pretokenizer, "smollm");
    assert_true(spec->bos_id == 1 && spec->eos_id == 2 && spec->unknown_id == 0 && spec->padding_id == 2 && !spec->add_bos);
    assert_int_equal(spec->n_eog_ids, 2);
    assert_string_equal(spec->tokens[spec->eog_ids[0]].text.data, "<|im_end|>");
    assert_string_equal(spec->tokens[spec->eog_ids[1]].text.data, "<|endoftext|>");
    assert_int_equal(spec->chat_template_length, 368);
    checkpoint_close(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_written_arrives_in_the_spec),
        cmocka_unit_test(absent_keys_mean_none),
        cmocka_unit_test(control_tokens_that_say_end_do_end_a_generation),
        cmocka_unit_test(ids_named_by_several_keys_are_listed_once),
        cmocka_unit_test(end_of_message_is_not_end_of_generation_in_harmony),
        cmocka_unit_test(a_tokenizer_of_an_unknown_kind_leaves_the_model_usable),
        cmocka_unit_test(broken_tokenizers_are_refused),
        cmocka_unit_test(the_default_model_opens_with_what_its_makers_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
