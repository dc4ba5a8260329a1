/* Any bytes as a command line: the first byte chooses the command, then one word a line. Parsing ends with values in their range or with a usage error. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/logit_bias.h"
#include "cli/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("fuzz_options: %s\n", what);
        fflush(stdout);
        abort();
    }
}

static void check_values(const struct command *command, const struct arguments *arguments)
{
    for (const struct option_row *row = command->options; row->name; row++) {
        const struct option_value *value = &arguments->values[row->id];
        require(value->count >= 0 && (value->count == 0 || row->kind == OPTION_IS_FLAG || value->text), "an option without its text");
        if (value->count && (row->kind == OPTION_IS_INTEGER || row->kind == OPTION_IS_NUMBER))
            require(value->number >= row->minimum && value->number <= row->maximum, "a number outside its range");
        if (value->count && row->kind == OPTION_IS_BYTES)
            require(value->bytes >= 1, "a size of nothing");
    }
}

static void check_biases(const struct option_value *value)
{
    struct sampan_logit_bias *biases;
    size_t n_biases;
    logit_bias_parse(value, &biases, &n_biases);
    require(n_biases <= LIMIT_LOGIT_BIASES, "a number of biases");
    free(biases);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const struct command *const commands[] = {&run_command, &score_command, &tokenize_command, &render_command, &inspect_command, &bench_command};
    static struct arguments arguments;
    static FILE *silenced;
    char text[4097], *argv[64];
    int argc = 0;
    if (length < 1 || length > sizeof text - 1)
        return 0;
    if (!silenced && (silenced = fopen("/dev/null", "w"))) /* the messages are many; the fuzzer's own go to the descriptor */
        stderr = silenced;
    const struct command *command = commands[bytes[0] % (sizeof commands / sizeof *commands)];
    memcpy(text, bytes + 1, length - 1);
    text[length - 1] = '\0';
    for (char *word = text, *end; argc < 64 && word; word = end) {
        end = strchr(word, '\n');
        if (end)
            *end++ = '\0';
        argv[argc++] = word;
    }
    memset(&arguments, 0, sizeof arguments);
    int status = options_parse(command, argc, argv, &arguments);
    require(status == EXIT_OK || status == EXIT_USAGE, "an exit code");
    require(arguments.n_operands >= 0 && arguments.n_operands <= argc, "operands");
    if (status == EXIT_OK) {
        check_values(command, &arguments);
        check_biases(&arguments.values[OPTION_LOGIT_BIAS]);
    }
    return 0;
}
