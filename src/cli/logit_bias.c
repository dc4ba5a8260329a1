#include "cli/logit_bias.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/terminal.h"

/* One "ID=BIAS"; *at moves behind it and behind a comma. */
static int parse_one(const char **at, struct sampan_logit_bias *bias)
{
    char *end;
    long long id = strtoll(*at, &end, 10);
    bool right = end > *at && *end == '=' && id >= 0 && id < LIMIT_VOCABULARY;
    const char *number = end + right;
    float value = right ? strtof(number, &end) : 0;
    right = right && end > number && (*end == '\0' || (*end == ',' && end[1])) && (value == -INFINITY || fabsf(value) <= LIMIT_LOGIT_BIAS);
    if (!right)
        return cli_usage("--logit-bias %s: expected ID=BIAS, several with commas between; BIAS from -%d to %d, or -inf to never choose the token", *at,
                         LIMIT_LOGIT_BIAS, LIMIT_LOGIT_BIAS);
    *bias = (struct sampan_logit_bias){(int32_t)id, value};
    *at = *end ? end + 1 : end;
    return EXIT_OK;
}

int logit_bias_parse(const struct option_value *value, struct sampan_logit_bias **biases, size_t *n_biases)
{
    size_t most = 0;
    int status = EXIT_OK;
    *biases = NULL;
    *n_biases = 0;
    for (int i = 0; i < value->count; i++) {
        most++;
        for (const char *c = value->texts[i]; *c; c++)
            most += *c == ',';
    }
    if (!most)
        return EXIT_OK;
    if (most > LIMIT_LOGIT_BIASES)
        return cli_usage("--logit-bias: %zu biases, expected at most %d", most, LIMIT_LOGIT_BIASES);
    if (!(*biases = mem_alloc_array(most, sizeof **biases)))
        return cli_fail("out of memory while reading --logit-bias");
    for (int i = 0; i < value->count && !status; i++) {
        const char *at = value->texts[i];
        do
            status = parse_one(&at, &(*biases)[(*n_biases)++]);
        while (!status && *at);
    }
    return status;
}
