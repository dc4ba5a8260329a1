/* Tokens into maps: by the bytes they stand for in words, by the text they are written with, and what each decodes to. */
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/internal.h"

static bool is_added(enum token_kind kind)
{
    return kind == TOKEN_CONTROL || kind == TOKEN_USER_DEFINED;
}

static bool is_byte_level(const struct tokenizer_spec *spec)
{
    return spec->model == TOKENIZER_BPE_BYTE_LEVEL;
}

bool tokenizer_is_ordinary(const struct tokenizer_spec *spec, int32_t id)
{
    enum token_kind kind = spec->tokens[id].kind;
    if (!spec->tokens[id].text.length)
        return false;
    return kind == TOKEN_NORMAL || (kind == TOKEN_USER_DEFINED && spec->added_flags && spec->added_flags[id] & ADDED_IS_IN_MODEL);
}

unsigned tokenizer_added_flags(const struct tokenizer *tokenizer, int32_t id)
{
    return tokenizer->spec->added_flags ? tokenizer->spec->added_flags[id] : 0;
}

int32_t tokenizer_find_text(const struct tokenizer *tokenizer, const char *text, size_t length, char *scratch)
{
    uint32_t id;
    size_t n_bytes = length;
    if (!length)
        return -1;
    const char *bytes = text;
    if (is_byte_level(tokenizer->spec))
        bytes = byte_alphabet_to_bytes(text, length, scratch, &n_bytes) ? scratch : NULL;
    if (bytes && hash_map_get(&tokenizer->by_bytes, bytes, n_bytes, &id))
        return (int32_t)id;
    if (hash_map_get(&tokenizer->by_text, text, length, &id))
        return (int32_t)id;
    return -1;
}

/* Enters one token into the maps. `scratch` has room for LIMIT_TOKEN_BYTES. */
static int enter_token(struct tokenizer *tokenizer, int32_t id, char *scratch, struct error *err)
{
    const struct tokenizer_token *token = &tokenizer->spec->tokens[id];
    struct byte_string text = token->text;
    if (text.length > LIMIT_TOKEN_BYTES)
        return error_set(err, SAMPAN_EFORMAT, "token %d has %zu bytes, expected at most %d", (int)id, text.length, LIMIT_TOKEN_BYTES);
    tokenizer->bytes[id] = text;
    if (!text.length)
        return 0; /* some vocabularies are padded with empty tokens */
    int32_t other = tokenizer_find_text(tokenizer, text.data, text.length, scratch);
    if (other >= 0) {
        if (token->kind == TOKEN_UNUSED)
            return 0;
        return error_set(err, SAMPAN_EFORMAT, "tokens %d and %d of the vocabulary have the same text '%.100s'; each text may occur once", (int)other, (int)id,
                         text.data);
    }
    size_t n_bytes = text.length;
    bool ordinary = token->kind == TOKEN_NORMAL || (is_byte_level(tokenizer->spec) && !is_added(token->kind) && token->kind != TOKEN_UNUSED);
    if (ordinary && is_byte_level(tokenizer->spec)) {
        ordinary = byte_alphabet_to_bytes(text.data, text.length, scratch, &n_bytes);
        text.data = ordinary ? arena_strndup(&tokenizer->arena, scratch, n_bytes) : text.data;
        text.length = ordinary ? n_bytes : text.length;
    }
    if (!text.data || hash_map_put(ordinary ? &tokenizer->by_bytes : &tokenizer->by_text, text.data, text.length, (uint32_t)id, NULL))
        return error_no_memory(err, "reading the vocabulary");
    tokenizer->bytes[id] = text;
    if (ordinary && text.length > tokenizer->longest)
        tokenizer->longest = text.length;
    return 0;
}

/* ---- what tokens decode to ---- */

static int copy_decoded(struct tokenizer *tokenizer, const struct buffer *decoded, struct byte_string *to, struct error *err)
{
    if (decoded->length == to->length && (!to->length || memcmp(decoded->data, to->data, to->length) == 0))
        return 0;
    *to = (struct byte_string){arena_strndup(&tokenizer->arena, decoded->length ? decoded->data : "", decoded->length), decoded->length};
    return to->data ? 0 : error_no_memory(err, "decoding the vocabulary");
}

/* Byte-level models whose only decoder says so have decoded their tokens already. Elsewhere the decoders work on the published text of every token. */
static int decode_tokens(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    struct decoding *decoding = &tokenizer->decoding;
    if (is_byte_level(spec) && (!spec->n_decoders || (spec->n_decoders == 1 && spec->decoders[0].kind == DECODER_BYTE_LEVEL)))
        return 0;
    int status = decoding_open(decoding, spec->decoders, spec->n_decoders, err);
    struct buffer decoded;
    buffer_init(&decoded, 16 * (size_t)LIMIT_TOKEN_BYTES);
    if (!status && decoding->depends_on_first) {
        tokenizer->first_bytes = mem_zalloc_array((size_t)spec->n_tokens, sizeof *tokenizer->first_bytes);
        status = tokenizer->first_bytes ? 0 : error_no_memory(err, "decoding the vocabulary");
    }
    for (int32_t id = 0; id < spec->n_tokens && !status; id++) {
        tokenizer->bytes[id] = spec->tokens[id].text;
        status = decoding_apply(decoding, spec->tokens[id].text, false, &decoded, err);
        if (!status)
            status = copy_decoded(tokenizer, &decoded, &tokenizer->bytes[id], err);
        if (status || !tokenizer->first_bytes)
            continue;
        tokenizer->first_bytes[id] = tokenizer->bytes[id];
        status = decoding_apply(decoding, spec->tokens[id].text, true, &decoded, err);
        if (!status)
            status = copy_decoded(tokenizer, &decoded, &tokenizer->first_bytes[id], err);
    }
    decoding_close_scratch(decoding);
    buffer_free(&decoded);
    return status;
}

/* ---- added tokens ---- */

/* A token that the library looks for in the normalized text is normalized itself. */
static int enter_added_token(struct tokenizer *tokenizer, int32_t id, struct normalizer_scratch *scratch, struct error *err)
{
    struct byte_string text = tokenizer->spec->tokens[id].text;
    int pass = (tokenizer_added_flags(tokenizer, id) & ADDED_FOUND_AFTER_NORMALIZING) != 0;
    struct normal_text normal = {text.data, text.length, NULL, true};
    int status = pass ? normalizer_run(tokenizer->normalizer, scratch, normal, &normal, err) : 0;
    if (status)
        return status;
    return added_tokens_add(&tokenizer->added[pass], (struct byte_string){normal.bytes, normal.length}, id) ? error_no_memory(err, "reading the added tokens")
                                                                                                            : 0;
}

static int enter_added_tokens(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    struct normalizer_scratch scratch = {0};
    int status = 0;
    if (added_tokens_init(&tokenizer->added[0]) || added_tokens_init(&tokenizer->added[1]))
        status = error_no_memory(err, "reading the added tokens");
    for (int32_t id = 0; id < spec->n_tokens && !status; id++)
        if (is_added(spec->tokens[id].kind))
            status = enter_added_token(tokenizer, id, &scratch, err);
    normalizer_scratch_free(&scratch);
    if (!status && (added_tokens_finish(&tokenizer->added[0]) || added_tokens_finish(&tokenizer->added[1])))
        status = error_no_memory(err, "reading the added tokens");
    return status;
}

/* ---- all ---- */

static int enter_tokens(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    char *scratch = mem_alloc(LIMIT_TOKEN_BYTES);
    int status = scratch ? 0 : error_no_memory(err, "reading the vocabulary");
    for (int unused = 0; unused < 2; unused++) /* the unused ones last: they take no text from others */
        for (int32_t id = 0; id < spec->n_tokens && !status; id++)
            if ((spec->tokens[id].kind == TOKEN_UNUSED) == (unused == 1))
                status = enter_token(tokenizer, id, scratch, err);
    mem_free(scratch);
    return status;
}

int tokenizer_fill_vocabulary(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    size_t n = (size_t)spec->n_tokens;
    tokenizer->bytes = mem_zalloc_array(n, sizeof *tokenizer->bytes);
    tokenizer->whole = mem_zalloc_array(n, sizeof *tokenizer->whole);
    tokenizer->ends_generation = mem_zalloc_array(n, sizeof *tokenizer->ends_generation);
    if (!tokenizer->bytes || !tokenizer->whole || !tokenizer->ends_generation || hash_map_reserve(&tokenizer->by_bytes, n))
        return error_no_memory(err, "reading the vocabulary");
    int status = enter_tokens(tokenizer, err);
    if (!status)
        status = enter_added_tokens(tokenizer, err);
    if (!status)
        status = decode_tokens(tokenizer, err);
    for (int i = 0; i < spec->n_eog_ids && !status; i++)
        if (spec->eog_ids[i] >= 0)
            tokenizer->ends_generation[spec->eog_ids[i]] = true;
    return status;
}
