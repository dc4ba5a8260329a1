#include "text/tokenizer/decoder.h"

#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "text/tokenizer/byte_alphabet.h"

static bool is_one_character(struct byte_string text)
{
    uint32_t character;
    return text.length && utf8_decode(text.data, text.length, &character) == (int)text.length;
}

static int refuse_order(int at, struct error *err)
{
    return error_set(err, SAMPAN_EUNSUPPORTED,
                     "decoder %d of the tokenizer works on the whole text in a way that is not supported yet (known: Strip of one character at the start)", at);
}

int decoding_open(struct decoding *decoding, const struct tokenizer_decoder *decoders, int n_decoders, struct error *err)
{
    bool fused = false;
    *decoding = (struct decoding){.steps = decoders};
    if (n_decoders > DECODERS)
        return error_set(err, SAMPAN_ELIMIT, "the tokenizer has %d decoders, expected at most %d", n_decoders, DECODERS);
    for (int i = 0; i < n_decoders; i++) {
        const struct tokenizer_decoder *given = &decoders[i];
        if (given->kind == DECODER_STRIP && !is_one_character(given->pattern))
            return error_set(err, SAMPAN_EFORMAT, "a Strip decoder strips '%.60s', expected one character", given->pattern.data);
        if (fused && given->kind == DECODER_STRIP && !decoding->strip.length && !given->stop) {
            decoding->strip = given->pattern;
            decoding->strip_start = given->start;
        } else if (fused && given->kind != DECODER_FUSE) {
            return refuse_order(i, err);
        }
        fused = fused || given->kind == DECODER_FUSE;
        decoding->n_steps += !fused;
        decoding->depends_on_first |= given->kind == DECODER_WORDPIECE || (given->kind == DECODER_METASPACE && given->prepend != PREPEND_NEVER);
        decoding->holds_last_space |= given->kind == DECODER_WORD_SUFFIX;
        int status = given->kind == DECODER_REPLACE && !fused
                         ? regex_compile(given->pattern, given->literal ? REGEX_LITERAL : REGEX_PUBLISHED, &decoding->replaced[i], err)
                         : 0;
        if (status)
            return status;
    }
    return 0;
}

void decoding_close_scratch(struct decoding *decoding)
{
    regex_scratch_free(&decoding->scratch);
}

void decoding_free(struct decoding *decoding)
{
    decoding_close_scratch(decoding);
    for (int i = 0; i < DECODERS; i++)
        regex_free(decoding->replaced[i]);
}

/* ---- one step on one token: from `in` to `out` ---- */

static void replace_all(struct byte_string in, struct byte_string from, struct byte_string to, struct buffer *out)
{
    size_t kept = 0;
    for (size_t at = 0; at + from.length <= in.length && from.length;) {
        const char *found = memmem(in.data + at, in.length - at, from.data, from.length);
        if (!found)
            break;
        at = (size_t)(found - in.data);
        buffer_append(out, in.data + kept, at - kept);
        buffer_append(out, to.data, to.length);
        kept = at += from.length;
    }
    buffer_append(out, in.data + kept, in.length - kept);
}

static struct byte_string string_of(const char *text)
{
    return (struct byte_string){text, strlen(text)};
}

static void apply_wordpiece(const struct tokenizer_decoder *step, struct byte_string in, bool first, struct buffer *out)
{
    static const char *const cleaned[][2] = {{" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
                                             {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    bool inside = step->pattern.length && in.length >= step->pattern.length && memcmp(in.data, step->pattern.data, step->pattern.length) == 0;
    if (!first && inside)
        in = (struct byte_string){in.data + step->pattern.length, in.length - step->pattern.length};
    if (!first && !inside)
        buffer_append_char(out, ' ');
    buffer_append(out, in.data, in.length);
    for (size_t i = 0; step->cleans && i < sizeof cleaned / sizeof *cleaned; i++) {
        struct buffer next;
        if (out->failed || !memmem(out->data, out->length, cleaned[i][0], strlen(cleaned[i][0])))
            continue;
        buffer_init(&next, out->limit);
        replace_all((struct byte_string){out->data, out->length}, string_of(cleaned[i][0]), string_of(cleaned[i][1]), &next);
        if (next.failed)
            out->failed = next.failed;
        else
            buffer_clear(out), buffer_append(out, next.data, next.length);
        buffer_free(&next);
    }
}

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void apply_byte_fallback(struct byte_string in, struct buffer *out)
{
    bool is_byte = in.length == 6 && memcmp(in.data, "<0x", 3) == 0 && in.data[5] == '>' && hexadecimal(in.data[3]) >= 0 && hexadecimal(in.data[4]) >= 0;
    if (is_byte)
        buffer_append_char(out, (char)(hexadecimal(in.data[3]) << 4 | hexadecimal(in.data[4])));
    else
        buffer_append(out, in.data, in.length);
}

static void apply_byte_level(struct byte_string in, struct buffer *out)
{
    size_t n = 0;
    if (buffer_reserve(out, in.length))
        return;
    if (byte_alphabet_to_bytes(in.data, in.length, out->data, &n))
        out->length = n;
    else
        buffer_append(out, in.data, in.length);
}

static void apply_strip(const struct tokenizer_decoder *step, struct byte_string in, struct buffer *out)
{
    const struct byte_string one = step->pattern;
    for (uint32_t i = 0; i < step->start && in.length >= one.length && memcmp(in.data, one.data, one.length) == 0; i++)
        in = (struct byte_string){in.data + one.length, in.length - one.length};
    for (uint32_t i = 0; i < step->stop && in.length >= one.length && memcmp(in.data + in.length - one.length, one.data, one.length) == 0; i++)
        in.length -= one.length;
    buffer_append(out, in.data, in.length);
}

static int apply_replace(struct decoding *decoding, int at_step, struct byte_string in, struct buffer *out, struct error *err)
{
    const struct byte_string content = decoding->steps[at_step].content;
    size_t kept = 0, at = 0, start = 0, end = 0;
    int found = regex_prepare(&decoding->scratch, in.length, err);
    if (found || !utf8_is_valid(in.data, in.length, NULL))
        return found ? found : buffer_append(out, in.data, in.length);
    while (at <= in.length && (found = regex_find(decoding->replaced[at_step], &decoding->scratch, in.data, in.length, at, &start, &end, err)) > 0) {
        if (start == end)
            return error_set(err, SAMPAN_EUNSUPPORTED, "a Replace decoder of the tokenizer has a pattern that matches nothing; such are not supported");
        buffer_append(out, in.data + kept, start - kept);
        buffer_append(out, content.data, content.length);
        kept = at = end;
    }
    buffer_append(out, in.data + kept, in.length - kept);
    return found;
}

static int apply_step(struct decoding *decoding, int at, struct byte_string in, bool first, struct buffer *out, struct error *err)
{
    const struct tokenizer_decoder *step = &decoding->steps[at];
    const struct byte_string space = {" ", 1}, nothing = {"", 0};
    switch (step->kind) {
    case DECODER_BYTE_LEVEL: apply_byte_level(in, out); break;
    case DECODER_METASPACE: replace_all(in, step->pattern, first && step->prepend != PREPEND_NEVER ? nothing : space, out); break;
    case DECODER_WORDPIECE: apply_wordpiece(step, in, first, out); break;
    case DECODER_WORD_SUFFIX: replace_all(in, step->pattern, space, out); break;
    case DECODER_BYTE_FALLBACK: apply_byte_fallback(in, out); break;
    case DECODER_STRIP: apply_strip(step, in, out); break;
    case DECODER_REPLACE: return apply_replace(decoding, at, in, out, err);
    case DECODER_FUSE: buffer_append(out, in.data, in.length); break;
    }
    return 0;
}

int decoding_apply(struct decoding *decoding, struct byte_string text, bool first, struct buffer *out, struct error *err)
{
    struct buffer in;
    int status = 0;
    buffer_init(&in, out->limit);
    buffer_clear(out);
    buffer_append(out, text.data, text.length);
    for (int i = 0; i < decoding->n_steps && !status && !out->failed; i++) {
        struct buffer next = in;
        in = *out;
        *out = next;
        buffer_clear(out);
        status = apply_step(decoding, i, (struct byte_string){in.length ? in.data : "", in.length}, first, out, err);
    }
    buffer_free(&in);
    if (!status && out->failed)
        status = out->failed == SAMPAN_ENOMEM ? error_no_memory(err, "decoding the vocabulary")
                                              : error_set(err, SAMPAN_ELIMIT, "decoding the vocabulary: a token becomes longer than %zu bytes", out->limit);
    return status;
}
