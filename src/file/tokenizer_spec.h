/* What a tokenizer is, as data: the plain struct that file/ fills from GGUF metadata or from tokenizer.json and text/ reads. Nothing here knows where it
 * came from. Strings are byte strings with a length (vocabularies hold arbitrary bytes); all memory belongs to the checkpoint that filled the spec and
 * lives as long as it.
 *
 * The way of a text: added tokens are cut out -> normalizers -> added tokens that are looked for in normalized text -> stages of the pre-tokenizer,
 * which cut it into words -> the model, which makes each word tokens. The way back: the decoders. */
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
    TOKENIZER_BPE,            /* characters, ranked merges */
    TOKENIZER_BPE_SCORED,     /* SentencePiece's BPE: neighbours that form a token are merged, the highest score first */
    TOKENIZER_UNIGRAM,        /* the segmentation with the highest sum of scores */
    TOKENIZER_WORDPIECE,      /* the longest token first */
};

enum token_kind {
    TOKEN_NORMAL,
    TOKEN_CONTROL,      /* "special": not printed when special tokens are skipped */
    TOKEN_USER_DEFINED, /* an added token that is ordinary text */
    TOKEN_UNUSED,
    TOKEN_BYTE,    /* a byte fallback token, written <0x0A> */
    TOKEN_UNKNOWN, /* stands for what cannot be tokenized */
};

struct tokenizer_token {
    struct byte_string text; /* as published (byte-level models: GPT-2's printable alphabet) */
    double score;            /* unigram and scored BPE; 0 elsewhere */
    enum token_kind kind;
};

/* Two tokens that are joined: text[0..left_length) and the right_length bytes behind one byte in between. */
struct tokenizer_merge {
    const char *text;
    uint32_t left_length, right_length;
};

/* How an added token (control or user-defined) is found in a text, besides literally. */
enum added_token_flags {
    ADDED_TAKES_SPACE_BEFORE = 1,      /* "lstrip": white space in front belongs to it */
    ADDED_TAKES_SPACE_BEHIND = 2,      /* "rstrip" */
    ADDED_FOUND_AFTER_NORMALIZING = 4, /* "normalized": looked for in the normalized text between the others */
    ADDED_IS_WHOLE_WORD = 8,           /* "single_word": not within a word */
    ADDED_IS_IN_MODEL = 16,            /* the model's vocabulary has it as well, so that the model may make it of ordinary text (control tokens: never) */
};

enum normalizer_kind {
    NORMALIZER_NFC,
    NORMALIZER_NFD,
    NORMALIZER_NFKC,
    NORMALIZER_NFKD,
    NORMALIZER_LOWERCASE,
    NORMALIZER_STRIP_ACCENTS, /* drops marks */
    NORMALIZER_STRIP,         /* white space at the ends: `left`, `right` */
    NORMALIZER_REPLACE,       /* each match of `pattern` by `content` */
    NORMALIZER_PREPEND,       /* `content` in front of a text that is not empty */
    NORMALIZER_NMT,
    NORMALIZER_BERT_CLEAN,       /* drops control characters, shows white space as spaces */
    NORMALIZER_BERT_CHINESE,     /* spaces around ideographs */
    NORMALIZER_BERT_ACCENTS,     /* drops nonspacing marks */
    NORMALIZER_CHARSMAP,         /* SentencePiece's compiled map in `content`, applied to grapheme clusters as the `tokenizers` library does */
    NORMALIZER_CHARSMAP_LONGEST, /* the same map, longest match first, as SentencePiece does */
    NORMALIZER_BYTE_LEVEL,       /* bytes as characters of GPT-2's alphabet */
    NORMALIZER_SENTENCEPIECE,    /* its white space: `left`, `right`: a mark at that end; `collapses`: runs are one, ends are stripped */
};

struct tokenizer_normalizer {
    enum normalizer_kind kind;
    bool left, right, collapses;
    bool literal;                        /* `pattern` is plain text, not a regular expression */
    struct byte_string pattern, content; /* see the kinds */
};

/* One stage of the pre-tokenizer cuts each piece of the stage before. */
enum stage_kind {
    STAGE_SPLIT,        /* by `pattern` */
    STAGE_DIGITS,       /* numeric characters: each alone (SPLIT_ISOLATED) or runs of them (SPLIT_CONTIGUOUS) */
    STAGE_BYTE_LEVEL,   /* GPT-2's pattern where use_pattern, then bytes as characters; the last stage */
    STAGE_METASPACE,    /* spaces become `pattern`, which is put in front by `prepend`; cut before each where `splits` */
    STAGE_WORDS,        /* runs of word characters, runs of others; white space is dropped */
    STAGE_WHITE_SPACE,  /* cut at white space, which is dropped */
    STAGE_PUNCTUATION,  /* by punctuation characters, as `behavior` says */
    STAGE_BERT,         /* white space dropped, punctuation characters alone */
    STAGE_CHARACTER,    /* cut at the character `pattern`, which is dropped */
    STAGE_SCRIPTS,      /* cut where the script changes */
    STAGE_FIXED_LENGTH, /* pieces of `length` characters */
};

/* What becomes of the matches of a split and of what lies between them. */
enum split_behavior { SPLIT_ISOLATED, SPLIT_REMOVED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS };

/* Which pieces that do not begin with the mark get one: none, only that at the very start of the text, each. */
enum prepend_scheme { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS };

struct tokenizer_stage {
    enum stage_kind kind;
    enum split_behavior behavior;
    bool inverted;         /* what the pattern does not match counts as its matches */
    bool literal;          /* `pattern` is plain text, not a regular expression */
    bool use_pattern;      /* STAGE_BYTE_LEVEL */
    bool add_prefix_space; /* STAGE_BYTE_LEVEL: a piece that does not begin with a space gets one */
    bool splits;           /* STAGE_METASPACE */
    enum prepend_scheme prepend;
    uint32_t length;            /* STAGE_FIXED_LENGTH: characters, above 0 */
    struct byte_string pattern; /* a regular expression as Oniguruma reads it; plain text for some kinds */
};

/* The way back works on the published text of each token in turn; "first" is the first token that is decoded. */
enum decoder_kind {
    DECODER_BYTE_LEVEL, /* characters of GPT-2's alphabet as bytes, where the token has no others */
    DECODER_METASPACE,  /* `pattern` becomes a space; in the first token it is dropped unless `prepend` says never */
    DECODER_WORDPIECE, /* tokens with `pattern` in front lose it, others but the first get a space; `cleans`: no space before English punctuation and endings */
    DECODER_WORD_SUFFIX,   /* `pattern` becomes a space, in the last token nothing */
    DECODER_BYTE_FALLBACK, /* <0x0A> becomes the byte */
    DECODER_FUSE,          /* from here on all tokens are one text */
    DECODER_STRIP,         /* up to `start` times `pattern` (one character) is dropped in front, up to `stop` times behind */
    DECODER_REPLACE,       /* each match of `pattern` by `content` */
};

struct tokenizer_decoder {
    enum decoder_kind kind;
    bool literal, cleans;
    enum prepend_scheme prepend;
    uint32_t start, stop;
    struct byte_string pattern, content;
};

struct tokenizer_spec {
    enum tokenizer_model model;
    int n_tokens;
    const struct tokenizer_token *tokens; /* [n_tokens] */
    int n_merges;
    const struct tokenizer_merge *merges; /* [n_merges] ascending rank */

    const unsigned char *added_flags; /* [n_tokens] enum added_token_flags of the added tokens; NULL: none has any */

    int n_normalizers;
    const struct tokenizer_normalizer *normalizers; /* [n_normalizers] applied in order to text between added tokens */

    /* The pre-tokenizer: its stages, or (n_stages == 0, byte-level models) its name as GGUF gives it ("smollm", "llama-bpe", "qwen2", ...);
     * text/tokenizer/pretokenizer.c has the table of patterns. */
    int n_stages;
    const struct tokenizer_stage *stages;
    const char *pretokenizer;

    /* The model. */
    bool ignore_merges;                             /* with stages: a word that is a token as a whole becomes that token without merging */
    bool byte_fallback;                             /* a character without a token becomes the tokens of its bytes */
    bool fuse_unknown;                              /* several unknown characters in a row become one unknown token */
    struct byte_string subword_prefix, word_suffix; /* "##", "</w>": what tokens inside and at the end of a word are written with; length 0: nothing */
    bool single_precision;                          /* Unigram: sums of scores are rounded to float, as SentencePiece adds them */
    uint32_t longest_word;                          /* WordPiece: characters; longer ones are unknown */

    int n_decoders;
    const struct tokenizer_decoder *decoders; /* [n_decoders]; byte-level models without any decode as DECODER_BYTE_LEVEL says */

    int32_t bos_id, eos_id, eot_id, unknown_id, padding_id; /* -1: none. unknown_id: what the model gives for what it has no token for */
    int n_eog_ids;
    const int32_t *eog_ids; /* all ids that end a generation, eos and eot included */
    bool add_bos, add_eos;  /* what the post-processor does to plain text; where it puts more than these around it: */
    int n_before, n_behind;
    const int32_t *before, *behind; /* [n_before], [n_behind]: instead of BOS and EOS, when n_before + n_behind > 0 */
    const char *chat_template;      /* Jinja source, NULL: none */
    size_t chat_template_length;
    const char *tool_template; /* the template named "tool_use", for conversations with tools; NULL: chat_template serves them, too */
    size_t tool_template_length;
};

#endif
