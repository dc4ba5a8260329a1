/* make_tiny: writes a tiny random model to a file; see tiny_model.h. For tests of the commands and for benches. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny/tiny_model.h"

static const char usage[] =
    "usage: make_tiny [--layers N] [--hidden N] [--heads N] [--kv-heads N] [--head-width N] [--ffn N] [--vocabulary N] [--context N] [--seed N]\n"
    "                 [--type f32|f16|bf16|q8_0|q4_0|q4_1|...] [--embedding-type TYPE] [--deviation X] [--theta X] [--tied] [--no-tokenizer] OUT.gguf\n";

static int read_number(const char *text, int32_t *value)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < 0 || number > INT_MAX)
        return -1;
    *value = (int32_t)number;
    return 0;
}

static int read_option(struct tiny_model_options *options, const char *name, const char *value)
{
    const struct {
        const char *name;
        int32_t *value;
    } numbers[] = {{"--layers", &options->n_layers},         {"--hidden", &options->hidden},         {"--heads", &options->n_heads},
                   {"--kv-heads", &options->n_kv_heads},     {"--head-width", &options->head_width}, {"--ffn", &options->feed_forward},
                   {"--vocabulary", &options->n_vocabulary}, {"--context", &options->context_length}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0)
            return read_number(value, numbers[i].value);
    int32_t seed = 0;
    if (strcmp(name, "--seed") == 0) {
        int code = read_number(value, &seed);
        options->seed = (uint64_t)seed;
        return code;
    }
    if (strcmp(name, "--type") == 0)
        return tensor_type_from_name(value, &options->type) ? 0 : -1;
    if (strcmp(name, "--embedding-type") == 0)
        return tensor_type_from_name(value, &options->embedding_type) ? 0 : -1;
    if (strcmp(name, "--deviation") == 0)
        return (options->logit_deviation = strtof(value, NULL)) > 0 ? 0 : -1;
    if (strcmp(name, "--theta") == 0)
        return (options->rope_theta = strtof(value, NULL)) > 0 ? 0 : -1;
    return -1;
}

int main(int argc, char **argv)
{
    struct tiny_model_options options = tiny_model_defaults();
    int i = 1;
    for (; i < argc - 1; i++) {
        if (strcmp(argv[i], "--tied") == 0) {
            options.tied = true;
        } else if (strcmp(argv[i], "--no-tokenizer") == 0) {
            options.tokenizer = false;
        } else if (i + 2 < argc && read_option(&options, argv[i], argv[i + 1]) == 0) {
            i++;
        } else {
            fprintf(stderr, "make_tiny: '%s' is not understood\n%s", argv[i], usage);
            return 2;
        }
    }
    if (i != argc - 1 || argv[i][0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    struct error err;
    if (tiny_model_write(&options, argv[i], &err)) {
        fprintf(stderr, "make_tiny: %s\n", err.message);
        return 1;
    }
    return 0;
}
