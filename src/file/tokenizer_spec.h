/* What a tokenizer is, as data: the plain struct that file/ fills from GGUF metadata or from tokenizer.json and text/ reads. Nothing here
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
    /* TOKENIZER_BPE_SENTENCEPIECE, TOKENIZER_UNIGRAM, TOKENIZER_WORDPIECE: later */
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

/* How an added token (control or user-defined) is found in a text, besides literally. */
enum added_token_flags {
    ADDED_TAKES_SPACE_BEFORE = 1,      /* "lstrip": white space in front belongs to it */
    ADDED_TAKES_SPACE_BEHIND = 2,      /* "rstrip" */
    ADDED_FOUND_AFTER_NORMALIZING = 4, /* "normalized": looked for in the normalized text between the others */
};

enum normalizer_kind { NORMALIZER_NFC };

/* One stage of the pre-tokenizer cuts each piece of the stage before. */
enum stage_kind {
    STAGE_SPLIT,      /* by `pattern` */
    STAGE_DIGITS,     /* numeric characters: each alone (SPLIT_ISOLATED) or runs of them (SPLIT_CONTIGUOUS) */
    STAGE_BYTE_LEVEL, /* GPT-2's pattern where use_pattern, then bytes as characters; the last stage */
};

/* What becomes of the matches of a split and of what lies between them. */
enum split_behavior { SPLIT_ISOLATED, SPLIT_REMOVED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS };

struct tokenizer_stage {
    enum stage_kind kind;
    enum split_behavior behavior;
    bool inverted;              /* what the pattern does not match counts as its matches */
    bool literal;               /* `pattern` is plain text, not a regular expression */
    bool use_pattern;           /* STAGE_BYTE_LEVEL */
    bool add_prefix_space;      /* STAGE_BYTE_LEVEL: a piece that does not begin with a space gets one; only where it is the only stage */
    struct byte_string pattern; /* a regular expression as Oniguruma reads it */
};

struct tokenizer_spec {
    enum tokenizer_model model;
    int n_tokens;
    const struct tokenizer_token *tokens; /* [n_tokens] */
    int n_merges;
    const struct byte_string *merges; /* [n_merges] "left right", ascending rank */

    const unsigned char *added_flags; /* [n_tokens] enum added_token_flags of the added tokens; NULL: none has any */

    /* The pre-tokenizer: its stages as tokenizer.json lists them, or (n_stages == 0) its name as GGUF gives it ("smollm", "llama-bpe", "qwen2", ...);
     * text/pretokenizer.c has the table of patterns. */
    int n_stages;
    const struct tokenizer_stage *stages;
    const char *pretokenizer;
    bool ignore_merges; /* with stages: a word that is a token as a whole becomes that token without merging */

    int n_normalizers;
    const enum normalizer_kind *normalizers; /* [n_normalizers] applied in order to text between added tokens */

    int32_t bos_id, eos_id, eot_id, unknown_id, padding_id; /* -1: none */
    int n_eog_ids;
    const int32_t *eog_ids; /* all ids that end a generation, eos and eot included */
    bool add_bos, add_eos;  /* what the post-processor does to plain text; where it puts more than these around it: */
    int n_before, n_behind;
    const int32_t *before, *behind; /* [n_before], [n_behind]: instead of BOS and EOS, when n_before + n_behind > 0 */
    bool add_space_prefix;
    const char *chat_template; /* Jinja source, NULL: none */
    size_t chat_template_length;
    const char *tool_template; /* the template named "tool_use", for conversations with tools; NULL: chat_template serves them, too */
    size_t tool_template_length;
};

#endif
