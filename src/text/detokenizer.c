#include "text/detokenizer.h"

#include <string.h>

#include "base/utf8.h"

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

int detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct buffer *out)
{
    if (!detokenizer->show_control && tokenizer_token_kind(detokenizer->tokenizer, id) == TOKEN_CONTROL)
        return out->failed;
    struct byte_string bytes = tokenizer_token_bytes(detokenizer->tokenizer, id);
    if (detokenizer->raw)
        return buffer_append(out, bytes.data, bytes.length);
    /* What is held is joined with at most as many bytes as could complete a character; the rest then stands alone. */
    size_t taken = 0;
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

int detokenizer_finish(struct detokenizer *detokenizer, struct buffer *out)
{
    if (detokenizer->n_held)
        buffer_append(out, "\xEF\xBF\xBD", 3); /* a cut-off character is one maximal ill-formed prefix */
    detokenizer->n_held = 0;
    return out->failed;
}
