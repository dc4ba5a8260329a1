/* docs/OPS.md is what the program prints today. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "port/ops_table.h"

static void the_table_of_operations_is_fresh(void **state)
{
    (void)state;
    struct buffer now, kept;
    struct error err = {0};
    char piece[4096];
    size_t length;
    buffer_init(&now, 16 << 20);
    buffer_init(&kept, 16 << 20);
    if (port_write_ops_table(&now, &err))
        fail_msg("%s", err.message);
    FILE *file = fopen(SOURCE_ROOT "/docs/OPS.md", "rb");
    if (!file)
        fail_msg("docs/OPS.md is missing; run: sampan check --ops > docs/OPS.md");
    while ((length = fread(piece, 1, sizeof piece, file)) > 0)
        buffer_append(&kept, piece, length);
    fclose(file);
    if (kept.length != now.length || memcmp(kept.data, now.data, now.length) != 0)
        fail_msg("docs/OPS.md is stale; run: sampan check --ops > docs/OPS.md");
    buffer_free(&now);
    buffer_free(&kept);
}

static void every_operation_and_kind_of_chip_is_in_it(void **state)
{
    (void)state;
    static const char *const words[] = {"| embed |",  "| norm |", "| linear |", "| rope_cache |", "| attention |",  "| gated_activation |", "| select_rows",
                                        "| logits |", "q6_k",     "cpu:",       "| reference |",  "sliding window", "adjacent pairs"};
    struct buffer table;
    buffer_init(&table, 16 << 20);
    assert_int_equal(port_write_ops_table(&table, NULL), 0);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strstr(table.data, words[i]))
            fail_msg("'%s' is not in the table", words[i]);
    buffer_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_operations_is_fresh),
        cmocka_unit_test(every_operation_and_kind_of_chip_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
