/* Broken GGUF files: a table of lies with the answer each must get, and sweeps: cut at every byte, every byte changed, every allocation and every
 * read failing. Whatever happens, opening gives an error or a whole checkpoint, and nothing leaks (the sanitizer build looks). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "tiny/gguf_writer.h"

/* A small valid file: metadata of many kinds, a tokenizer, two tensors. */
static void write_base(struct gguf_writer *w)
{
    gguf_writer_init(w, 3);
    gguf_add_string(w, "general.architecture", "llama");
    gguf_add_integer(w, "llama.block_count", GGUF_UINT32, 2);
    gguf_add_float(w, "llama.rope.freq_base", 10000.0f);
    gguf_add_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_add_string_array(w, "tokenizer.ggml.tokens", (const char *const[]){"a", "b", "ab", "</s>"}, 4);
    gguf_add_array(w, "tokenizer.ggml.token_type", GGUF_INT32, (int32_t[]){1, 1, 1, 3}, 4, 16);
    gguf_add_string_array(w, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
    gguf_add_integer(w, "tokenizer.ggml.eos_token_id", GGUF_UINT32, 3);
    gguf_add_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_add_tensor_floats(w, "first", TENSOR_Q8_0, 2, (uint64_t[]){2, 32}, (float[64]){1});
    gguf_add_tensor_floats(w, "second", TENSOR_F32, 1, (uint64_t[]){8}, (float[8]){1});
}

static struct buffer finish(const struct gguf_writer *w)
{
    struct buffer file;
    buffer_init(&file, 1 << 26);
    gguf_writer_finish(w, &file);
    return file;
}

static struct buffer base_file(void)
{
    struct gguf_writer writer;
    write_base(&writer);
    struct buffer file = finish(&writer);
    gguf_writer_free(&writer);
    return file;
}

/* ---- the table ---- */

#define RAW(w, key, type, ...) gguf_add_raw(w, key, strlen(key), type, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))
#define INFO(w, name, n, type, offset, ...) gguf_add_tensor_info(w, name, strlen(name), n, (const uint64_t[]){__VA_ARGS__}, type, offset)
#define U64_HUGE 0, 0, 0, 0, 0, 0, 0, 16 /* 2^60 */

/* clang-format off */
/* One line per lie. Each changes the writer before the file is made ... */
static void duplicate_key(struct gguf_writer *w) { gguf_add_integer(w, "llama.block_count", GGUF_UINT32, 3); }
static void empty_key(struct gguf_writer *w) { RAW(w, "", GGUF_BOOL, 1); }
static void nul_in_key(struct gguf_writer *w) { gguf_add_raw(w, "a\0b", 3, GGUF_BOOL, "\1", 1); }
static void invalid_utf8_key(struct gguf_writer *w) { RAW(w, "a\xFF", GGUF_BOOL, 1); }
static void unknown_value_type(struct gguf_writer *w) { RAW(w, "k", 13, 0); }
static void bool_of_two(struct gguf_writer *w) { RAW(w, "k", GGUF_BOOL, 2); }
static void bool_of_two_in_array(struct gguf_writer *w) { gguf_add_array(w, "k", GGUF_BOOL, "\1\2", 2, 2); }
static void huge_string(struct gguf_writer *w) { RAW(w, "k", GGUF_STRING, U64_HUGE); }
static void huge_array(struct gguf_writer *w) { RAW(w, "k", GGUF_ARRAY, GGUF_UINT64, 0, 0, 0, U64_HUGE); }
static void lying_array(struct gguf_writer *w) { RAW(w, "k", GGUF_ARRAY, GGUF_UINT8, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0); }
static void too_large_array(struct gguf_writer *w)
{
    buffer_reserve(&w->data, 1 << 25);
    w->data.length = 1 << 25; /* enough bytes for the claim */
    memset(w->data.data, 0, w->data.length);
    RAW(w, "k", GGUF_ARRAY, GGUF_UINT8, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0);
}
static void array_of_unknown_type(struct gguf_writer *w) { RAW(w, "k", GGUF_ARRAY, 99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0); }
static void deep_arrays(struct gguf_writer *w)
{
    unsigned char levels[12 * 40];
    for (int i = 0; i < 40; i++)
        memcpy(levels + i * 12, (const unsigned char[]){GGUF_ARRAY, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 12);
    gguf_add_raw(w, "k", 1, GGUF_ARRAY, levels, sizeof levels);
}
static void no_architecture(struct gguf_writer *w) { buffer_clear(&w->metadata); w->n_metadata = 0; gguf_add_bool(w, "k", true); }
static void architecture_is_a_number(struct gguf_writer *w) { buffer_clear(&w->metadata); w->n_metadata = 0; gguf_add_bool(w, "general.architecture", true); }
static void more_metadata_than_there_is(struct gguf_writer *w) { w->n_metadata = UINT64_C(1) << 60; }
static void too_much_metadata(struct gguf_writer *w)
{
    for (int i = 0; i < 15 * 100001; i++)
        buffer_append_char(&w->data, '\0');
    w->n_metadata = 100001;
}
static void more_tensors_than_there_are(struct gguf_writer *w) { w->n_tensors = UINT64_C(1) << 60; }
static void one_tensor_too_many(struct gguf_writer *w) { w->n_tensors++; }
static void alignment_zero(struct gguf_writer *w) { gguf_add_integer(w, "general.alignment", GGUF_UINT32, 0); }
static void alignment_48(struct gguf_writer *w) { gguf_add_integer(w, "general.alignment", GGUF_UINT32, 48); }
static void alignment_4(struct gguf_writer *w) { gguf_add_integer(w, "general.alignment", GGUF_UINT32, 4); }
static void alignment_huge(struct gguf_writer *w) { gguf_add_integer(w, "general.alignment", GGUF_UINT64, INT64_MIN); }
static void alignment_text(struct gguf_writer *w) { gguf_add_string(w, "general.alignment", "32"); }
static void split_file(struct gguf_writer *w) { gguf_add_integer(w, "split.count", GGUF_UINT16, 3); gguf_add_integer(w, "split.no", GGUF_UINT16, 1); }

static void duplicate_tensor(struct gguf_writer *w) { gguf_add_tensor_floats(w, "first", TENSOR_F32, 1, (uint64_t[]){8}, (float[8]){1}); }
static void empty_tensor_name(struct gguf_writer *w) { INFO(w, "", 1, 0, 0, 8); }
static void nul_in_tensor_name(struct gguf_writer *w) { gguf_add_tensor_info(w, "a\0b", 3, 1, (uint64_t[]){8}, 0, 0); }
static void invalid_utf8_tensor_name(struct gguf_writer *w) { INFO(w, "\xC0\x80", 1, 0, 0, 8); }
static void long_tensor_name(struct gguf_writer *w)
{
    char name[LIMIT_TENSOR_NAME + 1];
    memset(name, 'n', sizeof name);
    gguf_add_tensor_info(w, name, sizeof name, 1, (uint64_t[]){8}, 0, 0);
}
static void no_dimensions(struct gguf_writer *w) { INFO(w, "t", 0, 0, 0, 8); }
static void five_dimensions(struct gguf_writer *w) { INFO(w, "t", 5, 0, 0, 1, 1, 1, 1, 1); }
static void dimension_of_zero(struct gguf_writer *w) { INFO(w, "t", 2, 0, 0, 8, 0); }
static void first_dimension_of_zero(struct gguf_writer *w) { INFO(w, "t", 2, 0, 0, 0, 8); }
static void rows_overflow(struct gguf_writer *w) { INFO(w, "t", 3, 0, 0, 8, UINT64_C(1) << 40, UINT64_C(1) << 40); }
static void bytes_overflow(struct gguf_writer *w) { INFO(w, "t", 2, 0, 0, UINT64_C(1) << 40, UINT64_C(1) << 23); }
static void row_bytes_overflow(struct gguf_writer *w) { INFO(w, "t", 1, 0, 0, UINT64_MAX); }
static void huge_tensor(struct gguf_writer *w) { INFO(w, "t", 1, 0, 128, UINT64_C(1) << 60); }
static void cut_block(struct gguf_writer *w) { INFO(w, "t", 2, 3, 0, 33, 2); }
static void cut_large_block(struct gguf_writer *w) { INFO(w, "t", 2, 14, 0, 128, 2); }
static void known_other_type(struct gguf_writer *w) { INFO(w, "t", 1, 16, 0, 256); }
static void removed_type(struct gguf_writer *w) { INFO(w, "t", 1, 4, 0, 256); }
static void unknown_type(struct gguf_writer *w) { INFO(w, "t", 1, 12345, 0, 256); }
static void misaligned_offset(struct gguf_writer *w) { INFO(w, "t", 1, 0, 100, 1); }
static void offset_beyond_the_end(struct gguf_writer *w) { INFO(w, "t", 1, 0, 1 << 20, 8); }
static void offset_overflows(struct gguf_writer *w) { INFO(w, "t", 1, 0, UINT64_MAX - 31, 8); }
static void reaches_beyond_the_end(struct gguf_writer *w) { INFO(w, "t", 1, 0, 96, 100); }
static void same_bytes_twice(struct gguf_writer *w) { INFO(w, "t", 1, 0, 96, 8); }
static void partial_overlap(struct gguf_writer *w) { INFO(w, "t", 1, 0, 64, 16); }

/* ... and the tokenizer's keys. */
static void bos_outside(struct gguf_writer *w) { gguf_add_integer(w, "tokenizer.ggml.bos_token_id", GGUF_UINT32, 4); }
static void bos_negative(struct gguf_writer *w) { gguf_add_integer(w, "tokenizer.ggml.bos_token_id", GGUF_INT32, -2); }
static void bos_is_text(struct gguf_writer *w) { gguf_add_string(w, "tokenizer.ggml.bos_token_id", "1"); }
static void eos_flag_is_a_number(struct gguf_writer *w) { gguf_add_integer(w, "tokenizer.ggml.add_eos_token", GGUF_UINT32, 1); }
static void scores_too_few(struct gguf_writer *w) { gguf_add_array(w, "tokenizer.ggml.scores", GGUF_FLOAT32, (float[]){0, 0}, 2, 8); }
static void scores_are_numbers(struct gguf_writer *w) { gguf_add_array(w, "tokenizer.ggml.scores", GGUF_INT32, (int32_t[]){0, 0, 0, 0}, 4, 16); }
static void template_is_a_number(struct gguf_writer *w) { gguf_add_bool(w, "tokenizer.chat_template", true); }
static void pre_has_a_nul(struct gguf_writer *w) { gguf_add_bytes(w, "tokenizer.ggml.pre", "a\0b", 3); }

/* clang-format on */

static const struct broken_row {
    const char *name;
    void (*change)(struct gguf_writer *w);
    int code;
    const char *fragment; /* of the message */
} broken_rows[] = {
#define ROW(function, code, fragment)                                                                                                                          \
    {                                                                                                                                                          \
#function, function, code, fragment                                                                                                                    \
    }
    ROW(duplicate_key, SAMPAN_EFORMAT, "'llama.block_count' occurs twice"),
    ROW(empty_key, SAMPAN_EFORMAT, "metadata entry 9: the metadata key at offset"),
    ROW(nul_in_key, SAMPAN_EFORMAT, "contains a NUL"),
    ROW(invalid_utf8_key, SAMPAN_EFORMAT, "not valid UTF-8"),
    ROW(unknown_value_type, SAMPAN_EFORMAT, "metadata 'k': the value type at offset"),
    ROW(bool_of_two, SAMPAN_EFORMAT, "is 2, expected 0 or 1"),
    ROW(bool_of_two_in_array, SAMPAN_EFORMAT, "is 2, expected 0 or 1"),
    ROW(huge_string, SAMPAN_EFORMAT, "claims 1152921504606846976 bytes"),
    ROW(huge_array, SAMPAN_EFORMAT, "1152921504606846976 array elements"),
    ROW(lying_array, SAMPAN_EFORMAT, "1048576 array elements are announced"), /* within the limits, but not within the file */
    ROW(too_large_array, SAMPAN_ELIMIT, "16777217 array elements are announced"),
    ROW(array_of_unknown_type, SAMPAN_EFORMAT, "is 99, expected 0 to 12"),
    ROW(deep_arrays, SAMPAN_ELIMIT, "nested deeper than 4"),
    ROW(no_architecture, SAMPAN_EFORMAT, "'general.architecture' is missing"),
    ROW(architecture_is_a_number, SAMPAN_EFORMAT, "'general.architecture' is a bool, expected a string"),
    ROW(more_metadata_than_there_is, SAMPAN_EFORMAT, "1152921504606846976 metadata entries"),
    ROW(too_much_metadata, SAMPAN_ELIMIT, "100001 metadata entries"),
    ROW(more_tensors_than_there_are, SAMPAN_EFORMAT, "1152921504606846976 tensors"),
    ROW(one_tensor_too_many, SAMPAN_EFORMAT, "tensor 2: "),
    ROW(alignment_zero, SAMPAN_EFORMAT, "'general.alignment' is 0, expected a power of two"),
    ROW(alignment_48, SAMPAN_EFORMAT, "is 48"),
    ROW(alignment_4, SAMPAN_EFORMAT, "is 4,"),
    ROW(alignment_huge, SAMPAN_EFORMAT, "is 9223372036854775808"),
    ROW(alignment_text, SAMPAN_EFORMAT, "not an unsigned integer"),
    ROW(split_file, SAMPAN_EUNSUPPORTED, "part 2 of a GGUF split into 3 files"),
    ROW(duplicate_tensor, SAMPAN_EFORMAT, "tensor 'first' occurs twice"),
    ROW(empty_tensor_name, SAMPAN_EFORMAT, "tensor 2: the tensor name at offset"),
    ROW(nul_in_tensor_name, SAMPAN_EFORMAT, "contains a NUL"),
    ROW(invalid_utf8_tensor_name, SAMPAN_EFORMAT, "not valid UTF-8"),
    ROW(long_tensor_name, SAMPAN_ELIMIT, "has 1025 bytes, expected at most 1024"),
    ROW(no_dimensions, SAMPAN_EFORMAT, "tensor 't': it has 0 dimensions, expected 1 to 4"),
    ROW(five_dimensions, SAMPAN_EFORMAT, "it has 5 dimensions"),
    ROW(dimension_of_zero, SAMPAN_EFORMAT, "its dimension 1 is 0"),
    ROW(first_dimension_of_zero, SAMPAN_EFORMAT, "its dimension 0 is 0"),
    ROW(rows_overflow, SAMPAN_EFORMAT, "product of its dimensions overflows"),
    ROW(bytes_overflow, SAMPAN_EFORMAT, "size in bytes overflows"),
    ROW(row_bytes_overflow, SAMPAN_EFORMAT, "size in bytes overflows"),
    ROW(huge_tensor, SAMPAN_EFORMAT, "reach beyond the end of the file"),
    ROW(cut_block, SAMPAN_EFORMAT, "its rows have 33 elements, expected a multiple of q4_1's block of 32"),
    ROW(cut_large_block, SAMPAN_EFORMAT, "multiple of q6_k's block of 256"),
    ROW(known_other_type, SAMPAN_EUNSUPPORTED, "its type is iq2_xxs (ggml type 16)"),
    ROW(removed_type, SAMPAN_EUNSUPPORTED, "removed from ggml) (ggml type 4)"),
    ROW(unknown_type, SAMPAN_EUNSUPPORTED, "ggml type 12345"),
    ROW(misaligned_offset, SAMPAN_EFORMAT, "offset 100 is not a multiple of the alignment 32"),
    ROW(offset_beyond_the_end, SAMPAN_EFORMAT, "reach beyond the end of the file"),
    ROW(offset_overflows, SAMPAN_EFORMAT, "reach beyond the end of the file"),
    ROW(reaches_beyond_the_end, SAMPAN_EFORMAT, "tensor 't': its 400 bytes at data offset 96"),
    ROW(same_bytes_twice, SAMPAN_EFORMAT, "overlap at offset"),
    ROW(partial_overlap, SAMPAN_EFORMAT, "tensors 'first' and 't' overlap"),
    ROW(bos_outside, SAMPAN_EFORMAT, "'tokenizer.ggml.bos_token_id' is 4, but the vocabulary has 4 tokens"),
    ROW(bos_negative, SAMPAN_EFORMAT, "is -2, expected -1 to"),
    ROW(bos_is_text, SAMPAN_EFORMAT, "is a string, expected an integer"),
    ROW(eos_flag_is_a_number, SAMPAN_EFORMAT, "is an unsigned integer, expected a bool"),
    ROW(scores_too_few, SAMPAN_EFORMAT, "has 2 elements, expected 4"),
    ROW(scores_are_numbers, SAMPAN_EFORMAT, "is not an array of floats"),
    ROW(template_is_a_number, SAMPAN_EFORMAT, "'tokenizer.chat_template' is not a string"),
    ROW(pre_has_a_nul, SAMPAN_EFORMAT, "contains a NUL"),
};

static void expect_refusal(const char *name, const void *bytes, size_t length, int expected, const char *fragment)
{
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    int code = open_bytes(bytes, length, &checkpoint, &err);
    if (code != expected || !strstr(err.message, fragment) || checkpoint)
        fail_msg("%s: code %d, expected %d; message \"%s\", expected to contain \"%s\"", name, code, expected, err.message, fragment);
    if (!strstr(err.message, "opening '/proc/self/fd/"))
        fail_msg("%s: the message does not say which file: %s", name, err.message);
}

static void every_lie_gets_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken_rows / sizeof broken_rows[0]; i++) {
        struct gguf_writer writer;
        write_base(&writer);
        broken_rows[i].change(&writer);
        struct buffer file = finish(&writer);
        expect_refusal(broken_rows[i].name, file.data, file.length, broken_rows[i].code, broken_rows[i].fragment);
        buffer_free(&file);
        gguf_writer_free(&writer);
    }
}

/* ---- not a GGUF at all ---- */

static void other_files_are_recognised(void **state)
{
    (void)state;
#define BYTES(text) text, sizeof(text) - 1
    static const struct {
        const char *bytes;
        size_t length;
        int code;
        const char *fragment;
    } rows[] = {
        {BYTES(""), SAMPAN_EFORMAT, "the file is empty"},
        {BYTES("GG"), SAMPAN_EFORMAT, "2 bytes"},
        {BYTES("GGUF"), SAMPAN_EFORMAT, "truncated"},
        {BYTES("GGUF\0\0\0\3\0\0\0\0"), SAMPAN_EUNSUPPORTED, "big endian"},
        {BYTES("GGUF\1\0\0\0\0\0\0\0"), SAMPAN_EUNSUPPORTED, "version 1, expected 2 or 3"},
        {BYTES("GGUF\4\0\0\0\0\0\0\0"), SAMPAN_EUNSUPPORTED, "version 4, expected 2 or 3"},
        {BYTES("GGUF\0\0\0\0\0\0\0\0"), SAMPAN_EUNSUPPORTED, "version 0, expected 2 or 3"},
        {BYTES("\x10\0\0\0\0\0\0\0{\"a\": 1}        "), SAMPAN_EUNSUPPORTED, "safetensors"},
        {BYTES("PK\x03\x04 archive/data.pkl"), SAMPAN_EUNSUPPORTED, "zip archive"},
        {BYTES("\x80\x02\x8a\nl\xfc\x9c"), SAMPAN_EUNSUPPORTED, "Python pickle"},
        {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"), SAMPAN_EFORMAT, "Git LFS pointer"},
        {BYTES("\n <!DOCTYPE html><html>"), SAMPAN_EFORMAT, "web page"},
        {BYTES("<HTML><body>404"), SAMPAN_EFORMAT, "web page"},
        {BYTES("{\"error\": \"Repository not found\"}"), SAMPAN_EFORMAT, "JSON"},
        {BYTES("Entry not found"), SAMPAN_EFORMAT, "hub's error answer"},
        {BYTES("tjgg\3\0\0\0"), SAMPAN_EUNSUPPORTED, "GGJT"},
        {BYTES("lmgg\3\0\0\0"), SAMPAN_EUNSUPPORTED, "old GGML"},
        {BYTES("\0\0\0\0\0\0\0\0\0\0"), SAMPAN_EFORMAT, "incomplete download"},
        {BYTES("\x7f"
               "ELF\2\1\1"),
         SAMPAN_EFORMAT, "7f 45 4c 46"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refusal(rows[i].fragment, rows[i].bytes, rows[i].length, rows[i].code, rows[i].fragment);
}

static void folders_and_missing_files_are_refused_in_words(void **state)
{
    (void)state;
    struct checkpoint *checkpoint;
    struct error err;
    assert_int_equal(checkpoint_open("/", &checkpoint, &err), SAMPAN_ENOTFOUND);
    assert_non_null(strstr(err.message, "safetensors"));
    assert_non_null(strstr(err.message, ".gguf"));
    assert_int_equal(checkpoint_open("/no/such/model.gguf", &checkpoint, &err), SAMPAN_ENOTFOUND);
    assert_string_equal(err.message, "opening '/no/such/model.gguf': No such file or directory");
    assert_int_equal(checkpoint_open("/dev/null", &checkpoint, &err), SAMPAN_EIO);
    assert_null(checkpoint);
    assert_int_equal(checkpoint_open("/no/such/model.gguf", &checkpoint, NULL), SAMPAN_ENOTFOUND);
    checkpoint_close(NULL);
}

/* ---- sweeps ---- */

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    struct buffer file = base_file();
    for (size_t length = 0; length < file.length; length++) {
        struct checkpoint *checkpoint;
        struct error err = {0};
        int code = open_bytes(file.data, length, &checkpoint, &err);
        if (code != SAMPAN_EFORMAT || err.message[0] == '\0')
            fail_msg("cut at %zu of %zu: code %d '%s'", length, file.length, code, err.message);
    }
    struct checkpoint *checkpoint;
    assert_int_equal(open_bytes(file.data, file.length, &checkpoint, NULL), 0);
    assert_true(checkpoint->has_tokenizer);
    checkpoint_close(checkpoint);
    buffer_free(&file);
}

/* Whatever an open checkpoint says about itself stays inside the file and inside its own memory. */
static void walk(const struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        const struct checkpoint_tensor *tensor = &checkpoint->tensors[i];
        assert_true(tensor->offset <= tensor->file->size && tensor->bytes <= tensor->file->size - tensor->offset);
        assert_ptr_equal(checkpoint_find_tensor(checkpoint, tensor->name), tensor);
    }
    for (size_t i = 0; i < checkpoint->n_metadata; i++)
        assert_ptr_equal(checkpoint_find(checkpoint, checkpoint->metadata[i].key), &checkpoint->metadata[i].value);
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    for (int i = 0; checkpoint->has_tokenizer && i < spec->n_eog_ids; i++)
        assert_true(spec->eog_ids[i] >= 0 && spec->eog_ids[i] < spec->n_tokens);
    assert_true(checkpoint->has_tokenizer == (checkpoint->tokenizer_problem == NULL));
}

static void any_changed_byte_gives_an_error_or_a_sound_checkpoint(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0x01, 0x80, 0xFF, 0x10};
    struct buffer file = base_file();
    for (size_t at = 0; at < file.length; at++)
        for (size_t c = 0; c < sizeof changes; c++) {
            struct checkpoint *checkpoint;
            struct error err = {0};
            file.data[at] = (char)(file.data[at] ^ changes[c]);
            int code = open_bytes(file.data, file.length, &checkpoint, &err);
            file.data[at] = (char)(file.data[at] ^ changes[c]);
            if (code) {
                assert_true(err.message[0] != '\0' && code == err.code);
                continue;
            }
            walk(checkpoint);
            checkpoint_close(checkpoint);
        }
    buffer_free(&file);
}

static void any_failing_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct buffer file = base_file();
    int n_failed = 0;
    for (int64_t n = 0;; n++) {
        struct checkpoint *checkpoint;
        struct error err = {0};
        mem_fail_after(n);
        int code = open_bytes(file.data, file.length, &checkpoint, &err);
        mem_fail_after(-1);
        if (!code) {
            checkpoint_close(checkpoint);
            break;
        }
        assert_int_equal(code, SAMPAN_ENOMEM);
        assert_non_null(strstr(err.message, "out of memory"));
        assert_null(checkpoint);
        n_failed++;
    }
    assert_in_range(n_failed, 5, 1000);
    buffer_free(&file);
}

static void any_failing_read_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct gguf_writer writer;
    write_base(&writer);
    char *large = mem_zalloc(300000); /* so that the header needs several reads */
    gguf_add_bytes(&writer, "large", large, 300000);
    struct buffer file = finish(&writer);
    int n_failed = 0;
    for (int64_t n = 0;; n++) {
        struct checkpoint *checkpoint;
        struct error err = {0};
        file_fail_read_after(n);
        int code = open_bytes(file.data, file.length, &checkpoint, &err);
        file_fail_read_after(-1);
        if (!code) {
            checkpoint_close(checkpoint);
            break;
        }
        assert_int_equal(code, SAMPAN_EIO);
        assert_non_null(strstr(err.message, "/proc/self/fd/"));
        n_failed++;
    }
    assert_in_range(n_failed, 4, 100);
    mem_free(large);
    buffer_free(&file);
    gguf_writer_free(&writer);
}

/* 12 MB of single bytes would become 384 MB of values. */
static void a_small_file_cannot_ask_for_much_memory(void **state)
{
    (void)state;
    enum { N = 12 << 20 };
    struct gguf_writer writer;
    write_base(&writer);
    char *bytes = mem_zalloc(N);
    gguf_add_array(&writer, "bytes", GGUF_UINT8, bytes, N, N);
    struct buffer file = finish(&writer);
    expect_refusal("12 MB of bytes", file.data, file.length, SAMPAN_ELIMIT, "needs more than");
    buffer_free(&file);
    mem_free(bytes);
    gguf_writer_free(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lie_gets_its_answer),
        cmocka_unit_test(other_files_are_recognised),
        cmocka_unit_test(folders_and_missing_files_are_refused_in_words),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(any_changed_byte_gives_an_error_or_a_sound_checkpoint),
        cmocka_unit_test(any_failing_allocation_is_an_error_and_leaks_nothing),
        cmocka_unit_test(any_failing_read_is_an_error_and_leaks_nothing),
        cmocka_unit_test(a_small_file_cannot_ask_for_much_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
