/* Any bytes as JSON: this reader and jansson's agree on what is right and what it means; depth is bounded here. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz_json: %s\n", what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct error err = {0};
    json_t *ours, *theirs;
    const char *text = (const char *)bytes;
    int code = json_parse(text, length, JSON_PARSE_ANY | JSON_PARSE_NUL, &ours, &err);
    require(!code == !!ours, "neither a value nor an error");
    require(!code || (err.code == code && err.message[0]), "an error without a message");
    if (code != SAMPAN_ELIMIT && (!length || !memchr(bytes, 0, length))) { /* jansson takes a NUL behind the value for the end */
        theirs = json_loadb(length ? text : "", length, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        require(!theirs == !!code && (!theirs || json_equal(ours, theirs)), "jansson reads it differently");
        json_decref(theirs);
    }
    json_decref(ours);
    return 0;
}
