/* Making a tokenizer, and looking things up in it. */
#include "text/tokenizer.h"

#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "text/tokenizer/internal.h"

void token_list_free(struct token_list *list)
{
    mem_free(list->ids);
    *list = (struct token_list){0};
}

int token_list_append(struct token_list *list, int32_t id)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        int32_t *ids = mem_realloc_array(list->ids, capacity, sizeof *ids);
        if (!ids)
            return SAMPAN_ENOMEM;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return 0;
}

/* ---- creation ---- */

static int check_id(int32_t id, const char *name, const struct tokenizer_spec *spec, struct error *err)
{
    if (id >= -1 && id < spec->n_tokens)
        return 0;
    return error_set(err, SAMPAN_EFORMAT, "the tokenizer's %s token is %d, but the vocabulary has tokens 0 to %d", name, (int)id, spec->n_tokens - 1);
}

static int check_spec(const struct tokenizer_spec *spec, struct error *err)
{
    if (spec->n_tokens < 1 || spec->n_tokens > LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_EFORMAT, "the vocabulary has %d tokens, expected 1 to %d", spec->n_tokens, LIMIT_VOCABULARY);
    if (spec->n_merges < 0 || spec->n_merges > 4 * LIMIT_VOCABULARY)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer has %d merges, expected 0 to %d", spec->n_merges, 4 * LIMIT_VOCABULARY);
    const struct {
        int32_t id;
        const char *name;
    } ids[] = {{spec->bos_id, "BOS"}, {spec->eos_id, "EOS"}, {spec->eot_id, "end-of-turn"}, {spec->unknown_id, "unknown"}, {spec->padding_id, "padding"}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int status = check_id(ids[i].id, ids[i].name, spec, err);
        if (status)
            return status;
    }
    for (int i = 0; i < spec->n_eog_ids; i++) {
        int status = check_id(spec->eog_ids[i], "end-of-generation", spec, err);
        if (status)
            return status;
    }
    for (int i = 0; i < spec->n_before + spec->n_behind; i++) {
        int status = check_id(i < spec->n_before ? spec->before[i] : spec->behind[i - spec->n_before], "post-processor's", spec, err);
        if (status)
            return status;
    }
    if ((spec->add_bos && spec->bos_id < 0) || (spec->add_eos && spec->eos_id < 0))
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer wants %s added to each text but names no such token",
                         spec->add_bos && spec->bos_id < 0 ? "BOS" : "EOS");
    return 0;
}

/* A byte-level model without stages has the pre-tokenizer that its name says. */
static int fill_tokenizer(struct tokenizer *tokenizer, struct error *err)
{
    const struct tokenizer_spec *spec = tokenizer->spec;
    int status = spec->n_stages || spec->model != TOKENIZER_BPE_BYTE_LEVEL
                     ? pretokenizer_create_from_stages(spec->stages, spec->n_stages, spec->ignore_merges, &tokenizer->pretokenizer, err)
                     : pretokenizer_create(spec->pretokenizer, &tokenizer->pretokenizer, err);
    if (!status)
        status = normalizer_create(spec->normalizers, spec->n_normalizers, &tokenizer->normalizer, err);
    if (!status)
        status = tokenizer_fill_vocabulary(tokenizer, err);
    return status ? status : tokenizer_fill_model(tokenizer, err);
}

int tokenizer_create(const struct tokenizer_spec *spec, struct tokenizer **out, struct error *err)
{
    *out = NULL;
    int status = check_spec(spec, err);
    if (status)
        return status;
    struct tokenizer *tokenizer = mem_zalloc(sizeof *tokenizer);
    if (!tokenizer)
        return error_no_memory(err, "making a tokenizer");
    tokenizer->spec = spec;
    arena_init(&tokenizer->arena, LIMIT_METADATA_MEMORY);
    status = fill_tokenizer(tokenizer, err);
    if (status) {
        tokenizer_free(tokenizer);
        return status;
    }
    *out = tokenizer;
    return 0;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    pretokenizer_free(tokenizer->pretokenizer);
    added_tokens_free(&tokenizer->added[0]);
    added_tokens_free(&tokenizer->added[1]);
    normalizer_free(tokenizer->normalizer);
    decoding_free(&tokenizer->decoding);
    tokenizer_free_model(tokenizer);
    hash_map_free(&tokenizer->by_bytes);
    hash_map_free(&tokenizer->by_text);
    mem_free(tokenizer->bytes);
    mem_free(tokenizer->first_bytes);
    mem_free((void *)tokenizer->whole);
    mem_free(tokenizer->ends_generation);
    arena_free(&tokenizer->arena);
    mem_free(tokenizer);
}

/* ---- looking things up ---- */

int tokenizer_n_tokens(const struct tokenizer *tokenizer)
{
    return tokenizer->spec->n_tokens;
}

const struct tokenizer_spec *tokenizer_get_spec(const struct tokenizer *tokenizer)
{
    return tokenizer->spec;
}

static bool is_known(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->spec->n_tokens;
}

struct byte_string tokenizer_token_bytes(const struct tokenizer *tokenizer, int32_t id)
{
    return is_known(tokenizer, id) ? tokenizer->bytes[id] : (struct byte_string){"", 0};
}

enum token_kind tokenizer_token_kind(const struct tokenizer *tokenizer, int32_t id)
{
    return is_known(tokenizer, id) ? tokenizer->spec->tokens[id].kind : TOKEN_UNUSED;
}

bool tokenizer_is_eog(const struct tokenizer *tokenizer, int32_t id)
{
    return is_known(tokenizer, id) && tokenizer->ends_generation[id];
}

int32_t tokenizer_find_token(const struct tokenizer *tokenizer, const char *text, size_t length)
{
    char scratch[512];
    uint32_t id;
    if (length <= sizeof scratch)
        return tokenizer_find_text(tokenizer, text, length, scratch);
    if (hash_map_get(&tokenizer->by_text, text, length, &id))
        return (int32_t)id;
    for (int32_t i = 0; i < tokenizer->spec->n_tokens; i++) /* a rare long token: no memory to fail on */
        if (tokenizer->spec->tokens[i].text.length == length && memcmp(tokenizer->spec->tokens[i].text.data, text, length) == 0)
            return i;
    return -1;
}
