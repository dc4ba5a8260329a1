#include "text/detokenizer.h"

#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer/internal.h"

void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer, bool show_control, bool raw)
{
    *detokenizer = (struct detokenizer){.tokenizer = tokenizer, .show_control = show_control, .raw = raw};
}

/* Appends the whole characters of bytes[0..length), U+FFFD for each maximal ill-formed prefix; returns how many bytes at the end are undecided. */
static size_t append_characters(const char *bytes, size_t length, struct buffer *out)
{
    size_t done = 0, at = 0;
    while (at < length) {
        uint32_t character;
        int n = utf8_decode(bytes + at, length - at, &character);
        if (n == 0)
            break;
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        buffer_append(out, bytes + done, at - done);
        buffer_append(out, "\xEF\xBF\xBD", 3);
        at += (size_t)-n;
        done = at;
    }
    buffer_append(out, bytes + done, at - done);
    return length - at;
}

static void hold(struct detokenizer *detokenizer, const char *bytes, size_t n)
{
    memmove(detokenizer->held, bytes, n);
    detokenizer->n_held = (int)n;
}

/* What a token says in this place of the text. */
static struct byte_string token_bytes(const struct detokenizer *detokenizer, int32_t id)
{
    const struct tokenizer *tokenizer = detokenizer->tokenizer;
    if (!detokenizer->started && tokenizer->first_bytes && id >= 0 && id < tokenizer->spec->n_tokens)
        return tokenizer->first_bytes[id];
    return tokenizer_token_bytes(tokenizer, id);
}

/* Drops from the front of the whole text what the model's decoder strips from it. */
static struct byte_string strip_start(struct detokenizer *detokenizer, struct byte_string bytes)
{
    const struct decoding *decoding = &detokenizer->tokenizer->decoding;
    const struct byte_string one = decoding->strip;
    while (!detokenizer->in_text && bytes.length) {
        detokenizer->in_text = detokenizer->n_stripped >= decoding->strip_start || bytes.length < one.length || memcmp(bytes.data, one.data, one.length) != 0;
        if (detokenizer->in_text)
            break;
        bytes = (struct byte_string){bytes.data + one.length, bytes.length - one.length};
        detokenizer->n_stripped++;
    }
    return bytes;
}

/* Appends bytes, as whole characters. What is held is joined with at most as many bytes as could complete a character; the rest then stands alone. */
static int append_bytes(struct detokenizer *detokenizer, struct byte_string bytes, struct buffer *out)
{
    size_t taken = 0;
    if (detokenizer->raw)
        return buffer_append(out, bytes.data, bytes.length);
    while (detokenizer->n_held && taken < bytes.length) {
        char joined[4];
        size_t n_held = (size_t)detokenizer->n_held;
        memcpy(joined, detokenizer->held, n_held);
        joined[n_held] = bytes.data[taken++];
        hold(detokenizer, joined, n_held + 1);
        size_t undecided = append_characters(joined, n_held + 1, out);
        hold(detokenizer, joined + n_held + 1 - undecided, undecided);
    }
    size_t undecided = append_characters(bytes.data + taken, bytes.length - taken, out);
    if (taken < bytes.length)
        hold(detokenizer, bytes.data + bytes.length - undecided, undecided);
    return out->failed;
}

int detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct buffer *out)
{
    const struct decoding *decoding = &detokenizer->tokenizer->decoding;
    enum token_kind kind = tokenizer_token_kind(detokenizer->tokenizer, id);
    if (!detokenizer->show_control && (kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN))
        return out->failed;
    struct byte_string bytes = token_bytes(detokenizer, id);
    detokenizer->started = true;
    if (decoding->strip.length)
        bytes = strip_start(detokenizer, bytes);
    if (detokenizer->holds_space)
        append_bytes(detokenizer, (struct byte_string){" ", 1}, out);
    detokenizer->holds_space = decoding->holds_last_space && bytes.length && bytes.data[bytes.length - 1] == ' ';
    bytes.length -= detokenizer->holds_space;
    return append_bytes(detokenizer, bytes, out);
}

int detokenizer_finish(struct detokenizer *detokenizer, struct buffer *out)
{
    if (detokenizer->n_held)
        buffer_append(out, "\xEF\xBF\xBD", 3); /* a cut-off character is one maximal ill-formed prefix */
    detokenizer->n_held = 0;
    return out->failed;
}
