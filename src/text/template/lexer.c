/* The rules are those of jinja2/lexer.py, read from its regular expressions:
 *
 *   text   up to the nearest {% {{ {#; a '-' behind the bracket strips the white space before it; a tag (not {{) without '+' strips the blanks
 *          between the start of its line and itself (lstrip_blocks)
 *   %} #}  swallow one newline (trim_blocks); -%} -}} -#} swallow all white space; +%} +#} swallow nothing
 *   raw    {% raw %} ... {% endraw %} is text
 *
 * A closing bracket counts as such only when all ( [ { of the expression are closed. */
#include "text/template/lexer.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/template/unicode.h"

struct lexer {
    const char *source;
    size_t length, at;
    int line;
    size_t line_at;     /* `line` is the line of this position */
    bool line_starting; /* the last match ended with a newline, or nothing was matched yet */
    struct arena *arena;
    struct jinja_tokens *tokens;
    struct error *err;
    char open[LIMIT_TEMPLATE_DEPTH]; /* brackets that wait for their end */
    int n_open;
};

static int line_of(struct lexer *lexer, size_t position)
{
    for (; lexer->line_at < position; lexer->line_at++)
        lexer->line += lexer->source[lexer->line_at] == '\n';
    return lexer->line;
}

static bool starts_with(const struct lexer *lexer, size_t at, const char *text)
{
    size_t length = strlen(text);
    return length <= lexer->length - at && memcmp(lexer->source + at, text, length) == 0;
}

static struct jinja_token *add_token(struct lexer *lexer, enum jinja_token_type type, size_t at, size_t length)
{
    struct jinja_tokens *tokens = lexer->tokens;
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? tokens->capacity * 2 : 256;
        struct jinja_token *items = capacity > 8 * (size_t)LIMIT_TEMPLATE_NODES ? NULL : mem_realloc_array(tokens->items, capacity, sizeof *items);
        if (!items) {
            if (capacity > 8 * (size_t)LIMIT_TEMPLATE_NODES)
                error_set(lexer->err, SAMPAN_ELIMIT, "line %d: more than %d words", line_of(lexer, at), 8 * LIMIT_TEMPLATE_NODES);
            else
                error_no_memory(lexer->err, "reading a template");
            return NULL;
        }
        tokens->items = items;
        tokens->capacity = capacity;
    }
    struct jinja_token *token = &tokens->items[tokens->count++];
    *token = (struct jinja_token){.type = type, .line = line_of(lexer, at), .text = lexer->source + at, .length = length};
    return token;
}

static size_t skip_space(const struct lexer *lexer, size_t at)
{
    while (at < lexer->length) {
        uint32_t c;
        int n = utf8_decode(lexer->source + at, lexer->length - at, &c);
        if (n <= 0 || !unicode_is_space(c))
            break;
        at += (size_t)n;
    }
    return at;
}

/* The end of source[from..to) without white space behind. */
static size_t strip_right(const struct lexer *lexer, size_t from, size_t to)
{
    while (to > from) {
        size_t begin = to - 1;
        while (begin > from && ((unsigned char)lexer->source[begin] & 0xC0) == 0x80)
            begin--;
        uint32_t c;
        if (utf8_decode(lexer->source + begin, to - begin, &c) <= 0 || !unicode_is_space(c))
            break;
        to = begin;
    }
    return to;
}

/* Adds the text source[from..to) in front of a tag with that sign ('-', '+' or 0). */
static bool add_text(struct lexer *lexer, size_t from, size_t to, char sign, bool is_variable)
{
    size_t end = to;
    if (sign == '-') {
        end = strip_right(lexer, from, to);
    } else if (sign != '+' && !is_variable) {
        size_t line_begin = to;
        while (line_begin > from && lexer->source[line_begin - 1] != '\n')
            line_begin--;
        if ((line_begin > from || lexer->line_starting) && strip_right(lexer, line_begin, to) == line_begin)
            end = line_begin;
    }
    return end == from || add_token(lexer, TOKEN_DATA, from, end - from);
}

/* Sets lexer->at and remembers whether a line starts there. */
static void move_to(struct lexer *lexer, size_t at)
{
    if (at > lexer->at)
        lexer->line_starting = lexer->source[at - 1] == '\n';
    lexer->at = at;
}

/* The length of a closing tag of `end` ("%}" or "#}") at `at` with what it swallows, or 0. */
static size_t match_end(const struct lexer *lexer, size_t at, const char *end)
{
    if (starts_with(lexer, at, end))
        return 2 + starts_with(lexer, at + 2, "\n");
    if (at < lexer->length && lexer->source[at] == '+' && starts_with(lexer, at + 1, end))
        return 3;
    if (at < lexer->length && lexer->source[at] == '-' && starts_with(lexer, at + 1, end))
        return skip_space(lexer, at + 3) - at;
    return 0;
}

/* At source[at] = "{%": the position behind "{%[-+]? <word>", white space around it skipped, or 0. */
static size_t match_tag_word(const struct lexer *lexer, size_t at, const char *word)
{
    at += 2;
    if (at < lexer->length && (lexer->source[at] == '-' || lexer->source[at] == '+'))
        at++;
    at = skip_space(lexer, at);
    return starts_with(lexer, at, word) ? skip_space(lexer, at + strlen(word)) : 0;
}

static int fail(struct lexer *lexer, size_t at, const char *message)
{
    return error_set(lexer->err, SAMPAN_EFORMAT, "line %d: %s", line_of(lexer, at), message);
}

static int lex_comment(struct lexer *lexer)
{
    size_t begin = lexer->at;
    size_t at = begin + 2;
    if (at < lexer->length && (lexer->source[at] == '-' || lexer->source[at] == '+'))
        at++;
    for (; at < lexer->length; at++) {
        size_t end = match_end(lexer, at, "#}");
        if (end) {
            move_to(lexer, at + end);
            return 0;
        }
    }
    return fail(lexer, begin, "a comment '{#' without its end '#}'");
}

/* Behind "{% raw %}": the text up to {% endraw %}. */
static int lex_raw(struct lexer *lexer)
{
    size_t begin = lexer->at;
    for (size_t at = begin; at + 1 < lexer->length; at++) {
        if (lexer->source[at] != '{' || lexer->source[at + 1] != '%')
            continue;
        size_t word_end = match_tag_word(lexer, at, "endraw");
        size_t end = word_end ? match_end(lexer, word_end, "%}") : 0;
        if (!end)
            continue;
        char sign = lexer->source[at + 2];
        if (!add_text(lexer, begin, at, sign == '-' || sign == '+' ? sign : 0, false))
            return lexer->err->code;
        move_to(lexer, word_end + end);
        return 0;
    }
    return fail(lexer, begin, "'{% raw %}' without its '{% endraw %}'");
}

/* --- strings and numbers --- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xhh, \uhhhh, \Uhhhhhhhh behind the backslash; *value is what they say. False: too few digits. */
static bool read_hex(const char *text, size_t length, size_t digits, uint32_t *value)
{
    *value = 0;
    if (length < digits + 1)
        return false;
    for (size_t i = 1; i <= digits; i++) {
        int digit = hex_value(text[i]);
        if (digit < 0)
            return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return true;
}

/* One escape sequence at text[0] (behind the backslash): how many bytes it takes; writes it to out. -1: malformed. */
static int resolve_escape(const char *text, size_t length, char *out, size_t *written)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    if (text[0] == '\n')
        return 1;
    for (size_t i = 0; i + 1 < sizeof plain; i += 2)
        if (text[0] == plain[i]) {
            out[(*written)++] = plain[i + 1];
            return 1;
        }
    uint32_t value = 0;
    size_t digits = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0, used = digits + 1;
    if (digits) {
        if (!read_hex(text, length, digits, &value))
            return -1;
    } else if (text[0] >= '0' && text[0] <= '7') {
        for (used = 0; used < 3 && used < length && text[used] >= '0' && text[used] <= '7'; used++)
            value = value * 8 + (uint32_t)(text[used] - '0');
    } else if (text[0] == 'N') {
        return -1;
    } else { /* unknown: kept as it stands */
        out[(*written)++] = '\\';
        return 0;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return -1;
    *written += (size_t)utf8_encode(value, out + *written);
    return (int)used;
}

static int lex_string(struct lexer *lexer)
{
    size_t begin = lexer->at, at = begin + 1;
    char quote = lexer->source[begin];
    while (at < lexer->length && lexer->source[at] != quote)
        at += lexer->source[at] == '\\' ? 2 : 1;
    if (at >= lexer->length)
        return fail(lexer, begin, "a string without its closing quote");
    const char *text = lexer->source + begin + 1;
    size_t length = at - begin - 1, written = 0;
    char *out = arena_alloc(lexer->arena, length + 4);
    struct jinja_token *token = out ? add_token(lexer, TOKEN_STRING, begin, 0) : NULL;
    if (!token)
        return out ? lexer->err->code : error_no_memory(lexer->err, "reading a template");
    for (size_t i = 0; i < length;) {
        if (text[i] != '\\') {
            out[written++] = text[i++];
            continue;
        }
        int used = resolve_escape(text + i + 1, length - i - 1, out, &written);
        if (used < 0)
            return fail(lexer, begin + i,
                        "a malformed or unsupported escape sequence in a string (\\xHH, \\uHHHH and \\UHHHHHHHH name one character, no surrogates; \\N{...} is "
                        "unknown)");
        i += (size_t)used + 1;
    }
    token->text = out;
    token->length = written;
    move_to(lexer, at + 1);
    return 0;
}

/* Digits with single underscores between; the position behind. */
static size_t skip_digits(const struct lexer *lexer, size_t at)
{
    size_t begin = at;
    while (at < lexer->length &&
           ((lexer->source[at] >= '0' && lexer->source[at] <= '9') || (lexer->source[at] == '_' && at > begin && lexer->source[at - 1] != '_' &&
                                                                       at + 1 < lexer->length && lexer->source[at + 1] >= '0' && lexer->source[at + 1] <= '9')))
        at++;
    return at;
}

/* The end of a float at `at`, or `at` where there is none. */
static size_t match_float(const struct lexer *lexer, size_t at)
{
    size_t whole = skip_digits(lexer, at), end = whole;
    if (whole == at || (at > 0 && lexer->source[at - 1] == '.'))
        return at;
    if (end < lexer->length && lexer->source[end] == '.' && skip_digits(lexer, end + 1) > end + 1)
        end = skip_digits(lexer, end + 1);
    if (end < lexer->length && (lexer->source[end] == 'e' || lexer->source[end] == 'E')) {
        size_t exponent = end + 1;
        if (exponent < lexer->length && (lexer->source[exponent] == '+' || lexer->source[exponent] == '-'))
            exponent++;
        if (skip_digits(lexer, exponent) > exponent)
            end = skip_digits(lexer, exponent);
    }
    return end > whole ? end : at;
}

static size_t match_integer(const struct lexer *lexer, size_t at, int *base)
{
    const char *source = lexer->source;
    size_t end = at + 2;
    char prefix = at + 1 < lexer->length ? (char)(source[at + 1] | 0x20) : 0;
    *base = source[at] != '0' ? 10 : prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    if (*base != 10) {
        size_t digits = 0;
        while (end < lexer->length && (source[end] == '_' || (hex_value(source[end]) >= 0 && hex_value(source[end]) < *base)))
            digits += source[end++] != '_';
        if (digits && source[end - 1] != '_')
            return end;
        *base = 10;
    }
    if (source[at] != '0')
        return skip_digits(lexer, at);
    for (end = at + 1; end < lexer->length && source[end] == '0'; end++)
        ;
    return end;
}

static int lex_number(struct lexer *lexer)
{
    size_t begin = lexer->at, end = match_float(lexer, begin);
    bool is_float = end > begin;
    int base = 10;
    if (!is_float)
        end = match_integer(lexer, begin, &base);
    char digits[400];
    size_t n = 0;
    for (size_t i = begin; i < end && n < sizeof digits - 1; i++)
        if (lexer->source[i] != '_')
            digits[n++] = lexer->source[i];
    digits[n] = '\0';
    struct jinja_token *token = add_token(lexer, is_float ? TOKEN_FLOAT : TOKEN_INTEGER, begin, end - begin);
    if (!token)
        return lexer->err->code;
    if (is_float)
        token->number.real = strtod(digits, NULL);
    uint64_t value = 0;
    bool overflow = n == sizeof digits - 1;
    for (size_t i = base == 10 ? 0 : 2; !is_float && digits[i] && !overflow; i++)
        overflow = __builtin_mul_overflow(value, (uint64_t)base, &value) || __builtin_add_overflow(value, (uint64_t)hex_value(digits[i]), &value);
    if (overflow || (!is_float && value > INT64_MAX))
        return error_set(lexer->err, SAMPAN_EUNSUPPORTED, "line %d: a number too long: integers have 64 bits", line_of(lexer, begin));
    if (!is_float)
        token->number.integer = (int64_t)value;
    move_to(lexer, end);
    return 0;
}

/* --- names, operators, expressions --- */

static size_t match_name(const struct lexer *lexer, size_t at)
{
    size_t begin = at;
    while (at < lexer->length) {
        uint32_t c;
        int n = utf8_decode(lexer->source + at, lexer->length - at, &c);
        bool digit = n > 0 && (c < 0x80 ? c >= '0' && c <= '9' : unicode_is(c, UNICODE_DECIMAL));
        if (n <= 0 || !(c == '_' || unicode_is(c, UNICODE_ALPHABETIC) || (digit && at > begin)))
            break;
        at += (size_t)n;
    }
    return at;
}

static int lex_operator(struct lexer *lexer)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                            "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const char *found = NULL;
    for (size_t i = 0; !found && i < sizeof operators / sizeof *operators; i++)
        if (starts_with(lexer, lexer->at, operators[i]))
            found = operators[i];
    if (!found)
        return fail(lexer, lexer->at, "unexpected character in an expression");
    if (*found == '(' || *found == '[' || *found == '{') {
        if (lexer->n_open == LIMIT_TEMPLATE_DEPTH)
            return error_set(lexer->err, SAMPAN_ELIMIT, "line %d: brackets nested more than %d deep", line_of(lexer, lexer->at), LIMIT_TEMPLATE_DEPTH);
        lexer->open[lexer->n_open++] = *found == '(' ? ')' : *found == '[' ? ']' : '}';
    } else if (*found == ')' || *found == ']' || *found == '}') {
        if (!lexer->n_open || lexer->open[--lexer->n_open] != *found)
            return error_set(lexer->err, SAMPAN_EFORMAT, "line %d: unexpected '%c': no bracket, or another one, is open", line_of(lexer, lexer->at), *found);
    }
    if (!add_token(lexer, TOKEN_OPERATOR, lexer->at, strlen(found)))
        return lexer->err->code;
    move_to(lexer, lexer->at + strlen(found));
    return 0;
}

/* The length of the end of a {{ or {% at the present position, or 0. */
static size_t match_expression_end(const struct lexer *lexer, bool is_variable)
{
    if (lexer->n_open)
        return 0;
    if (!is_variable)
        return match_end(lexer, lexer->at, "%}");
    if (starts_with(lexer, lexer->at, "}}"))
        return 2;
    return starts_with(lexer, lexer->at, "-}}") ? skip_space(lexer, lexer->at + 3) - lexer->at : 0;
}

static int lex_expression(struct lexer *lexer, bool is_variable)
{
    size_t begin = lexer->at;
    int code = 0;
    lexer->n_open = 0;
    while (!code && lexer->at < lexer->length) {
        size_t end = match_expression_end(lexer, is_variable);
        if (end) {
            if (!add_token(lexer, is_variable ? TOKEN_VARIABLE_END : TOKEN_BLOCK_END, lexer->at, end))
                return lexer->err->code;
            move_to(lexer, lexer->at + end);
            return 0;
        }
        char c = lexer->source[lexer->at];
        size_t space = skip_space(lexer, lexer->at), name = match_name(lexer, lexer->at);
        if (space > lexer->at) {
            move_to(lexer, space);
        } else if (c >= '0' && c <= '9') {
            code = lex_number(lexer);
        } else if (name > lexer->at) {
            code = add_token(lexer, TOKEN_NAME, lexer->at, name - lexer->at) ? 0 : lexer->err->code;
            move_to(lexer, name);
        } else {
            code = c == '\'' || c == '"' ? lex_string(lexer) : lex_operator(lexer);
        }
    }
    return code ? code : fail(lexer, begin, is_variable ? "'{{' without its end '}}'" : "'{%' without its end '%}'");
}

/* The next "{%", "{{" or "{#". */
static size_t find_tag(const struct lexer *lexer)
{
    size_t at = lexer->at;
    while (at + 1 < lexer->length) {
        const char *brace = memchr(lexer->source + at, '{', lexer->length - 1 - at);
        if (!brace)
            break;
        at = (size_t)(brace - lexer->source);
        if (brace[1] == '%' || brace[1] == '{' || brace[1] == '#')
            return at;
        at++;
    }
    return lexer->length;
}

static int lex_tag(struct lexer *lexer, size_t tag)
{
    char kind = lexer->source[tag + 1], sign = tag + 2 < lexer->length ? lexer->source[tag + 2] : 0;
    if (sign != '-' && sign != '+')
        sign = 0;
    if (!add_text(lexer, lexer->at, tag, sign, kind == '{'))
        return lexer->err->code;
    size_t raw = kind == '%' ? match_tag_word(lexer, tag, "raw") : 0;
    if (raw && (starts_with(lexer, raw, "%}") || starts_with(lexer, raw, "-%}"))) {
        move_to(lexer, lexer->source[raw] == '-' ? skip_space(lexer, raw + 3) : raw + 2);
        return lex_raw(lexer);
    }
    if (kind == '#') {
        lexer->at = tag;
        return lex_comment(lexer);
    }
    if (!add_token(lexer, kind == '{' ? TOKEN_VARIABLE_BEGIN : TOKEN_BLOCK_BEGIN, tag, 2))
        return lexer->err->code;
    move_to(lexer, tag + 2 + (sign != 0));
    return lex_expression(lexer, kind == '{');
}

int jinja_tokenize(const char *source, size_t length, struct arena *arena, struct jinja_tokens *tokens, struct error *err)
{
    struct error local; /* inner functions report through it, whether or not the caller wants the text */
    struct lexer lexer = {.source = source, .length = length, .line = 1, .line_starting = true, .arena = arena, .tokens = tokens, .err = err ? err : &local};
    if (lexer.length && source[length - 1] == '\n')
        lexer.length--; /* keep_trailing_newline is off */
    int code = 0;
    while (!code && lexer.at < lexer.length) {
        size_t tag = find_tag(&lexer);
        if (tag < lexer.length) {
            code = lex_tag(&lexer, tag);
        } else {
            code = add_token(&lexer, TOKEN_DATA, lexer.at, lexer.length - lexer.at) ? 0 : lexer.err->code;
            lexer.at = lexer.length;
        }
    }
    if (!code && !add_token(&lexer, TOKEN_EOF, lexer.length, 0))
        code = lexer.err->code;
    return code;
}

void jinja_tokens_free(struct jinja_tokens *tokens)
{
    mem_free(tokens->items);
    *tokens = (struct jinja_tokens){0};
}
