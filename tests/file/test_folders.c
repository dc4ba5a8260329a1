/* Model folders: config.json, safetensors in one file or in several with an index. Tables of lies with the answer each must get, and sweeps: cut at every byte,
 * every byte changed, every allocation and every read failing. Whatever happens, opening gives an error or a whole checkpoint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <math.h>

#include "base/file.h"
#include "base/memory.h"
#include "file/checkpoint.h"

#define CONFIG "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 4, \"rope_scaling\": {\"rope_type\": \"default\"}}"
#define ONE "{\"a\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [0, 24]}}"
#define TENSOR(name, dtype, shape, from, to) "\"" name "\": {\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": [" #from ", " #to "]}"

/* ---- folders ---- */

static char folder[] = "/tmp/sampan_folders_XXXXXX";
static const char *const file_names[] = {"config.json",     "generation_config.json", "model.safetensors", "model.safetensors.index.json",
                                         "one.safetensors", "two.safetensors"};

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static void empty_folder(void)
{
    for (size_t i = 0; i < sizeof file_names / sizeof file_names[0]; i++)
        unlink(path_of(file_names[i]));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    empty_folder();
    return rmdir(folder);
}

/* Header length, header, data_bytes of 0, 1, 2, ... Returns the length. */
static size_t make_safetensors(const char *header, size_t data_bytes, unsigned char *out, size_t size)
{
    uint64_t length = strlen(header);
    assert_true(8 + length + data_bytes <= size);
    memcpy(out, &length, 8);
    memcpy(out + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        out[8 + length + i] = (unsigned char)i;
    return 8 + length + data_bytes;
}

static void write_safetensors(const char *name, const char *header, size_t data_bytes)
{
    static unsigned char bytes[1 << 16];
    write_bytes(name, bytes, make_safetensors(header, data_bytes, bytes, sizeof bytes));
}

static void write_good_folder(void)
{
    empty_folder();
    write_text("config.json", CONFIG);
    write_text("generation_config.json", "{\"eos_token_id\": [1, 2]}");
    write_safetensors("model.safetensors", ONE, 24);
}

static void write_good_shards(void)
{
    empty_folder();
    write_text("config.json", CONFIG);
    write_text("model.safetensors.index.json", "{\"metadata\": {}, \"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}");
    write_safetensors("one.safetensors", ONE, 24);
    write_safetensors("two.safetensors", "{" TENSOR("b", "BF16", "[4]", 0, 8) "}", 8);
}

/* Opens the folder and compares the answer. */
static void expect(int code, const char *saying, const char *what)
{
    struct checkpoint *checkpoint;
    struct error err = {0};
    int found = checkpoint_open(folder, &checkpoint, &err);
    checkpoint_close(checkpoint);
    if (found != code || (code && (!strstr(err.message, saying) || !strstr(err.message, folder))))
        fail_msg("%s: code %d, '%s', expected %d, '%s' and the folder's path", what, found, err.message, code, saying ? saying : "");
}

/* ---- good ones ---- */

static void a_folder_is_a_checkpoint(void **state)
{
    (void)state;
    struct checkpoint *checkpoint;
    int64_t size;
    double number;
    unsigned char byte;
    write_good_folder();
    assert_int_equal(checkpoint_open(folder, &checkpoint, NULL), 0);
    assert_int_equal(checkpoint->kind, CHECKPOINT_HUGGING_FACE);
    assert_string_equal(checkpoint->architecture, "LlamaForCausalLM");
    assert_int_equal(checkpoint_get_int(checkpoint, "hidden_size", 1, 8, &size, NULL, NULL), 0);
    assert_int_equal(size, 4);
    assert_int_equal(checkpoint_get_float(checkpoint, "hidden_size", 1, 8, &number, NULL, NULL), 0);
    assert_true(number == 4);
    assert_int_equal(checkpoint_find(checkpoint, "generation_config.eos_token_id")->array.count, 2);
    const struct checkpoint_tensor *tensor = checkpoint_find_tensor(checkpoint, "a");
    assert_non_null(tensor);
    assert_int_equal(tensor->type, TENSOR_F32);
    assert_int_equal(tensor->n_dimensions, 2);
    assert_int_equal(tensor->shape[0], 2);
    assert_int_equal(tensor->shape[1], 3);
    assert_int_equal(tensor->bytes, 24);
    assert_int_equal(file_read(tensor->file, tensor->offset + 5, &byte, 1, NULL), 0);
    assert_int_equal(byte, 5);
    checkpoint_close(checkpoint);
}

static void shards_are_joined(void **state)
{
    (void)state;
    struct checkpoint *checkpoint;
    write_good_shards();
    assert_int_equal(checkpoint_open(folder, &checkpoint, NULL), 0);
    assert_int_equal(checkpoint->n_tensors, 2);
    assert_non_null(strstr(checkpoint_find_tensor(checkpoint, "a")->file->path, "one.safetensors"));
    assert_non_null(strstr(checkpoint_find_tensor(checkpoint, "b")->file->path, "two.safetensors"));
    checkpoint_close(checkpoint);
    write_safetensors("model.safetensors", ONE, 24); /* goes before the index */
    assert_int_equal(checkpoint_open(folder, &checkpoint, NULL), 0);
    assert_int_equal(checkpoint->n_tensors, 1);
    checkpoint_close(checkpoint);
}

static void configurations_are_flattened(void **state)
{
    (void)state;
    struct checkpoint *checkpoint;
    write_good_folder();
    write_text("config.json",
               "{\"architectures\": [\"X\"], \"a\": {\"b\": {\"c\": -1}}, \"none\": null, \"nan\": NaN, \"inf\": -Infinity, \"new\": {\"__float__\": "
               "\"Infinity\"}, \"long\": 123456789012345678901, \"mixed\": [1, 2.5], \"signs\": [1, -2], \"objects\": [{\"k\": \"NaN\"}, true], "
               "\"empty\": [], \"text\": \"\\\" NaN 12345678901234567890\"}");
    assert_int_equal(checkpoint_open(folder, &checkpoint, NULL), 0);
    assert_true(checkpoint_find(checkpoint, "a.b.c")->i == -1);
    assert_null(checkpoint_find(checkpoint, "none"));
    assert_true(isnan(checkpoint_find(checkpoint, "nan")->f));
    assert_true(checkpoint_find(checkpoint, "inf")->f == (double)-INFINITY);
    assert_true(checkpoint_find(checkpoint, "new")->f == (double)INFINITY);
    assert_true(checkpoint_find(checkpoint, "long")->f == 123456789012345678901.0);
    assert_true(checkpoint_find(checkpoint, "mixed")->array.elements[0].f == 1);
    assert_int_equal(checkpoint_find(checkpoint, "signs")->array.element_type, METADATA_SIGNED);
    assert_string_equal(checkpoint_find(checkpoint, "objects.0.k")->string.data, "NaN");
    assert_true(checkpoint_find(checkpoint, "objects.1")->b);
    assert_int_equal(checkpoint_find(checkpoint, "empty")->array.count, 0);
    assert_string_equal(checkpoint_find(checkpoint, "text")->string.data, "\" NaN 12345678901234567890");
    checkpoint_close(checkpoint);
}

/* ---- lies ---- */

static void lying_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        int code;
        const char *saying;
    } lies[] = {
        /* clang-format off */
        {"{" TENSOR("a", "F16", "[3]", 0, 6) "}", 6, 0, NULL}, /* data at an odd offset: the format promises no alignment */
        {"{" TENSOR("a", "F32", "[]", 0, 4) "}   ", 4, 0, NULL},
        {"{\"__metadata__\": {\"format\": \"pt\"}, " TENSOR("a", "I32", "[1]", 0, 4) "}", 4, 0, NULL},
        {"{\"__metadata__\": {}, \"__metadata__\": {}}", 0, SAMPAN_EFORMAT, "duplicate name"},
        {"{" TENSOR("a", "I32", "[1]", 0, 4) ", " TENSOR("a", "I32", "[1]", 4, 8) "}", 8, SAMPAN_EFORMAT, "duplicate name: tensor 'a'"},
        {"{" TENSOR("b", "F32", "[1]", 4, 8) ", " TENSOR("a", "F32", "[1]", 0, 4) "}", 8, 0, NULL},
        {"", 24, SAMPAN_EFORMAT, "does not begin with '{'"},
        {" {}", 0, SAMPAN_EFORMAT, "does not begin with '{'"},
        {"{\"a\": ", 24, SAMPAN_EFORMAT, "broken JSON"},
        {"{\"a\": 1}", 0, SAMPAN_EFORMAT, "tensor 'a'"},
        {"{} {}", 0, SAMPAN_EFORMAT, "broken JSON"},
        {"{\"\\u0000\": 1}", 0, SAMPAN_EFORMAT, "broken JSON"},
        {"{\"\xFF\": 1}", 0, SAMPAN_EFORMAT, "broken JSON"},
        {"{" TENSOR("", "F32", "[1]", 0, 4) "}", 4, SAMPAN_EFORMAT, "name has 0 bytes"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) ", " TENSOR("a", "F32", "[1]", 4, 8) "}", 8, SAMPAN_EFORMAT, "duplicate"},
        {"{\"__metadata__\": {\"format\": 1}}", 0, SAMPAN_EFORMAT, "__metadata__"},
        {"{\"__metadata__\": []}", 0, SAMPAN_EFORMAT, "__metadata__"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1]}}", 4, SAMPAN_EFORMAT, "data_offsets"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4], \"scale\": 2}}", 4, SAMPAN_EFORMAT, "tensor 'a'"},
        {"{\"a\": {\"dtype\": 7, \"shape\": [1], \"data_offsets\": [0, 4]}}", 4, SAMPAN_EFORMAT, "dtype"},
        {"{" TENSOR("a", "F8_E4M3", "[4]", 0, 4) "}", 4, SAMPAN_EUNSUPPORTED, "F8_E4M3, which sampan does not read yet"},
        {"{" TENSOR("a", "I64", "[1]", 0, 8) "}", 8, SAMPAN_EUNSUPPORTED, "I64"},
        {"{" TENSOR("a", "F17", "[4]", 0, 4) "}", 4, SAMPAN_EUNSUPPORTED, "'F17', which sampan does not know"},
        {"{" TENSOR("a", "F32", "4", 0, 4) "}", 4, SAMPAN_EFORMAT, "shape"},
        {"{" TENSOR("a", "F32", "[-1]", 0, 4) "}", 4, SAMPAN_EFORMAT, "dimension 0"},
        {"{" TENSOR("a", "F32", "[1.0]", 0, 4) "}", 4, SAMPAN_EFORMAT, "dimension 0"},
        {"{" TENSOR("a", "F32", "[\"1\"]", 0, 4) "}", 4, SAMPAN_EFORMAT, "dimension 0"},
        {"{" TENSOR("a", "F32", "[2, 0]", 0, 0) "}", 0, SAMPAN_EUNSUPPORTED, "dimension 1 is 0"},
        {"{" TENSOR("a", "F32", "[1, 1, 1, 1, 1]", 0, 4) "}", 4, SAMPAN_ELIMIT, "5 dimensions"},
        {"{" TENSOR("a", "F32", "[4294967296, 4294967296]", 0, 4) "}", 4, SAMPAN_EFORMAT, "overflows"},
        {"{" TENSOR("a", "F32", "[4611686018427387905]", 0, 4) "}", 4, SAMPAN_EFORMAT, "overflows"},
        {"{" TENSOR("a", "F32", "[99999999999999999999]", 0, 4) "}", 4, SAMPAN_EFORMAT, "broken JSON"},
        {"{" TENSOR("a", "F32", "[2]", 0, 4) "}", 4, SAMPAN_EFORMAT, "it has 4 bytes, expected 8"},
        {"{" TENSOR("a", "F32", "[2]", 0, 8) "}", 4, SAMPAN_EFORMAT, "truncated"},
        {"{" TENSOR("a", "F32", "[1]", 4, 0) "}", 4, SAMPAN_EFORMAT, "begin and end"},
        {"{" TENSOR("a", "F32", "[1]", -4, 0) "}", 4, SAMPAN_EFORMAT, "begin and end"},
        {"{" TENSOR("a", "F32", "[1]", 0.0, 4) "}", 4, SAMPAN_EFORMAT, "data_offsets"},
        {"{" TENSOR("a", "F32", "[1]", 9223372036854775804, 9223372036854775807) "}", 4, SAMPAN_EFORMAT, "truncated"},
        {"{" TENSOR("a", "F32", "[2]", 0, 8) ", " TENSOR("b", "F32", "[2]", 4, 12) "}", 12, SAMPAN_EFORMAT, "overlap"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) ", " TENSOR("b", "F32", "[1]", 0, 4) "}", 4, SAMPAN_EFORMAT, "overlap"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) ", " TENSOR("b", "F32", "[1]", 8, 12) "}", 12, SAMPAN_EFORMAT, "4 bytes before tensor 'b'"},
        {"{" TENSOR("a", "F32", "[1]", 4, 8) "}", 8, SAMPAN_EFORMAT, "4 bytes before tensor 'a'"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "}", 5, SAMPAN_EFORMAT, "1 bytes behind the last tensor"},
        /* clang-format on */
    };
    write_good_folder();
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        write_safetensors("model.safetensors", lies[i].header, lies[i].data);
        expect(lies[i].code, lies[i].saying, lies[i].header);
    }
}

static void other_files_under_the_name_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        int code;
        const char *saying;
    } others[] = {
        {"", 0, SAMPAN_EFORMAT, "empty"},
        {"123", 3, SAMPAN_EFORMAT, "only 3 bytes"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, SAMPAN_EFORMAT, "Git LFS"},
        {"<!doctype html><html></html>", 28, SAMPAN_EFORMAT, "web page"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16, SAMPAN_EFORMAT, "GGUF"},
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10, SAMPAN_ELIMIT, "header's length"},
        {"\1\0\0\2\0\0\0\0{}", 10, SAMPAN_ELIMIT, "header's length"},
        {"\3\0\0\0\0\0\0\0{}", 10, SAMPAN_EFORMAT, "truncated"},
    };
    write_good_folder();
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        write_bytes("model.safetensors", others[i].bytes, others[i].length);
        expect(others[i].code, others[i].saying, others[i].saying);
    }
}

static void lying_indices_are_refused(void **state)
{
    (void)state;
#define MAP(text) "{\"weight_map\": " text "}"
    static const struct {
        const char *index;
        int code;
        const char *saying;
    } lies[] = {
        {"{", SAMPAN_EFORMAT, "broken JSON"},
        {"{}", SAMPAN_EFORMAT, "weight_map"},
        {MAP("[]"), SAMPAN_EFORMAT, "weight_map"},
        {MAP("{}"), SAMPAN_EFORMAT, "weight_map"},
        {MAP("{\"a\": 1}"), SAMPAN_EFORMAT, "tensor 'a' is no string"},
        {MAP("{\"a\": \"../one.safetensors\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \"/etc/one.safetensors\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \"..\\\\one.safetensors\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \"..\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \".safetensors\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \"\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \"config.json\"}"), SAMPAN_EFORMAT, "inside the folder"},
        {MAP("{\"a\": \"three.safetensors\"}"), SAMPAN_ENOTFOUND, "three.safetensors' is missing"},
        {MAP("{\"a\": \"one.safetensors\", \"a\": \"two.safetensors\"}"), SAMPAN_EFORMAT, "duplicate"},
        {MAP("{\"a\": \"one.safetensors\", \"c\": \"two.safetensors\"}"), SAMPAN_EFORMAT, "tensor 'b' is in"},
        {MAP("{\"a\": \"one.safetensors\", \"b\": \"one.safetensors\"}"), SAMPAN_EFORMAT, "tensor 'b' is in 'one.safetensors', but that file"},
        {MAP("{\"a\": \"two.safetensors\", \"b\": \"one.safetensors\"}"), SAMPAN_EFORMAT, "says that it is in"},
        {MAP("{\"a\": \"one.safetensors\", \"b\": \"two.safetensors\", \"c\": \"two.safetensors\"}"), SAMPAN_EFORMAT, "tensor 'c' is in"},
    };
    write_good_shards();
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        write_text("model.safetensors.index.json", lies[i].index);
        expect(lies[i].code, lies[i].saying, lies[i].index);
    }
    write_good_shards();
    write_safetensors("two.safetensors", ONE, 24);
    expect(SAMPAN_EFORMAT, "tensor 'a' is in two files", "a tensor in two shards");
}

static void lying_configurations_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        int code;
        const char *saying;
    } lies[] = {
        {"", SAMPAN_EFORMAT, "broken JSON"},
        {"[]", SAMPAN_EFORMAT, "expected an object"},
        {"{", SAMPAN_EFORMAT, "broken JSON"},
        {"{\"a\": \"\\", SAMPAN_EFORMAT, "broken JSON"},
        {"{\"a\": 1, \"a\": 2}", SAMPAN_EFORMAT, "duplicate"},
        {"{\"a.b\": 1, \"a\": {\"b\": 2}}", SAMPAN_EFORMAT, "'a.b' occurs twice"},
        {"{\"\": 1}", SAMPAN_EFORMAT, "empty name"},
        {"{\"a\": 1}", SAMPAN_EFORMAT, "'architectures'"},
        {"{\"architectures\": []}", SAMPAN_EFORMAT, "'architectures'"},
        {"{\"architectures\": [1]}", SAMPAN_EFORMAT, "'architectures'"},
        {"{\"architectures\": [\"\"]}", SAMPAN_EFORMAT, "'architectures'"},
        {"{\"architectures\": \"X\"}", SAMPAN_EFORMAT, "'architectures'"},
        {"{\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": 1}}}}}}}}}", SAMPAN_ELIMIT, "nested deeper"},
        {"{\"a\": [[[[[[[[[[1], 1]]]]]]]]]}", SAMPAN_ELIMIT, "nested deeper"},
        {"{\"a\": 1e999}", SAMPAN_EFORMAT, "broken JSON"},
    };
    write_good_folder();
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        write_text("config.json", lies[i].config);
        expect(lies[i].code, lies[i].saying, lies[i].config);
    }
    write_good_folder();
    write_text("generation_config.json", "{\"a\": }");
    expect(SAMPAN_EFORMAT, "generation_config.json", "a broken generation_config.json");
    unlink(path_of("generation_config.json"));
    expect(0, NULL, "no generation_config.json");
    unlink(path_of("model.safetensors"));
    expect(SAMPAN_ENOTFOUND, "neither model.safetensors nor", "no weights");
    unlink(path_of("config.json"));
    expect(SAMPAN_ENOTFOUND, "no config.json", "an empty folder");
}

static void too_large_configurations_are_refused(void **state)
{
    (void)state;
    char *text = malloc(LIMIT_CONFIG_FILE + 2);
    assert_non_null(text);
    memset(text, ' ', LIMIT_CONFIG_FILE + 1);
    text[LIMIT_CONFIG_FILE + 1] = '\0';
    write_good_folder();
    write_text("config.json", text);
    expect(SAMPAN_ELIMIT, "config.json", "a huge config.json");
    free(text);
}

/* ---- sweeps ---- */

/* Opens; 0 or an error with a message. */
static struct error last_error;

static int open_once(void)
{
    struct checkpoint *checkpoint;
    last_error = (struct error){0};
    int code = checkpoint_open(folder, &checkpoint, &last_error);
    assert_true(code == 0 ? checkpoint != NULL : (checkpoint == NULL && last_error.message[0]));
    checkpoint_close(checkpoint);
    return code;
}

static void sweep_file(const char *name, bool is_any_cut_an_error)
{
    char *bytes, was;
    size_t length;
    assert_int_equal(file_read_whole(path_of(name), 1 << 16, &bytes, &length, NULL), 0);
    for (size_t cut = 0; cut < length; cut++) {
        write_bytes(name, bytes, cut);
        if (open_once() == 0 && is_any_cut_an_error)
            fail_msg("%s cut at %zu of %zu bytes opened", name, cut, length);
    }
    for (size_t at = 0; at < length; at++) {
        static const char replacements[] = {0, '9', '"', '}', '[', '\xFF'};
        was = bytes[at];
        for (size_t i = 0; i < sizeof replacements; i++) {
            bytes[at] = replacements[i];
            write_bytes(name, bytes, length);
            open_once();
        }
        bytes[at] = was;
    }
    write_bytes(name, bytes, length);
    assert_int_equal(open_once(), 0);
    mem_free(bytes);
}

static void cut_and_changed_files_give_errors_or_checkpoints(void **state)
{
    (void)state;
    write_good_folder();
    sweep_file("model.safetensors", true);
    sweep_file("config.json", true);
    sweep_file("generation_config.json", true);
    write_good_shards();
    sweep_file("model.safetensors.index.json", true);
    sweep_file("two.safetensors", true);
}

/* Our own allocations. jansson's are left alone: its lexer overlooks a failed growth of its string buffer and goes on with a string that lacks a character, so
 * nothing could be demanded of the answer. */
static void sweep_failures(int reads)
{
    uint64_t before = mem_allocation_count();
    assert_int_equal(open_once(), 0);
    int allocations = (int)(mem_allocation_count() - before);
    assert_true(allocations > 15);
    for (int n = 0; n < allocations; n++) {
        mem_fail_after(n);
        int code = open_once();
        mem_fail_after(-1);
        if (code != SAMPAN_ENOMEM)
            fail_msg("allocation %d of %d failed: code %d, '%s'", n, allocations, code, last_error.message);
    }
    for (int n = 0; n < reads; n++) {
        file_fail_read_after(n);
        int code = open_once();
        file_fail_read_after(-1);
        assert_int_equal(code, SAMPAN_EIO);
    }
    file_fail_read_after(reads);
    assert_int_equal(open_once(), 0);
    file_fail_read_after(-1);
}

static void every_allocation_and_every_read_may_fail(void **state)
{
    (void)state;
    write_good_folder();
    sweep_failures(5); /* two configurations; beginning, header length, header */
    write_good_shards();
    sweep_failures(8); /* configuration, index, two shards */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_a_checkpoint),
        cmocka_unit_test(shards_are_joined),
        cmocka_unit_test(configurations_are_flattened),
        cmocka_unit_test(lying_headers_are_refused),
        cmocka_unit_test(other_files_under_the_name_are_recognised),
        cmocka_unit_test(lying_indices_are_refused),
        cmocka_unit_test(lying_configurations_are_refused),
        cmocka_unit_test(too_large_configurations_are_refused),
        cmocka_unit_test(cut_and_changed_files_give_errors_or_checkpoints),
        cmocka_unit_test(every_allocation_and_every_read_may_fail),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
