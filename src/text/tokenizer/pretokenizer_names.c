#include "text/tokenizer/pretokenizer_names.h"

#include <stddef.h>
#include <string.h>

#include "base/buffer.h"

#define CL100K_START "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define CL100K_END "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Patterns as the models' tokenizer.json states them. Names: those that the converters of llama.cpp write into tokenizer.ggml.pre. */
static const struct pretokenizer_row rows[] = {
    {.names = "default gpt-2 phi-2 olmo jais mpt", .stages = {GPT2_PATTERN}},
    {.names = "smollm starcoder refact command-r codeshell", .splits_digits = true, .stages = {"\\p{N}", GPT2_PATTERN}},
    {.names = "llama-bpe llama3 llama-v3", .prefers_whole_words = true, .stages = {CL100K_START "\\p{N}{1,3}" CL100K_END}},
    {.names = "qwen2 deepseek-r1-qwen stablelm2", .stages = {CL100K_START "\\p{N}" CL100K_END}},
    {.names = "deepseek-v3",
     .stages = {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
                "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
};

const struct pretokenizer_row *pretokenizer_find_row(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (const char *at = rows[i].names; *at;) {
            size_t n = strcspn(at, " ");
            if (n == length && memcmp(at, name, n) == 0)
                return &rows[i];
            at += n + strspn(at + n, " ");
        }
    }
    return NULL;
}

int pretokenizer_refuse_name(const char *name, struct error *err)
{
    struct buffer known;
    buffer_init(&known, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buffer_printf(&known, "%s%s", i ? " " : "", rows[i].names);
    if (known.failed) {
        buffer_free(&known);
        return error_no_memory(err, "naming the known pre-tokenizers");
    }
    error_set(err, SAMPAN_EUNSUPPORTED,
              "the tokenizer names the pre-tokenizer '%.100s', which this version does not know (known: %s); use a model with one of these, or a newer version",
              name, known.data);
    buffer_free(&known);
    return SAMPAN_EUNSUPPORTED;
}
