/* What a tokenizer is, as data: the plain struct that file/ fills from GGUF metadata (later from tokenizer.json) and text/ reads. Nothing here
 * knows where it came from. Strings are byte strings with a length (vocabularies hold arbitrary bytes); all memory belongs to the checkpoint
 * that filled the spec and lives as long as it. */
#ifndef FILE_TOKENIZER_SPEC_H
#define FILE_TOKENIZER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_string {
    const char *data; /* NUL-terminated for convenience; may hold NULs before length */
    size_t length;
};

enum tokenizer_model {
    TOKENIZER_BPE_BYTE_LEVEL, /* GPT-2: bytes written as printable characters, ranked merges */
    /* TOKENIZER_BPE_SENTENCEPIECE, TOKENIZER_UNIGRAM, TOKENIZER_WORDPIECE: with tokenizer.json */
};

enum token_kind {
    TOKEN_NORMAL,
    TOKEN_CONTROL,      /* "special": not printed when special tokens are skipped */
    TOKEN_USER_DEFINED, /* an added token that is ordinary text */
    TOKEN_UNUSED,
    TOKEN_BYTE,    /* a byte fallback token */
    TOKEN_UNKNOWN, /* stands for what cannot be tokenized */
};

struct tokenizer_token {
    struct byte_string text; /* as published (byte-level models: GPT-2's printable alphabet) */
    float score;             /* unigram models; 0 elsewhere */
    enum token_kind kind;
};

struct tokenizer_spec {
    enum tokenizer_model model;
    int n_tokens;
    const struct tokenizer_token *tokens; /* [n_tokens] */
    int n_merges;
    const struct byte_string *merges; /* [n_merges] "left right", ascending rank */

    /* The name of the pre-tokenizer as GGUF gives it ("smollm", "llama-bpe", "qwen2", ...); text/pretokenizer.c has the table of patterns. */
    const char *pretokenizer;

    int32_t bos_id, eos_id, eot_id, unknown_id, padding_id; /* -1: none */
    int n_eog_ids;
    const int32_t *eog_ids; /* all ids that end a generation, eos and eot included */
    bool add_bos, add_eos;  /* what the post-processor does to plain text */
    bool add_space_prefix;
    const char *chat_template; /* Jinja source, NULL: none */
    size_t chat_template_length;
};

#endif
