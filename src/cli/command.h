/* Commands and their options, as data. A command is a row: name, summary, operands, options, examples, and the function that does it. From these rows come
 * the parser, --help, the manual pages, the shells' completions, and the check that every command shows examples. One file per command; main.c has the table.
 *
 * Exit codes: 0 it worked, 1 it failed (one line on standard error says why), 2 it was called wrongly. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Every option of every command. One name means one thing everywhere. */
enum option_id {
    OPTION_HELP,
    OPTION_ALL,
    OPTION_API_KEYS,
    OPTION_BATCH,
    OPTION_CACHE_MEMORY,
    OPTION_CACHE_TYPE,
    OPTION_CHIP,
    OPTION_CHOICE,
    OPTION_CONTEXT,
    OPTION_CONVERSATION,
    OPTION_CORS,
    OPTION_DECODE,
    OPTION_DIRECTORY,
    OPTION_DRAIN,
    OPTION_FREQUENCY_PENALTY,
    OPTION_GENERATE,
    OPTION_GRAMMAR,
    OPTION_HOST,
    OPTION_IDS,
    OPTION_IGNORE_END,
    OPTION_JSON,
    OPTION_JSONL,
    OPTION_JSON_OBJECT,
    OPTION_JSON_SCHEMA,
    OPTION_LOGIT_BIAS,
    OPTION_MAX_CONNECTIONS,
    OPTION_MAX_SEQUENCES,
    OPTION_MAX_TOKENS,
    OPTION_MEASURE,
    OPTION_METADATA,
    OPTION_MIN_P,
    OPTION_MIN_TOKENS,
    OPTION_MODEL_NAME,
    OPTION_NO_HISTORY,
    OPTION_NO_REPACK,
    OPTION_NO_MEASURE,
    OPTION_OPS,
    OPTION_PENALTY_WINDOW,
    OPTION_PORT,
    OPTION_PRESENCE_PENALTY,
    OPTION_PRICE,
    OPTION_PROGRAM,
    OPTION_PROMPT,
    OPTION_PROMPT_TOKENS,
    OPTION_QUANTIZE,
    OPTION_RAW,
    OPTION_REGEX,
    OPTION_REPETITION_PENALTY,
    OPTION_RUNS,
    OPTION_SEED,
    OPTION_SEGMENTS,
    OPTION_SPECIAL,
    OPTION_STOP,
    OPTION_STREAM,
    OPTION_SYSTEM,
    OPTION_TEMPERATURE,
    OPTION_TENSORS,
    OPTION_TEXT,
    OPTION_THREADS,
    OPTION_TOP,
    OPTION_TOP_K,
    OPTION_TOP_P,
    OPTION_TYPICAL_P,
    OPTION_UNIX,
    OPTION_COUNT
};

enum option_kind {
    OPTION_IS_FLAG,
    OPTION_IS_TEXT,
    OPTION_IS_INTEGER,
    OPTION_IS_NUMBER,
    OPTION_IS_BYTES, /* "512M", "1.5G": powers of 1024 */
};

struct option_row {
    enum option_id id;
    const char *name; /* without the dashes; NULL ends a table */
    enum option_kind kind;
    const char *value_name; /* "N", "FILE"; NULL for flags */
    const char *help;
    double minimum, maximum; /* of integers and numbers */
    bool repeats;            /* may be given several times */
};

struct option_value {
    int count;        /* how often it was given */
    const char *text; /* the last one */
    int64_t integer;
    double number;
    uint64_t bytes;
    const char *texts[LIMIT_STOP_STRINGS]; /* [count], of options that repeat */
};

struct arguments {
    struct option_value values[OPTION_COUNT];
    int n_operands;
    char **operands;
};

struct command {
    const char *name;
    const char *summary;  /* one line, no full stop */
    const char *operands; /* "[MODEL]" */
    int min_operands, max_operands;
    const struct option_row *options;              /* ends with {.name = NULL}; --help is understood everywhere */
    const char *const *examples;                   /* NULL-terminated, each "command line  # what it does" */
    const char *details;                           /* paragraphs printed below the options, or NULL */
    int (*run)(const struct arguments *arguments); /* an exit code */
};

extern const struct command run_command, serve_command, score_command, tokenize_command, render_command, inspect_command, bench_command, check_command,
    doctor_command, version_command, completion_command, man_command;

/* main.c: all of them, NULL-terminated, in the order of --help; and the one of a name, or NULL. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);

/* Rows that several commands share. */
#define OPTION_ROW_CHIP                                                                                                                                        \
    {                                                                                                                                                          \
        OPTION_CHIP, "chip", OPTION_IS_TEXT, "CHIP", "where to run: cpu, cpu:avx2, reference, ... (default: the best there is)", 0, 0, false                   \
    }
#define OPTION_ROW_THREADS                                                                                                                                     \
    {                                                                                                                                                          \
        OPTION_THREADS, "threads", OPTION_IS_INTEGER, "N", "worker threads of a CPU (default: what this process may use)", 1, 4096, false                      \
    }
#define OPTION_ROW_CONTEXT                                                                                                                                     \
    {                                                                                                                                                          \
        OPTION_CONTEXT, "context", OPTION_IS_INTEGER, "N", "tokens of one conversation at most (default: the model's, as memory allows)", 1, LIMIT_CONTEXT,    \
            false                                                                                                                                              \
    }
#define OPTION_ROW_CACHE_MEMORY                                                                                                                                \
    {                                                                                                                                                          \
        OPTION_CACHE_MEMORY, "cache-memory", OPTION_IS_BYTES, "SIZE", "memory for keys and values, like 512M or 2G (default: from what is free)", 0, 0, false  \
    }
#define OPTION_ROW_CACHE_TYPE                                                                                                                                  \
    {                                                                                                                                                          \
        OPTION_CACHE_TYPE, "cache-type", OPTION_IS_TEXT, "TYPE", "f16, bf16 or f32 keys and values (default: the chip's choice)", 0, 0, false                  \
    }
#define OPTION_ROW_SEGMENTS                                                                                                                                    \
    {                                                                                                                                                          \
        OPTION_SEGMENTS, "segments", OPTION_IS_INTEGER, "S", "fixed segments of the sums that chips may share (default: by model size)", 1,                    \
            LIMIT_SPLIT_SEGMENTS, false                                                                                                                        \
    }
#define OPTION_ROW_QUANTIZE                                                                                                                                    \
    {                                                                                                                                                          \
        OPTION_QUANTIZE, "quantize", OPTION_IS_TEXT, "TYPE", "make f32, f16 and bf16 weights about this type while they load: q8_0, q4_k, ...", 0, 0, false    \
    }
#define OPTION_ROW_NO_REPACK                                                                                                                                   \
    {                                                                                                                                                          \
        OPTION_NO_REPACK, "no-repack", OPTION_IS_FLAG, NULL, "compute from the mapped file, for models larger than memory (slower)", 0, 0, false               \
    }
#define OPTION_ROWS_ENGINE                                                                                                                                     \
    OPTION_ROW_CHIP, OPTION_ROW_THREADS, OPTION_ROW_CONTEXT, OPTION_ROW_CACHE_MEMORY, OPTION_ROW_CACHE_TYPE, OPTION_ROW_SEGMENTS, OPTION_ROW_QUANTIZE,         \
        OPTION_ROW_NO_REPACK
#define OPTION_ROWS_END                                                                                                                                        \
    {                                                                                                                                                          \
        .name = NULL                                                                                                                                           \
    }

#endif
