/* Well-formed GGUF files: everything that was written is found again through the checkpoint view, with typed access and its ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory.h"
#include "tiny/gguf_writer.h"

static struct checkpoint *open_writer(const struct gguf_writer *writer)
{
    struct checkpoint *checkpoint;
    struct error err;
    if (gguf_writer_open(writer, &checkpoint, &err))
        fail_msg("%s", err.message);
    return checkpoint;
}

static void begin(struct gguf_writer *writer, uint32_t version)
{
    gguf_writer_init(writer, version);
    gguf_add_string(writer, "general.architecture", "llama");
}

static void scalars_of_every_type_come_back(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguf_writer writer;
        begin(&writer, version);
        gguf_add_integer(&writer, "u8", GGUF_UINT8, 200);
        gguf_add_integer(&writer, "i8", GGUF_INT8, -100);
        gguf_add_integer(&writer, "u16", GGUF_UINT16, 65535);
        gguf_add_integer(&writer, "i16", GGUF_INT16, -32768);
        gguf_add_integer(&writer, "u32", GGUF_UINT32, UINT32_MAX);
        gguf_add_integer(&writer, "i32", GGUF_INT32, INT32_MIN);
        gguf_add_integer(&writer, "u64", GGUF_UINT64, -1);
        gguf_add_integer(&writer, "i64", GGUF_INT64, INT64_MIN);
        gguf_add_float(&writer, "f32", 0.1f);
        gguf_add_double(&writer, "f64", 0.1);
        gguf_add_bool(&writer, "yes", true);
        gguf_add_bool(&writer, "no", false);
        gguf_add_string(&writer, "text", "sch\xC3\xB6n");
        gguf_add_bytes(&writer, "bytes", "a\0b\xFF", 4);
        struct checkpoint *checkpoint = open_writer(&writer);
        assert_int_equal(checkpoint->kind, CHECKPOINT_GGUF);
        assert_string_equal(checkpoint->architecture, "llama");
        assert_int_equal(checkpoint->n_metadata, 15);
        assert_string_equal(checkpoint->metadata[1].key, "u8");
        static const struct {
            const char *key;
            enum metadata_type type;
            uint64_t bits;
        } expected[] = {
            {"u8", METADATA_UNSIGNED, 200},         {"i8", METADATA_SIGNED, (uint64_t)-100},
            {"u16", METADATA_UNSIGNED, 65535},      {"i16", METADATA_SIGNED, (uint64_t)-32768},
            {"u32", METADATA_UNSIGNED, UINT32_MAX}, {"i32", METADATA_SIGNED, (uint64_t)INT32_MIN},
            {"u64", METADATA_UNSIGNED, UINT64_MAX}, {"i64", METADATA_SIGNED, (uint64_t)INT64_MIN},
        };
        for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
            const struct metadata_value *value = checkpoint_find(checkpoint, expected[i].key);
            assert_non_null(value);
            assert_int_equal(value->type, expected[i].type);
            assert_true(value->u == expected[i].bits);
        }
        assert_true(checkpoint_find(checkpoint, "f32")->f == (double)0.1f);
        assert_true(checkpoint_find(checkpoint, "f64")->f == 0.1);
        assert_true(checkpoint_find(checkpoint, "yes")->b);
        assert_false(checkpoint_find(checkpoint, "no")->b);
        assert_string_equal(checkpoint_find(checkpoint, "text")->string.data, "sch\xC3\xB6n");
        assert_int_equal(checkpoint_find(checkpoint, "bytes")->string.length, 4);
        assert_memory_equal(checkpoint_find(checkpoint, "bytes")->string.data, "a\0b\xFF", 5);
        assert_null(checkpoint_find(checkpoint, "absent"));
        checkpoint_close(checkpoint);
        gguf_writer_free(&writer);
    }
}

static void arrays_come_back_also_nested_and_empty(void **state)
{
    (void)state;
    struct gguf_writer writer;
    begin(&writer, 3);
    gguf_add_array(&writer, "numbers", GGUF_INT16, (int16_t[]){-1, 2, 300}, 3, 6);
    gguf_add_string_array(&writer, "words", (const char *const[]){"one", "", "three"}, 3);
    gguf_add_array(&writer, "empty", GGUF_FLOAT64, NULL, 0, 0);
    /* [[true, false], []] : element type array, 2 elements, each: element type bool, count, bytes */
    static const unsigned char nested[] = {7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    gguf_add_array(&writer, "nested", GGUF_ARRAY, nested, 2, sizeof nested);
    struct checkpoint *checkpoint = open_writer(&writer);
    const struct metadata_value *value = checkpoint_find(checkpoint, "numbers");
    assert_int_equal(value->type, METADATA_ARRAY);
    assert_int_equal(value->array.element_type, METADATA_SIGNED);
    assert_int_equal(value->array.count, 3);
    assert_true(value->array.elements[0].i == -1 && value->array.elements[2].i == 300);
    value = checkpoint_find(checkpoint, "words");
    assert_int_equal(value->array.count, 3);
    assert_string_equal(value->array.elements[2].string.data, "three");
    assert_int_equal(value->array.elements[1].string.length, 0);
    assert_int_equal(checkpoint_find(checkpoint, "empty")->array.count, 0);
    value = checkpoint_find(checkpoint, "nested");
    assert_int_equal(value->array.element_type, METADATA_ARRAY);
    assert_int_equal(value->array.elements[0].array.count, 2);
    assert_true(value->array.elements[0].array.elements[0].b);
    assert_int_equal(value->array.elements[1].array.count, 0);
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

/* One tensor of each type, [2, block], filled with its own pattern; the view points at exactly these bytes. */
static void check_tensors(uint64_t alignment)
{
    struct gguf_writer writer;
    unsigned char bytes[2 * 256];
    begin(&writer, 3);
    if (alignment != 32) {
        gguf_add_integer(&writer, "general.alignment", GGUF_UINT32, (int64_t)alignment);
        writer.alignment = alignment;
    }
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        memset(bytes, t + 1, sizeof bytes);
        gguf_add_tensor(&writer, tensor_types[t].name, (enum tensor_type)t, 2, (uint64_t[]){2, (uint64_t)tensor_types[t].block_elements}, bytes);
    }
    struct checkpoint *checkpoint = open_writer(&writer);
    assert_int_equal(checkpoint->n_tensors, TENSOR_TYPE_COUNT);
    assert_null(checkpoint_find_tensor(checkpoint, "absent"));
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        const struct checkpoint_tensor *tensor = checkpoint_find_tensor(checkpoint, tensor_types[t].name);
        unsigned char read[2 * 256];
        assert_ptr_equal(tensor, &checkpoint->tensors[t]);
        assert_int_equal(tensor->type, t);
        assert_int_equal(tensor->n_dimensions, 2);
        assert_int_equal(tensor->shape[0], 2);
        assert_int_equal(tensor->shape[1], tensor_types[t].block_elements);
        assert_int_equal(tensor->bytes, 2 * tensor_types[t].block_bytes);
        assert_int_equal(tensor->offset % alignment, 0);
        assert_int_equal(file_read(tensor->file, tensor->offset, read, (size_t)tensor->bytes, NULL), 0);
        memset(bytes, t + 1, sizeof bytes);
        assert_memory_equal(read, bytes, (size_t)tensor->bytes);
    }
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

static void tensors_of_every_type_are_found_where_they_lie(void **state)
{
    (void)state;
    check_tensors(32);
}

static void an_alignment_in_the_metadata_is_obeyed(void **state)
{
    (void)state;
    check_tensors(8);
    check_tensors(64);
    check_tensors(4096);
}

static void shapes_are_given_outermost_first(void **state)
{
    (void)state;
    struct gguf_writer writer;
    float values[2 * 3 * 4 * 5] = {0};
    begin(&writer, 3);
    gguf_add_tensor_floats(&writer, "four", TENSOR_F16, 4, (uint64_t[]){2, 3, 4, 5}, values);
    gguf_add_tensor_floats(&writer, "one", TENSOR_F32, 1, (uint64_t[]){7}, values);
    struct checkpoint *checkpoint = open_writer(&writer);
    const struct checkpoint_tensor *tensor = &checkpoint->tensors[0];
    assert_true(tensor->shape[0] == 2 && tensor->shape[1] == 3 && tensor->shape[2] == 4 && tensor->shape[3] == 5);
    assert_int_equal(tensor->bytes, 240);
    assert_int_equal(checkpoint->tensors[1].n_dimensions, 1);
    assert_int_equal(checkpoint->tensors[1].shape[0], 7);
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

static void tensors_may_lie_in_another_order_than_their_infos(void **state)
{
    (void)state;
    struct gguf_writer writer;
    static const unsigned char data[128] = {0};
    begin(&writer, 3);
    gguf_add_tensor_info(&writer, "behind", 6, 1, (uint64_t[]){8}, 0, 64);
    gguf_add_tensor_info(&writer, "front", 5, 1, (uint64_t[]){16}, 0, 0);
    buffer_append(&writer.data, data, 96);
    struct checkpoint *checkpoint = open_writer(&writer);
    assert_int_equal(checkpoint->tensors[0].offset - checkpoint->tensors[1].offset, 64);
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

static void a_file_of_metadata_alone_opens(void **state)
{
    (void)state;
    struct gguf_writer writer;
    begin(&writer, 2);
    struct checkpoint *checkpoint = open_writer(&writer);
    assert_int_equal(checkpoint->n_tensors, 0);
    assert_false(checkpoint->has_tokenizer);
    assert_non_null(strstr(checkpoint->tokenizer_problem, "no tokenizer"));
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

/* Half a megabyte of strings whose boundaries fall everywhere, so that values cross the reader's windows, and one larger than a window. */
static void a_long_header_comes_back_whole(void **state)
{
    (void)state;
    enum { N = 20000, LARGE = 400000 };
    struct gguf_writer writer;
    char(*texts)[32] = mem_alloc_array(N, sizeof *texts);
    const char **pointers = mem_alloc_array(N, sizeof *pointers);
    char *large = mem_alloc(LARGE);
    for (int i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "%d%.*s", i, i % 13, "abcdefghijklm");
        pointers[i] = texts[i];
    }
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)(i * 31 % 251);
    begin(&writer, 3);
    gguf_add_string_array(&writer, "texts", pointers, N);
    gguf_add_bytes(&writer, "large", large, LARGE);
    gguf_add_integer(&writer, "last", GGUF_UINT32, 77);
    struct checkpoint *checkpoint = open_writer(&writer);
    const struct metadata_value *value = checkpoint_find(checkpoint, "texts");
    assert_int_equal(value->array.count, N);
    for (size_t i = 0; i < N; i++)
        assert_string_equal(value->array.elements[i].string.data, texts[i]);
    value = checkpoint_find(checkpoint, "large");
    assert_int_equal(value->string.length, LARGE);
    assert_memory_equal(value->string.data, large, LARGE);
    assert_int_equal(checkpoint_find(checkpoint, "last")->u, 77);
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
    mem_free(large);
    mem_free(pointers);
    mem_free(texts);
}

/* ---- typed access ---- */

static void integers_are_given_in_range_whatever_their_width(void **state)
{
    (void)state;
    struct gguf_writer writer;
    struct error err;
    int64_t value = 0;
    bool found;
    begin(&writer, 3);
    gguf_add_integer(&writer, "u8", GGUF_UINT8, 7);
    gguf_add_integer(&writer, "i64", GGUF_INT64, -7);
    gguf_add_integer(&writer, "huge", GGUF_UINT64, -1);
    gguf_add_float(&writer, "float", 7.0f);
    struct checkpoint *checkpoint = open_writer(&writer);
    assert_int_equal(checkpoint_get_int(checkpoint, "u8", 0, 7, &value, NULL, &err), 0);
    assert_int_equal(value, 7);
    assert_int_equal(checkpoint_get_int(checkpoint, "i64", -7, -7, &value, &found, &err), 0);
    assert_true(found && value == -7);
    value = 99;
    assert_int_equal(checkpoint_get_int(checkpoint, "absent", 0, 7, &value, &found, &err), 0);
    assert_true(!found && value == 99);
    assert_int_equal(checkpoint_get_int(checkpoint, "absent", 0, 7, &value, NULL, &err), SAMPAN_ENOTFOUND);
    assert_string_equal(err.message, "metadata 'absent' is missing");
    assert_int_equal(checkpoint_get_int(checkpoint, "u8", 0, 6, &value, NULL, &err), SAMPAN_EFORMAT);
    assert_string_equal(err.message, "metadata 'u8' is 7, expected 0 to 6");
    assert_int_equal(checkpoint_get_int(checkpoint, "i64", 0, 6, &value, NULL, &err), SAMPAN_EFORMAT);
    assert_string_equal(err.message, "metadata 'i64' is -7, expected 0 to 6");
    assert_int_equal(checkpoint_get_int(checkpoint, "huge", INT64_MIN, INT64_MAX, &value, NULL, &err), SAMPAN_EFORMAT);
    assert_non_null(strstr(err.message, "18446744073709551615"));
    assert_int_equal(checkpoint_get_int(checkpoint, "float", 0, 9, &value, &found, &err), SAMPAN_EFORMAT);
    assert_string_equal(err.message, "metadata 'float' is a float, expected an integer");
    assert_int_equal(value, 99);
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

static void floats_bools_and_strings_are_given_by_their_own_kind_only(void **state)
{
    (void)state;
    struct gguf_writer writer;
    struct error err;
    double number;
    bool flag;
    const char *text;
    begin(&writer, 3);
    gguf_add_float(&writer, "half", 0.5f);
    gguf_add_float(&writer, "nan", NAN);
    gguf_add_bool(&writer, "flag", true);
    gguf_add_string(&writer, "text", "hello");
    gguf_add_bytes(&writer, "nul", "a\0b", 3);
    struct checkpoint *checkpoint = open_writer(&writer);
    assert_int_equal(checkpoint_get_float(checkpoint, "half", 0, 1, &number, NULL, &err), 0);
    assert_true(number == 0.5);
    assert_int_equal(checkpoint_get_float(checkpoint, "half", 0.6, 1, &number, NULL, &err), SAMPAN_EFORMAT);
    assert_string_equal(err.message, "metadata 'half' is 0.5, expected 0.6 to 1");
    assert_int_equal(checkpoint_get_float(checkpoint, "nan", -INFINITY, INFINITY, &number, NULL, &err), SAMPAN_EFORMAT);
    assert_int_equal(checkpoint_get_float(checkpoint, "text", 0, 1, &number, NULL, &err), SAMPAN_EFORMAT);
    assert_int_equal(checkpoint_get_bool(checkpoint, "flag", &flag, NULL, &err), 0);
    assert_true(flag);
    assert_int_equal(checkpoint_get_bool(checkpoint, "half", &flag, NULL, &err), SAMPAN_EFORMAT);
    assert_int_equal(checkpoint_get_string(checkpoint, "text", &text, NULL, &err), 0);
    assert_string_equal(text, "hello");
    assert_int_equal(checkpoint_get_string(checkpoint, "flag", &text, NULL, &err), SAMPAN_EFORMAT);
    assert_int_equal(checkpoint_get_string(checkpoint, "nul", &text, NULL, &err), SAMPAN_EFORMAT);
    assert_non_null(strstr(err.message, "NUL"));
    assert_int_equal(checkpoint_get_string(checkpoint, "absent", &text, NULL, NULL), SAMPAN_ENOTFOUND);
    checkpoint_close(checkpoint);
    gguf_writer_free(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_of_every_type_come_back),
        cmocka_unit_test(arrays_come_back_also_nested_and_empty),
        cmocka_unit_test(tensors_of_every_type_are_found_where_they_lie),
        cmocka_unit_test(an_alignment_in_the_metadata_is_obeyed),
        cmocka_unit_test(shapes_are_given_outermost_first),
        cmocka_unit_test(tensors_may_lie_in_another_order_than_their_infos),
        cmocka_unit_test(a_file_of_metadata_alone_opens),
        cmocka_unit_test(a_long_header_comes_back_whole),
        cmocka_unit_test(integers_are_given_in_range_whatever_their_width),
        cmocka_unit_test(floats_bools_and_strings_are_given_by_their_own_kind_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
